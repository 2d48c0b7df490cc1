"""The section ``stream``: made of the knobs, each described in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from pydantic import AfterValidator, Field, create_model

from emulator.config.section import Section
from emulator.stream_options import Knob, StreamOptions, knobs


def _checked(knob: Knob) -> Callable[[object], object]:
    def check(value: object) -> object:
        if problem := knob.problem(value):
            raise ValueError(problem)
        return value

    return check


def _stream_settings() -> type[Section]:
    """Make the section ``stream`` of the knobs, each described in one place."""
    hints = get_type_hints(StreamOptions)
    defaults = StreamOptions()
    fields: dict[str, Any] = {
        name: (
            Annotated[hints[name], AfterValidator(_checked(knob))],
            Field(getattr(defaults, name), description=knob.why),
        )
        for name, knob in knobs()
    }
    return create_model(
        "StreamSettings",
        __base__=Section,
        __doc__="The WebSocket stream to the bot; defaults: profile ``observed``.",
        **fields,
    )


if TYPE_CHECKING:

    class StreamSettings(Section):
        """The section as far as control itself reads it."""

        media_chunk_ms: int = 20
        close_mode: str = "abrupt"
        custom_params_max: int = 25
        custom_params_max_chars: int = 800
        accept_sample_rate_underscore: bool = False
        max_streams: int = 100
        codec: str = "pcm_s16le"
        sid_style: str = "dated"

else:
    StreamSettings = _stream_settings()
