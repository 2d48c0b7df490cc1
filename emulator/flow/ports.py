"""The verbs that an applet may use, with their results: the flow room's only outside.

A verb is a frozen value that the calls room carries out; what came of it goes back into
``FlowRun.resume`` as the verb's result. Failures are results too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import ClassVar, Generic, Literal, TypeAlias, TypeVar

R = TypeVar("R")


class Capability(Enum):
    """What the calls room can carry out; a flow that needs more is refused at load."""

    PLAY = "playing a text or an audio file"
    AUDIO_URL = "playing an audio URL"
    STREAM = "a two-way stream to a WebSocket URL"
    FORK_STREAM = "a one-way stream"
    RECORD_STREAM = "recording a stream"
    FETCH = "a request to an http(s) URL"
    CLOCK = "telling the time of day"
    COLLECT = "collecting digits"
    DIAL = "connecting to another party"
    RECORD_VOICE = "recording a message"
    SEND_MESSAGE = "sending a message"
    TRANSFER = "going on in another flow"
    HANG_UP = "hanging up"


# --- what verbs are given ------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Say:
    """Words to speak: plain text, at most 1000 characters."""

    text: str


@dataclass(frozen=True, slots=True)
class AudioFile:
    """A WAV or MP3 file; its path is seen from the working directory."""

    path: str


@dataclass(frozen=True, slots=True)
class AudioUrl:
    """A WAV or MP3 at an http(s) URL: HEAD, then GET, and kept by its URL."""

    url: str


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing to hear, for a while."""

    duration_ms: int


Source: TypeAlias = Say | AudioFile | AudioUrl | Silence


@dataclass(frozen=True, slots=True)
class Recording:
    """How to record (streaming spec §6).

    Attributes:
        format: ``mp3`` has 8 kbps, ``mp3_hq`` 32 kbps per channel; the platform has no
            ``wav``.
        encrypt_dtmf: Keep digits out of recording, timeline and logs.
    """

    channels: Literal["single", "dual"] = "single"
    format: Literal["mp3", "mp3_hq", "raw", "wav"] = "mp3"
    encrypt_dtmf: bool = False


@dataclass(frozen=True, slots=True)
class Playback:
    """What is played when a dialled party answers, before both talk."""

    to: Literal["callee", "both"]
    sources: tuple[Source, ...]


# --- what comes back -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Done:
    """The verb is carried out; there is nothing more to say."""


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
class StreamStarted:
    """A one-way stream is being set up; its end comes by ``FlowRun.stream_ended``.

    Attributes:
        result: Its end, when it failed at once: no later word comes.
    """

    stream_sid: str
    result: StreamResult | None = None


@dataclass(frozen=True, slots=True)
class FetchResult:
    """An answer, or why there is none.

    Attributes:
        status: None when there was no answer in time.
        content_type: As it stands in the header.
        body: Decoded and cut to the verb's limit; ``is_cut`` tells so.
    """

    status: int | None
    content_type: str = ""
    body: str = ""
    error: str | None = None
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Time:
    """The time of day, timezone-aware."""

    now: datetime


@dataclass(frozen=True, slots=True)
class CollectResult:
    """The digits that came, without the finishing key; empty when none did."""

    digits: str


@dataclass(frozen=True, slots=True)
class LegOutcome:
    """What became of one dialled party.

    Attributes:
        cause: A name such as ``NORMAL_CLEARING``, ``USER_BUSY``, ``NO_ANSWER``.
        cause_code: Its number (Q.850), such as 16.
    """

    number: str
    status: Literal["completed", "busy", "no-answer", "failed", "canceled"]
    talk_s: float = 0.0
    cause: str = "NORMAL_CLEARING"
    cause_code: int = 16


@dataclass(frozen=True, slots=True)
class DialResult:
    """What became of one attempt: of every party that was rung in it.

    Attributes:
        talk_s: How long caller and callee talked; None when nobody answered.
        ended_by: Who ended the talk, or the ringing; ``worker``: their media was lost.
        recording_url: Where the recording of the talk will be.
    """

    legs: tuple[LegOutcome, ...]
    talk_s: float | None = None
    ended_by: Literal["caller", "callee", "limit", "worker"] | None = None
    recording_url: str | None = None


@dataclass(frozen=True, slots=True)
class VoiceResult:
    """A recorded message; no URL when nothing was said."""

    recording_url: str | None
    duration_s: float = 0.0


