"""Field types that several applets share."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo
from pydantic.fields import FieldInfo

# eSpeak NG renders this much in well under a second; the manual gives no limit.
MAX_TEXT_CHARS = 1000
AUDIO_SUFFIXES = (".wav", ".mp3")


def _matching(pattern: str, words: str) -> tuple[AfterValidator, FieldInfo]:
    """Check with ``pattern``, but say what is wrong in ``words``."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(words)
        return value

    schema = Field(json_schema_extra={"pattern": f"^{pattern}$"})
    return AfterValidator(check), schema


FlowName = Annotated[
    str,
    *_matching(
        "[A-Za-z0-9][A-Za-z0-9_.-]{0,63}",
        "must be letters, digits, '_', '.' and '-', at most 64",
    ),
]
AppId = Annotated[str, *_matching("[0-9]{1,20}", "must be digits, at most 20")]

NodeName = Annotated[str, Field(min_length=1, max_length=64)]
"""The name of a node of the same flow."""

SpokenText = Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARS)]


@dataclass(frozen=True, slots=True)
class FlowPlace:
    """Where a flow file lies, for the paths that stand in it.

    Attributes:
        directory: The flow file's directory.
        file_exists: Tells whether a path names a readable file.
    """

    directory: str
    file_exists: Callable[[str], bool]


def _find_audio(value: str, info: ValidationInfo) -> str:
    """Return the path as seen from the working directory, once it is known to exist."""
    if not value.lower().endswith(AUDIO_SUFFIXES):
        raise ValueError("must be a WAV or MP3 file")
    place = info.context
    if not isinstance(place, FlowPlace):
        return value
    path = str(PurePath(place.directory) / value)
    if not place.file_exists(path):
        raise ValueError(f"there is no file {path!r}")
    return path


AudioPath = Annotated[str, Field(min_length=1), AfterValidator(_find_audio)]
"""A WAV or MP3 file; relative paths start at the flow file."""


def is_speakable(text: str) -> bool:
    """Tell whether there is a word in ``text``: the manual's ``...`` has none."""
    return any(char.isalnum() for char in text)
