"""Commands down, reports up: all that control and a media worker share.

On the wire each message is a 4-byte big-endian length and an orjson array
``[type name, fields]``. Fields are JSON values; nested options travel as mappings whose
keys are the fields of the options class of their room, so that this module needs to
import none of them.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import orjson

from emulator.errors import LocalProtocolError
from emulator.events import JsonValue
from emulator.faults import Fault

_LENGTH = struct.Struct("!I")
# A command or report is small; a length beyond this means that the link is corrupt.
MAX_FRAME_BYTES = 1 << 20
# As long as a call may last (``TimeLimit`` of Calls/connect).
MAX_RECORDING_S = 14_400


@dataclass(frozen=True, slots=True)
class SrtpParams:
    """The keys of one RTP leg (RFC 4568); they are in no ``repr``.

    Attributes:
        suite: As SDP names it.
        local_key, remote_key: Base64 of master key and salt of what we send and hear.
        remote_mki_bytes: Length of the key's name in each packet of the peer; 0: none.
    """

    suite: str
    local_key: str = field(repr=False)
    remote_key: str = field(repr=False)
    remote_mki_bytes: int = 0


@dataclass(frozen=True, slots=True)
class MediaParams:
    """What offer and answer agreed on for one RTP leg.

    Attributes:
        codec: ``PCMU`` or ``PCMA``.
        payload_type: RTP payload type of the codec, both ways.
        telephone_event_payload_type: As negotiated, or None when the peer has no
            RFC 4733.
        ptime_ms: Packet duration towards the peer.
        remote_ip, remote_port: The peer's SDP address. Nothing is sent there before
            latching unless ``send_before_latch``.
        allowed_source_ips: Addresses that may latch; empty allows any.
        send, receive: The negotiated direction, seen from us (RFC 3264 §6.1).
        send_before_latch: True when the SDP address is trusted, so that audio may
            start before the first packet of the peer.
        wait_for_peer: Whether prompts wait until the peer is heard, or 250 ms, so that
            their beginning is not lost. False talks at once to a trusted SDP address,
            as a caller does.
        srtp: Keys when both directions are encrypted; None: plain RTP.
    """

    codec: str
    payload_type: int
    telephone_event_payload_type: int | None
    remote_ip: str
    remote_port: int
    ptime_ms: int = 20
    allowed_source_ips: tuple[str, ...] = ()
    send: bool = True
    receive: bool = True
    send_before_latch: bool = False
    wait_for_peer: bool = True
    srtp: SrtpParams | None = None


@dataclass(frozen=True, slots=True)
class Configure:
    """First command: the ports and options of this worker.

    ``options`` are the fields of ``worker.engine.EngineOptions``.
    """

    worker: int
    bind_ip: str
    rtp_port_min: int
    rtp_port_max: int
    options: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ping:
    """Heartbeat; answered by ``Pong`` with the same number."""

    number: int


@dataclass(frozen=True, slots=True)
class AddLeg:
    """Open an RTP port for a leg; answered by ``LegAdded`` or ``LegFailed``.

    ``media`` is None while our own offer waits for its answer.
    """

    leg_id: str
    call_sid: str
    media: MediaParams | None = None


@dataclass(frozen=True, slots=True)
class UpdateLeg:
    """New media parameters: an answer to our offer, a re-INVITE, hold or resume."""

    leg_id: str
    media: MediaParams


@dataclass(frozen=True, slots=True)
class StartLeg:
    """The call is answered and acknowledged: packets may flow, timers start."""

    leg_id: str


@dataclass(frozen=True, slots=True)
class RemoveLeg:
    """End a leg, its prompts and streams; answered by ``LegRemoved``.

    Streams that are open get ``stop`` with ``stop_reason`` first.
    """

    leg_id: str
    stop_reason: str = "callended"


@dataclass(frozen=True, slots=True)
class Play:
    """Queue a prompt; answered by ``PlayEnded``.

    Exactly one of ``path`` (WAV or MP3), ``silence_ms`` and ``tone`` (name of a
    built-in prompt) is given. ``loop`` repeats it without a gap until it is stopped:
    ringback and music on hold.
    """

    leg_id: str
    play_id: str
    path: str | None = None
    silence_ms: int | None = None
    tone: str | None = None
    loop: bool = False


@dataclass(frozen=True, slots=True)
class StopPlay:
    """Cut a prompt; its ``PlayEnded`` says ``stopped``."""

    leg_id: str
    play_id: str


@dataclass(frozen=True, slots=True)
class SendDigits:
    """Send RFC 4733 digits to the peer; answered by ``DigitsSent``."""

    leg_id: str
    digits: str
    duration_ms: int = 100
    gap_ms: int = 60


@dataclass(frozen=True, slots=True)
class InjectDigit:
    """A digit that came by signalling (SIP INFO), merged with those of RTP."""

    leg_id: str
    digit: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Impair:
    """Damage the RTP of a leg from now on, for tests; None heals that direction.

    ``inbound`` (from the peer) and ``outbound`` hold the fields of
    ``rtp.impairment.Damage``; the same ``seed`` gives the same damage.
    """

    leg_id: str
    seed: int = 0
    inbound: Mapping[str, float] | None = None
    outbound: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class OpenStream:
    """Dial a bot and join it to a leg.

    Attributes:
        url: ``ws://`` or ``wss://``, userinfo included: the worker turns it into an
            Authorization header and never reports it.
        two_way: True for Voicebot, False for a one-way Stream.
        options: The fields of ``stream_options.StreamOptions``.
        from_, to: As the bot shall read them in ``start``.
        faults: What shall go wrong on purpose with this stream.
        hide_digits: Tell the bot of keys, and nobody else (``encrypt_dtmf``).
    """

    leg_id: str
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
    options: Mapping[str, JsonValue] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    hide_digits: bool = False


@dataclass(frozen=True, slots=True)
class CloseStream:
    """End a stream from our side; ``StreamEnded`` follows."""

    stream_sid: str
    reason: str = "stopped"


@dataclass(frozen=True, slots=True)
class Bridge:
    """Let two legs of one worker talk to each other, keys included.

    What a leg is played, and what its two-way stream says, is mixed with what the
    other party says. ``other_leg_id`` of None parts the leg from its partner; a leg
    that is removed parts by itself.
    """

    leg_id: str
    other_leg_id: str | None


@dataclass(frozen=True, slots=True)
class StartRecording:
    """Record a leg into a file; ``RecordingEnded`` follows, whatever happens.

    Attributes:
        path: Where the file shall be; its folder exists.
        format: ``mp3`` (8 kbps), ``mp3_hq`` (32 kbps per channel), ``wav`` or ``raw``
            (PCM16 little endian without a header).
        channels: ``single`` mixes, ``dual`` has what the party said left and what it
            heard right.
        parties: ``both``, or ``caller`` for what the party said alone.
        hide_digits: Put silence where keys are heard (``encrypt_dtmf``).
        max_s: Where it ends by itself.
    """

    leg_id: str
    recording_id: str
    path: str
    format: str = "mp3"
    channels: str = "single"
    parties: str = "both"
    hide_digits: bool = False
    max_s: float = MAX_RECORDING_S


@dataclass(frozen=True, slots=True)
class StopRecording:
    """End a recording; those of a leg that is removed end by themselves."""

    leg_id: str
    recording_id: str


@dataclass(frozen=True, slots=True)
class Drain:
    """Stop every stream and leg with ``reason``, then exit."""

    reason: str = "callended"


@dataclass(frozen=True, slots=True)
class Alive:
    """First report: the worker's code is loaded and its loop runs."""

    pid: int