# --- verbs -----------------------------------------------------------------------


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
        custom_parameters: What ``start`` shall show beside those of the URL: of the
            applet and of the caller's SIP headers.
        codec: None leaves it to the setting ``stream.codec``.
    """

    result_type: ClassVar[type[object]] = StreamResult

    url: str
    two_way: bool = True
    sample_rate_hz: int = 8000
    codec: str | None = None
    custom_parameters: Mapping[str, str] = field(default_factory=dict)
    record: Recording | None = None


@dataclass(frozen=True, slots=True)
class FailStream(Verb[StreamResult]):
    """Let a stream fail that has no URL to dial: its dynamic URL led to none.

    Attributes:
        asked: The dynamic URL.
        error: Why it led to none.
        two_way, record: As of the stream that was wanted.
        is_cancelled: The caller left meanwhile.
    """

    result_type: ClassVar[type[object]] = StreamResult
    needs_caller: ClassVar[bool] = False

    asked: str
    error: str
    two_way: bool = True
    record: Recording | None = None
    is_cancelled: bool = False


@dataclass(frozen=True, slots=True)
class StartStream(Verb[StreamStarted]):
    """Begin a one-way stream and go on at once; the fields are ``OpenStream``'s."""

    result_type: ClassVar[type[object]] = StreamStarted

    url: str
    sample_rate_hz: int = 8000
    codec: str | None = None
    custom_parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StopStream(Verb[StreamResult]):
    """End a one-way stream."""

    result_type: ClassVar[type[object]] = StreamResult

    stream_sid: str


@dataclass(frozen=True, slots=True)
class Fetch(Verb[FetchResult]):
    """Ask a customer's server; redirects are answers and are not followed.

    Attributes:
        purpose: For the timeline: ``passthru``, ``connect``, ``greeting`` ….
        url: With its query; userinfo becomes an Authorization header.
        form: Body of a POST, form-encoded.
        is_awaited: False sends it and goes on with an empty result.
    """

    result_type: ClassVar[type[object]] = FetchResult
    needs_caller: ClassVar[bool] = False

    purpose: str
    url: str
    timeout_s: float
    method: Literal["GET", "HEAD", "POST"] = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    form: tuple[tuple[str, str], ...] = ()
    is_awaited: bool = True
    max_body_bytes: int = 65536


@dataclass(frozen=True, slots=True)
class TellTime(Verb[Time]):
    """Ask for the time of day."""

    result_type: ClassVar[type[object]] = Time
    needs_caller: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Collect(Verb[CollectResult]):
    """Play a prompt and gather digits, which cut it short.

    Attributes:
        finish_on_key: Ends the input and is no part of it; None: no key does.
        timeout_s: Wait for the first digit after the prompt, and between digits.
    """

    result_type: ClassVar[type[object]] = CollectResult

    prompt: tuple[Source, ...]
    max_digits: int
    finish_on_key: str | None
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Dial(Verb[DialResult]):
    """Ring all destinations at once; who answers first talks to the caller.

    Attributes:
        destinations: ``user:<name>``, ``sip:<trunk>`` or a telephone number.
        caller_id: An ExoPhone; None: the number that was called.
        sip_headers: For SIP destinations, names with ``X-``.
        event_url: Told about Dial, Ringing, Answered and Terminal.
    """

    result_type: ClassVar[type[object]] = DialResult

    destinations: tuple[str, ...]
    ring_s: float
    talk_s: float | None = None
    caller_id: str | None = None
    record: Recording | None = None
    music_on_hold: Source | Literal["default", "operator_tone", "none"] = "default"
    playback: Playback | None = None
    sip_headers: tuple[tuple[str, str], ...] = ()
    event_url: str | None = None


@dataclass(frozen=True, slots=True)
class RecordVoice(Verb[VoiceResult]):
    """Play a prompt and a beep, then record what the caller says."""

    result_type: ClassVar[type[object]] = VoiceResult

    prompt: tuple[Source, ...]
    mailbox: str
    max_s: float
    finish_on_key: str | None


@dataclass(frozen=True, slots=True)
class SendMessage(Verb[Done]):
    """Put an SMS or email into the outbox; nothing leaves the machine."""

    needs_caller: ClassVar[bool] = False

    kind: Literal["sms", "email"]
    to: str
    subject: str
    body: str


@dataclass(frozen=True, slots=True)
class Hangup(Verb[Done]):
    """End the call from our side, if it is up; ``reason`` is for the timeline."""

    needs_caller: ClassVar[bool] = False

    reason: str


@dataclass(frozen=True, slots=True)
class StayOnLine(Verb[Done]):
    """Leave the call open and silent until it ends; never resumed."""

    why: str
