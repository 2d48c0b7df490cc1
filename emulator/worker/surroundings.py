"""What the engine is given: time, chance, a way to report, and everything that waits.

The engine itself never waits: decoding a file and dialling a bot happen elsewhere and
come back through callbacks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from emulator.clock import Clock
from emulator.events import JsonValue
from emulator.ids import IdSource
from emulator.worker.messages import OpenStream, Report

T = TypeVar("T")


class Background(Protocol):
    """Runs blocking work outside the tick."""

    def run(self, job: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
        """Run ``job`` in a thread; call ``done`` in the loop with what came of it."""


class StreamOutcome(Protocol):
    """How a stream ended: the fields of ``StreamEnded`` without its SID."""

    @property
    def status(self) -> str: ...
    @property
    def disconnected_by(self) -> str: ...
    @property
    def error(self) -> str | None: ...
    @property
    def duration_s(self) -> float: ...
    @property
    def close_code(self) -> int | None: ...
    @property
    def close_reason(self) -> str: ...
    @property
    def closed_first(self) -> str | None: ...
    @property
    def stats(self) -> Mapping[str, JsonValue]: ...


class StreamSink(Protocol):
    """What a stream tells the leg that it is joined to."""

    def stream_opened(self) -> None: ...
    def bot_audio(self, pcm: bytes | memoryview) -> None: ...
    def bot_mark(self, name: str) -> None: ...
    def bot_clear(self) -> None: ...
    def stream_happened(
        self, kind: str, at_s: float, data: Mapping[str, JsonValue]
    ) -> None: ...
    def stream_ended(self, ended: StreamOutcome) -> None: ...


class BotStream(Protocol):
    """The WebSocket conversation with one bot, as ``stream.client`` offers it."""

    @property
    def sample_rate_hz(self) -> int:
        """The rate of both directions; the bot's URL may ask for its own."""

    @property
    def chunk_bytes(self) -> int:
        """Caller audio wanted per ``send_audio``, in the stream's codec and rate."""

    def start(self) -> None: ...
    def send_audio(self, audio: bytes) -> None: ...
    def send_digit(self, digit: str, duration_ms: int) -> None: ...
    def mark_played(self, name: str) -> None: ...
    def close(self, reason: str) -> None: ...


# Makes the stream of a command; it is dialled by ``start``.
StreamDialer = Callable[[OpenStream, StreamSink], BotStream]


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Settings of the media plane, by the names that ``Configure.options`` uses.

    Attributes:
        rtp_timeout_s: ``RtpSilent`` is reported when no RTP came for so long.
        max_queued_s: Bot audio that may wait for playout; then the oldest goes.
        clear_granularity: ``message`` or ``packet``.
        mark_on_clear: ``echo`` or ``drop``.
        on_bot_close: ``drop`` or ``drain`` what a bot left behind.
        one_way_audio: A one-way stream has both parties, ``mixed``, or the ``caller``.
        inband_dtmf: Whether keys are also recognised by their sound.
        jitter_buffer_ms: How long inbound packets wait to be put in order; 0: not.
    """

    rtp_timeout_s: float = 30.0
    max_queued_s: float = 600.0
    clear_granularity: str = "message"
    mark_on_clear: str = "echo"
    on_bot_close: str = "drop"
    one_way_audio: str = "mixed"
    inband_dtmf: bool = False
    jitter_buffer_ms: int = 0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Everything that a leg needs from outside."""

    clock: Clock
    ids: IdSource
    report: Callable[[Report], None]
    background: Background
    dial: StreamDialer
    options: EngineOptions
