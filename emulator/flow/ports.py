"""The verbs that an applet may use, with their results: the flow room's only outside.

A verb is a frozen value that the calls room carries out; what came of it goes back into
``FlowRun.resume`` as the verb's result. Failures are results too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar, Generic, Literal, TypeAlias, TypeVar

R = TypeVar("R")


class Capability(Enum):
    """What the calls room can carry out; a flow that needs more is refused at load."""

    PLAY = "playing a text or an audio file"
    STREAM = "a two-way stream to a WebSocket URL"
    HANG_UP = "hanging up"
    FETCH = "a dynamic URL (http, https)"


@dataclass(frozen=True, slots=True)
class Say:
    """Words to speak: plain text, at most 1000 characters."""

    text: str


@dataclass(frozen=True, slots=True)
class AudioFile:
    """A WAV or MP3 file; its path is seen from the working directory."""

    path: str


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing to hear, for a while."""

    duration_ms: int


Source: TypeAlias = Say | AudioFile | Silence


@dataclass(frozen=True, slots=True)
class PlayResult:
    """How a prompt ended.

    ``stopped`` is a prompt that was cut, by command or because the caller has gone;
    ``error`` says why a prompt ``failed``.
    """

    outcome: Literal["played", "stopped", "failed"]
    error: str | None = None


@dataclass(frozen=True, slots=True)
class StreamResult:
    """How a stream ended (streaming spec §5).

    Attributes:
        stream_sid: None when the stream was never tried.
        status: ``completed``, ``failed`` or ``cancelled``.
        disconnected_by: ``bot``, ``user`` or ``NA``.
        error: ``3009 …`` text on failure, else None.
        detailed_status: ``Streaming_call_throttled``, or None.
        duration_s: None when the stream was cancelled before it was open.
        recording_url: Where its recording will be.
    """

    stream_sid: str | None
    status: Literal["completed", "failed", "cancelled"]
    disconnected_by: Literal["bot", "user", "NA"]
    error: str | None = None
    detailed_status: str | None = None
    duration_s: float | None = None
    recording_url: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """The verb is carried out; there is nothing more to say."""


class Verb(Generic[R]):
    """One thing that an applet asks for; ``R`` is what comes back.

    Attributes:
        result_type: The class of ``R``.
        needs_caller: False when the verb makes sense after the caller has gone.
    """

    __slots__ = ()
    result_type: ClassVar[type[object]] = Done
    needs_caller: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Play(Verb[PlayResult]):
    """Play the sources to the caller, one after the other, to their end."""

    result_type: ClassVar[type[object]] = PlayResult

    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class OpenStream(Verb[StreamResult]):
    """Join the caller to a bot until the stream ends; the result comes then.

    Attributes:
        url: ``ws://`` or ``wss://``, as dialled, userinfo and query included.
        custom_parameters: All that ``start`` shall show: of the URL, of the applet and
            of the caller's SIP headers.
        codec: None leaves it to the setting ``stream.codec``.
    """

    result_type: ClassVar[type[object]] = StreamResult

    url: str
    two_way: bool = True
    sample_rate_hz: int = 8000
    codec: str | None = None
    custom_parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hangup(Verb[Done]):
    """End the call from our side; ``reason`` is for the timeline."""

    reason: str
