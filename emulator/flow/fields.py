"""Field types that several applets share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails

from emulator.flow import urls
from emulator.flow.ports import (
    AudioFile,
    AudioUrl,
    Capability,
    Recording,
    Say,
    Silence,
    Source,
)

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

EmailAddress = Annotated[
    str, *_matching(r"[^@\s]{1,64}@[^@\s]{1,190}", "must be an address: name@host")
]
PhoneNumber = Annotated[
    str,
    *_matching(
        r"\+?[0-9]{3,15}", "must be a telephone number: digits, with or without +"
    ),
]

Key = Annotated[str, *_matching("[0-9*#]", "must be one of 0-9, * and #")]
"""A key of the caller's phone."""


def _check_window(value: str) -> str:
    found = re.fullmatch(
        r"((?:[01]\d|2[0-3]):[0-5]\d)-((?:[01]\d|2[0-4]):[0-5]\d)", value
    )
    if not found or found[1] >= found[2] or found[2] > "24:00":
        raise ValueError("must be a window such as '09:00-18:00', from before to")
    return value


TimeWindow = Annotated[str, AfterValidator(_check_window)]
"""A part of one day, ``09:00-18:00``; ``24:00`` is its end."""

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


def _check_web_url(value: str) -> str:
    return urls.check_url(value, urls.RESOLVER_SCHEMES)


WebUrl = Annotated[str, AfterValidator(_check_web_url)]
"""An ``http://`` or ``https://`` URL."""


def is_speakable(text: str) -> bool:
    """Tell whether there is a word in ``text``: the manual's ``...`` has none."""
    return any(char.isalnum() for char in text)


class RecordOptions(BaseModel):
    """``record: {channels: dual, format: mp3}`` (streaming spec §6)."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    channels: Literal["single", "dual"] = "single"
    format: Literal["mp3", "mp3_hq", "raw", "wav"] = "mp3"
    encrypt_dtmf: bool = False

    @property
    def trap(self) -> str | None:
        """What works here and cannot be asked of the platform."""
        if self.format != "wav":
            return None
        return "wav is the emulator's own: the platform records mp3, mp3_hq or raw"

    def as_recording(self) -> Recording:
        """Return the same as a verb carries it."""
        return Recording(self.channels, self.format, self.encrypt_dtmf)


Check: TypeAlias = Callable[[type[BaseModel], Mapping[str, Any]], str | None]
"""Tells what is wrong with the data of a model, as they stand in the file."""


def fields_together(check: Check) -> Any:
    """Return a validator of a model's fields together, as they stand in the file.

    What ``check`` complains of is told beside what is wrong with single fields; an
    ``after`` validator would not run then.
    """

    def validate(
        cls: type[BaseModel], data: Any, read: ModelWrapValidatorHandler[BaseModel]
    ) -> BaseModel:
        complaint = check(cls, data) if isinstance(data, dict) else None
        try:
            model = read(data)
        except ValidationError as error:
            if complaint is None:
                raise
            found = cast(list[InitErrorDetails], error.errors(include_url=False))
            both = [*found, _said(complaint, data)]
            raise ValidationError.from_exception_data(error.title, both) from None
        if complaint is not None:
            raise ValueError(complaint)
        return model

    return model_validator(mode="wrap")(cast(Any, classmethod(validate)))


def _said(complaint: str, data: Any) -> InitErrorDetails:
    error = ValueError(complaint)
    return {"type": "value_error", "loc": (), "input": data, "ctx": {"error": error}}


def exactly_one(*fields: str) -> Any:
    """Return a validator that refuses none and several of ``fields``."""
    names = ", ".join(map(repr, fields[:-1]))

    def check(cls: type[BaseModel], data: Mapping[str, Any]) -> str | None:
        given = sum(data.get(field) is not None for field in fields)
        if given == 1 or (not given and data.keys() - cls.model_fields.keys()):
            return None  # A strange field may be meant for one of them.
        return f"needs exactly one of {names} and {fields[-1]!r}"

    return fields_together(check)


class Audible(BaseModel):
    """Something to play: ``text``, ``file`` (WAV, MP3) or ``audio_url``.

    A text without a speakable word, such as the manual's ``...``, is a short silence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    text: SpokenText | None = None
    file: AudioPath | None = None
    audio_url: WebUrl | None = None

    def spoken_texts(self) -> Iterator[str]:
        """Yield the text that will be spoken, if any."""
        if self.text is not None and is_speakable(self.text):
            yield self.text

    def capability(self) -> Capability:
        """Return what playing it takes."""
        return Capability.PLAY if self.audio_url is None else Capability.AUDIO_URL

    def source(self, silence_ms: int) -> Source:
        """Return what to play; ``silence_ms`` stands for a text without words."""
        if self.file is not None:
            return AudioFile(self.file)
        if self.audio_url is not None:
            return AudioUrl(self.audio_url)
        return spoken(self.text or "", silence_ms)


class Prompt(Audible):
    """Exactly one of ``text``, ``file`` and ``audio_url``."""

    _has_one_source = exactly_one("text", "file", "audio_url")


def spoken(text: str, silence_ms: int) -> Source:
    """Return ``text`` as words, or as a silence when there is none in it."""
    return Say(text) if is_speakable(text) else Silence(silence_ms)
