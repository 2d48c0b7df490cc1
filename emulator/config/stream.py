"""The section ``stream``: made of the knobs, each described in one place."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from pydantic import AfterValidator, Field, create_model

from emulator.config.section import Section, by_default
from emulator.stream_options import SECTIONS, Knob, StreamOptions, knobs, setting_of

_ABOUT = {
    "media_format": "What start says of the audio's format.",
    "custom_params": "Limits of custom parameters.",
}


class _StreamSection(Section):
    def options(self) -> dict[str, Any]:
        """Return the fields of ``StreamOptions``."""
        return {
            field.name: self._value(setting_of(field.name))
            for field in dataclasses.fields(StreamOptions)
        }

    def _value(self, path: str) -> Any:
        found: Any = self
        for name in path.split(".")[1:]:
            found = getattr(found, name)
        return found


def _checked(knob: Knob) -> Callable[[object], object]:
    def check(value: object) -> object:
        if problem := knob.problem(value):
            raise ValueError(problem)
        return value

    return check


def _fields() -> Mapping[str, dict[str, Any]]:
    """Return the fields of the section and of those in it; the section's own is ""."""
    hints = get_type_hints(StreamOptions)
    defaults = StreamOptions()
    found: dict[str, dict[str, Any]] = {"": {}, **{name: {} for name in SECTIONS}}
    for name, knob in knobs():
        section, _, own = setting_of(name).removeprefix("stream.").rpartition(".")
        found[section][own] = (
            Annotated[hints[name], AfterValidator(_checked(knob))],
            Field(getattr(defaults, name), description=knob.why),
        )
    return found


def _stream_settings() -> type[Section]:
    """Make the section ``stream`` of the knobs, each described in one place."""
    fields = _fields()
    inner: dict[str, Any] = {}
    for name in SECTIONS:
        title = "".join(word.title() for word in name.split("_"))
        model = create_model(
            f"{title}Settings", __base__=Section, __doc__=_ABOUT[name], **fields[name]
        )
        inner[name] = (model, by_default())
    return create_model(
        "StreamSettings",
        __base__=_StreamSection,
        __doc__="The WebSocket stream to the bot; defaults: profile ``observed``.",
        **fields[""],
        **inner,
    )


if TYPE_CHECKING:

    class CustomParamsSettings(Section):
        """Limits of custom parameters."""

        max: int = 25
        max_chars: int = 800

    class StreamSettings(_StreamSection):
        """The section as far as control itself reads it."""

        media_chunk_ms: int = 20
        close_mode: str = "abrupt"
        custom_params: CustomParamsSettings = CustomParamsSettings()
        accept_sample_rate_underscore: bool = False
        max_streams: int = 100
        codec: str = "pcm_s16le"
        sid_style: str = "dated"

else:
    StreamSettings = _stream_settings()
