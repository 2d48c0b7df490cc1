"""What the media engine hands to a stream, and what it hears from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from emulator.events import JsonValue
from emulator.faults import Fault

Codec = Literal["pcm_s16le", "mulaw"]
SAMPLE_BYTES: Mapping[str, int] = {"pcm_s16le": 2, "mulaw": 1}


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """Which bot to dial and what to tell it; the worker's OpenStream, less the leg.

    Attributes:
        url: ``ws://`` or ``wss://``, userinfo included; never reported as it is.
        from_, to: As the bot shall read them in ``start``.
        custom_parameters: Joined with those of the URL, and stronger.
        sample_rate_hz: Used unless the URL names a rate.
        codec: ``pcm_s16le`` or ``mulaw``, both ways.
        two_way: True for Voicebot, False for a one-way Stream.
        faults: What shall go wrong on purpose.
        hide_digits: Report no key but to the bot.
    """

    stream_sid: str
    call_sid: str
    account_sid: str
    url: str
    from_: str
    to: str
    custom_parameters: Mapping[str, str] = field(default_factory=dict)
    sample_rate_hz: int = 8000
    codec: str = "pcm_s16le"
    two_way: bool = True
    faults: tuple[Fault, ...] = ()
    hide_digits: bool = False


@dataclass(frozen=True, slots=True)
class StreamOutcome:
    """How a stream ended (streaming spec §5).

    Attributes:
        status: ``completed``, ``failed`` or ``cancelled``.
        disconnected_by: ``bot``, ``user`` or ``NA``.
        error: Text on failure, ``3009 …`` when it never opened; else None.
        duration_s: From ``start`` to the end; 0 when it never opened.
        close_code: As the bot saw or sent it; 1005 and 1006 as RFC 6455 §7.1.5
            defines them; None when it never opened.
        closed_first: ``bot``, ``platform`` or ``network``; None if never open.
    """

    status: str
    disconnected_by: str
    error: str | None = None
    duration_s: float = 0.0
    close_code: int | None = None
    close_reason: str = ""
    closed_first: str | None = None
    stats: Mapping[str, JsonValue] = field(default_factory=dict)


class StreamSink(Protocol):
    """Whoever joins a stream to a leg."""

    def stream_opened(self) -> None:
        """The handshake succeeded and ``start`` is sent: audio may be sent."""

    def bot_audio(self, pcm: bytes | memoryview) -> None:
        """One message's audio in the stream's codec and rate, in whole samples."""

    def bot_mark(self, name: str) -> None:
        """A mark to be echoed when what came before it has been played."""

    def bot_clear(self) -> None:
        """Drop the queued audio, as ``clear_granularity`` says."""

    def stream_happened(
        self, kind: str, at_s: float, data: Mapping[str, JsonValue]
    ) -> None:
        """An entry for the timeline; kinds are those of ``events.EVENT_KINDS``."""

    def stream_ended(self, ended: StreamOutcome) -> None:
        """The stream is over. Called exactly once, also after a failed connect."""