@dataclass(frozen=True, slots=True)
class Configured:
    """The engine stands; legs may be added."""


@dataclass(frozen=True, slots=True)
class Pong:
    """Answer to ``Ping``."""

    number: int


@dataclass(frozen=True, slots=True)
class LegAdded:
    """The leg's RTP port is open."""

    leg_id: str
    rtp_port: int


@dataclass(frozen=True, slots=True)
class LegFailed:
    """No port for the leg; ``reason`` names the setting that limits it."""

    leg_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class LegRemoved:
    """The leg is gone; its counters."""

    leg_id: str
    stats: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class PlayEnded:
    """A prompt is over.

    ``outcome`` is ``played``, ``stopped`` (by command), ``leg_removed`` or ``failed``
    (then ``error`` says why).
    """

    leg_id: str
    play_id: str
    outcome: str
    played_ms: int
    error: str | None = None


@dataclass(frozen=True, slots=True)
class DigitsSent:
    """All digits of a ``SendDigits`` went out."""

    leg_id: str


@dataclass(frozen=True, slots=True)
class DigitPressed:
    """The caller pressed and released a key; one report per press."""

    leg_id: str
    digit: str
    duration_ms: int
    at_s: float
    source: str


@dataclass(frozen=True, slots=True)
class RtpSilent:
    """No RTP from the peer for the configured time."""

    leg_id: str
    silent_s: float


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """A stream is over, or never came to be.

    Attributes:
        status: ``completed``, ``failed`` or ``cancelled`` (streaming spec §5).
        disconnected_by: ``bot``, ``user`` or ``NA``.
        error: ``3009 …`` text on failure, else None.
        detailed_status: ``Streaming_call_throttled``, or None.
        duration_s: From ``start`` to the end; 0 on failure.
        closed_first: ``bot`` by a close frame, ``platform``, or ``network``: the
            connection ended without a close frame; None if never open.
    """

    stream_sid: str
    status: str
    disconnected_by: str
    error: str | None
    duration_s: float
    close_code: int | None
    close_reason: str
    closed_first: str | None
    stats: Mapping[str, JsonValue] = field(default_factory=dict)
    leg_id: str = ""
    detailed_status: str | None = None


@dataclass(frozen=True, slots=True)
class RecordingEnded:
    """A recording's file is complete, or could not be written.

    ``error`` says why not, else None. ``dropped_ms`` of the duration are silence,
    because the disk was too slow.
    """

    leg_id: str
    recording_id: str
    path: str
    duration_ms: int
    size_bytes: int
    error: str | None = None
    dropped_ms: int = 0


@dataclass(frozen=True, slots=True)
class Happened:
    """An entry for the timeline that control does not act on.

    ``leg_id`` tells whose timeline; kinds are those of ``events.EVENT_KINDS``.
    """

    leg_id: str
    kind: str
    at_s: float
    data: Mapping[str, JsonValue] = field(default_factory=dict)


Command: TypeAlias = (
    Configure | Ping | AddLeg | UpdateLeg | StartLeg | RemoveLeg | Play | StopPlay
    | SendDigits | InjectDigit | Impair | OpenStream | CloseStream | Bridge
    | StartRecording | StopRecording | Drain
)  # fmt: skip
Report: TypeAlias = (
    Alive | Configured | Pong | LegAdded | LegFailed | LegRemoved | PlayEnded
    | DigitsSent | DigitPressed | RtpSilent | StreamEnded | RecordingEnded | Happened
)  # fmt: skip
Message: TypeAlias = Command | Report

_TYPES: dict[str, type[Any]] = {
    cls.__name__: cls for cls in (*Command.__args__, *Report.__args__)
}


def pack_message(message: Message) -> bytes:
    """Return the length-prefixed frame of ``message``."""
    body = orjson.dumps([type(message).__name__, message])
    return _LENGTH.pack(len(body)) + body


def _unpack_body(body: bytes) -> Message:
    name, fields = orjson.loads(body)
    cls = _TYPES[name]
    if fields.get("media") is not None:
        media = fields["media"]
        media["allowed_source_ips"] = tuple(media["allowed_source_ips"])
        if media["srtp"] is not None:
            media["srtp"] = SrtpParams(**media["srtp"])
        fields["media"] = MediaParams(**media)
    if "faults" in fields:
        fields["faults"] = tuple(Fault(**fault) for fault in fields["faults"])
    message: Message = cls(**fields)
    return message


class MessageReader:
    """Cuts a byte stream into messages; keeps the rest for the next bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield every message that is complete once ``data`` has arrived.

        Raises:
            LocalProtocolError: The peer sent an absurd length; both ends are ours.
        """
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > MAX_FRAME_BYTES:
                raise LocalProtocolError(f"worker link frame of {length} bytes")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield _unpack_body(body)


def field_names(cls: type[Any]) -> frozenset[str]:
    """Return the field names of a message or options class."""
    return frozenset(f.name for f in dataclasses.fields(cls))
