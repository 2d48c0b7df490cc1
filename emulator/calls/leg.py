"""One party's side of a call: its RTP leg in a media worker, and what runs on it.

Commands go down through the pool; each thing that ends by a report (a prompt, a
stream, the leg itself) is awaited here. A dead worker ends all of them at once, as if
it had reported so.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypedDict, TypeVar, Unpack

from emulator.calls.streams import StreamLimit
from emulator.events import JsonValue
from emulator.faults import Fault, Layer
from emulator.faults.kinds import STREAM_LAYERS
from emulator.waiting import answer_within
from emulator.worker.messages import (
    Bridge,
    CloseStream,
    Command,
    DigitPressed,
    Happened,
    Impair,
    InjectDigit,
    LegRemoved,
    MediaParams,
    OpenStream,
    Play,
    PlayEnded,
    RecordingEnded,
    RemoveLeg,
    Report,
    RtpSilent,
    SendDigits,
    StartLeg,
    StartRecording,
    StopPlay,
    StopRecording,
    StreamEnded,
    UpdateLeg,
)

R = TypeVar("R", PlayEnded, StreamEnded, LegRemoved)

THROTTLED = "Streaming_call_throttled"
# For a leg to end with its streams: ``stop`` leaves, ``stream.close_delay_ms`` later
# the socket ends, and the bot has a moment for its own end. Who answers later is lost.
REMOVAL_DEADLINE_S = 5.0
# The parameters of the fault ``rtp`` that are none of the damage.
_DIRECTION = "direction"
_WAYS = ("from_caller", "to_caller")


class Prompt(TypedDict, total=False):
    """What to play; one of the fields of ``worker.messages.Play``."""

    path: str
    silence_ms: int
    tone: str
    loop: bool


class Workers(Protocol):
    """What a leg needs of the worker pool."""

    async def add_leg(
        self, leg_id: str, call_sid: str, media: MediaParams | None = None
    ) -> int:
        """Open an RTP port and return it."""

    def send(self, command: Command) -> None:
        """Send a command to the worker of its leg or stream."""


class LegListener(Protocol):
    """Who is told what happens on a leg."""

    def record(
        self,
        kind: str,
        data: Mapping[str, JsonValue] | None = None,
        /,
        *,
        at_s: float | None = None,
        **more: JsonValue,
    ) -> None:
        """Put an event on the call's timeline."""

    def digit_pressed(self, leg: Leg, digit: str) -> None:
        """The party pressed a key."""

    def rtp_silent(self, leg: Leg, silent_s: float) -> None:
        """The party sent no RTP for too long."""

    def worker_lost(self, leg: Leg, reason: str) -> None:
        """The leg's media worker is gone, and the leg with it."""


class _Nobody:
    """Listens to the leg of a call that is over."""

    def record(
        self,
        kind: str,
        data: Mapping[str, JsonValue] | None = None,
        /,
        *,
        at_s: float | None = None,
        **more: JsonValue,
    ) -> None:
        """The timeline has ended."""

    def digit_pressed(self, leg: Leg, digit: str) -> None:
        """Nobody waits for it."""

    def rtp_silent(self, leg: Leg, silent_s: float) -> None:
        """It is to be silent."""

    def worker_lost(self, leg: Leg, reason: str) -> None:
        """The leg needs it no more."""


_NOBODY = _Nobody()


class Leg:
    """The media of one party.

    Args:
        limit: Of the streams of all calls; None: this leg's do not count.

    Attributes:
        faults: What shall go wrong with its media and streams; set before ``open``.
    """

    def __init__(
        self,
        leg_id: str,
        call_sid: str,
        workers: Workers,
        listener: LegListener,
        limit: StreamLimit | None = None,
    ) -> None:
        self.leg_id = leg_id
        self.faults: tuple[Fault, ...] = ()
        self._limit = limit or StreamLimit(sys.maxsize)
        self._call_sid = call_sid
        self._workers = workers
        self._listener: LegListener = listener
        self._plays: dict[str, asyncio.Future[PlayEnded]] = {}
        self._streams: dict[str, asyncio.Future[StreamEnded]] = {}
        self._recordings: dict[str, Callable[[RecordingEnded], None]] = {}
        self._removed: asyncio.Future[LegRemoved] | None = None
        self._rtp_port: int | None = None
        self._next_play = 0
        self._said: Mapping[str, JsonValue] = {}
        self._lost_streams: set[str] = set()

    @property
    def listener(self) -> LegListener:
        """Who is told what happens on this leg."""
        return self._listener

    async def open(self, media: MediaParams | None) -> int:
        """Open the RTP port and return it; a leg that is open keeps its port.

        Raises:
            WorkerLost: The media worker is not there.
            MediaError: It has no port left.
        """
        if self._rtp_port is not None:
            return self._rtp_port
        port = await self._workers.add_leg(self.leg_id, self._call_sid, media)
        self._rtp_port = port
        self._listener.record("media.started", {"rtp_port": port, **_describe(media)})
        if faults := [f for f in self.faults if f.layer is Layer.RTP]:
            self._workers.send(_impair(self.leg_id, faults))
        return port

    @property
    def _is_gone(self) -> bool:
        """Whether nobody would answer a command about this leg."""
        return self._rtp_port is None or self._removed is not None

    def has_fault(self, kind: str) -> bool:
        """Tell whether this was chosen to go wrong with the call."""
        return any(fault.kind == kind for fault in self.faults)

    def start(self) -> None:
        """Let packets flow: the call is answered."""
        self._workers.send(StartLeg(self.leg_id))

    def update(self, media: MediaParams) -> None:
        """Apply what a later offer and answer agreed on."""
        self._workers.send(UpdateLeg(self.leg_id, media))

    def inject_digit(self, digit: str, duration_ms: int) -> None:
        """Pass on a digit that came by signalling."""
        self._workers.send(InjectDigit(self.leg_id, digit, duration_ms))

    def send_digits(self, digits: str) -> None:
        """Press keys towards the party."""
        self._workers.send(SendDigits(self.leg_id, digits))

    def bridge(self, other: Leg | None) -> None:
        """Let the party talk to that of another leg; None parts them."""
        self._workers.send(Bridge(self.leg_id, other.leg_id if other else None))

    async def play(
        self, said: Mapping[str, JsonValue], **what: Unpack[Prompt]
    ) -> PlayEnded:
        """Play one prompt to its end; ``said`` describes it on the timeline."""
        self._next_play += 1
        play_id = f"{self.leg_id}.{self._next_play}"
        if self._is_gone:
            return PlayEnded(self.leg_id, play_id, "leg_removed", 0)
        self._said = said
        command = Play(self.leg_id, play_id, **what)
        try:
            return await self._ask(self._plays, play_id, command)
        except asyncio.CancelledError:
            self._workers.send(StopPlay(self.leg_id, play_id))
            raise

    def stop_prompts(self) -> None:
        """Cut what is playing; each ``play`` returns with ``stopped``."""
        for play_id in self._plays:
            self._workers.send(StopPlay(self.leg_id, play_id))

    async def stream(self, command: OpenStream) -> StreamEnded:
        """Join the leg to a bot; return when the stream is over."""
        if self._is_gone:
            return _cancelled_stream(command.stream_sid)
        with self._limit.place() as there_is_a_place:
            if not there_is_a_place:
                return self._throttle(command)
            faults = tuple(f for f in self.faults if f.layer in STREAM_LAYERS)
            command = replace(command, faults=faults)
            try:
                return await self._ask(self._streams, command.stream_sid, command)
            except asyncio.CancelledError:
                self._workers.send(CloseStream(command.stream_sid))
                raise

    def start_recording(
        self, command: StartRecording, on_ended: Callable[[RecordingEnded], None]
    ) -> None:
        """Record the leg; ``on_ended`` is called once, whatever happens."""
        if self._is_gone:
            on_ended(_lost_recording(command.recording_id, "the leg is not open"))
            return
        self._recordings[command.recording_id] = on_ended
        self._workers.send(command)

    def stop_recording(self, recording_id: str) -> None:
        """End a recording; its ``on_ended`` follows."""
        self._workers.send(StopRecording(self.leg_id, recording_id))

    def _throttle(self, command: OpenStream) -> StreamEnded:
        """Fail a stream at once: the account has too many (streaming spec §5.3)."""
        ended = _failed_stream(command.stream_sid, None, None, THROTTLED)
        self._listener.record(
            "stream.failed",
            stream_sid=command.stream_sid,
            status=ended.status,
            disconnected_by=ended.disconnected_by,
            detailed_status=THROTTLED,
        )
        maximum = self._limit.maximum
        text = f"{maximum} streams are open: no more at once (stream.max_streams)"
        self._listener.record("note", text=text)
        return ended

    def close_stream(self, stream_sid: str) -> None:
        """End a stream from our side; its ``stream`` returns soon."""
        self._workers.send(CloseStream(stream_sid))

    async def _ask(
        self, waiting: dict[str, asyncio.Future[R]], key: str, command: Command
    ) -> R:
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        waiting[key] = answer
        try:
            self._workers.send(command)
            return await answer
        finally:
            waiting.pop(key, None)

    async def remove(self, stop_reason: str) -> Mapping[str, JsonValue]:
        """End prompts, streams and the leg; return its counters, empty if lost."""
        if self._rtp_port is None:
            return {}
        self._removed = asyncio.get_running_loop().create_future()
        self._workers.send(RemoveLeg(self.leg_id, stop_reason))
        try:
            return (await answer_within(REMOVAL_DEADLINE_S, self._removed)).stats
        except TimeoutError:
            self.lose("the media worker did not answer")
            return {}

    def on_report(self, report: Report) -> None:
        """Take a report about this leg or a stream on it."""
        match report:
            case Happened():
                self._take_event(report)
            case PlayEnded():
                _resolve(self._plays.get(report.play_id), report)
            case StreamEnded():
                _resolve(self._streams.get(report.stream_sid), report)
            case DigitPressed():
                self._take_digit(report)
            case RtpSilent():
                self._listener.rtp_silent(self, report.silent_s)
            case RecordingEnded():
                self._end_recording(report)
            case LegRemoved():
                self._rtp_port = None
                _resolve(self._removed, report)
            case _:
                pass  # Answers to requests of the pool itself end there.

    def _end_recording(self, report: RecordingEnded) -> None:
        if on_ended := self._recordings.pop(report.recording_id, None):
            on_ended(report)

    def _take_event(self, report: Happened) -> None:
        data = report.data
        if report.kind == "stream.closed" and data["stream_sid"] in self._lost_streams:
            return  # The timeline has its end already.
        if report.kind == "prompt.started":
            # The worker knows when, control knows what.
            data = {**self._said, "duration_ms": data.get("duration_ms")}
        self._listener.record(report.kind, data, at_s=report.at_s)

    def _take_digit(self, report: DigitPressed) -> None:
        self._listener.record(
            "digit",
            at_s=report.at_s,
            digit=report.digit,
            duration_ms=report.duration_ms,
            source=report.source,
        )
        self._listener.digit_pressed(self, report.digit)

    def release(self) -> None:
        """Tell nobody any more: the call, which has this leg, is over."""
        self._listener = _NOBODY

    def worker_lost(self, reason: str) -> None:
        """The worker died: who listens is told, then everything here ends."""
        self._listener.worker_lost(self, reason)
        self.lose(reason)

    def lose(self, reason: str) -> None:
        """End everything that waits: the worker is gone."""
        self._rtp_port = None
        for play_id, play in self._plays.items():
            _resolve(play, PlayEnded(self.leg_id, play_id, "leg_removed", 0, reason))
        for stream_sid, stream in self._streams.items():
            lost = _failed_stream(stream_sid, reason, "platform")
            self._lost_streams.add(stream_sid)
            self._listener.record(
                "stream.closed",
                stream_sid=stream_sid,
                status=lost.status,
                disconnected_by=lost.disconnected_by,
                closed_first=lost.closed_first,
                error=reason,
            )
            _resolve(stream, lost)
        for recording_id in list(self._recordings):
            self._end_recording(_lost_recording(recording_id, reason))
        _resolve(self._removed, LegRemoved(self.leg_id, {}))


def _describe(media: MediaParams | None) -> dict[str, JsonValue]:
    """Return what is agreed on so far: nothing while our own offer is open."""
    if media is None:
        return {}
    return {
        "codec": media.codec,
        "ptime_ms": media.ptime_ms,
        "peer": f"{media.remote_ip}:{media.remote_port}",
        **({"srtp": media.srtp.suite} if media.srtp else {}),
    }


def _cancelled_stream(stream_sid: str) -> StreamEnded:
    """Return the end of a stream that the caller did not wait for (spec §5.2)."""
    gone = _failed_stream(stream_sid, None, None)
    return replace(gone, status="cancelled", disconnected_by="user")


def _failed_stream(
    stream_sid: str,
    error: str | None,
    closed_first: str | None,
    detailed_status: str | None = None,
) -> StreamEnded:
    return StreamEnded(
        stream_sid=stream_sid,
        status="failed",
        disconnected_by="NA",
        error=error,
        duration_s=0.0,
        close_code=None,
        close_reason="",
        closed_first=closed_first,
        detailed_status=detailed_status,
    )


def _lost_recording(recording_id: str, reason: str) -> RecordingEnded:
    """Return the end of a recording whose file nobody can tell anything about."""
    return RecordingEnded("", recording_id, "", 0, 0, reason)


def _impair(leg_id: str, faults: Sequence[Fault]) -> Impair:
    """Return the damage of both directions; of several to one the last counts."""
    damage: dict[str, Mapping[str, float]] = {}
    for fault in faults:
        numbers = {
            name: fault.number(name) for name in fault.parameters if name != _DIRECTION
        }
        asked = fault.word(_DIRECTION)
        for way in _WAYS if asked == "both" else (asked,):
            damage[way] = numbers
    inbound, outbound = map(damage.get, _WAYS)
    return Impair(leg_id, faults[0].seed, inbound, outbound)


def _resolve(future: asyncio.Future[R] | None, report: R) -> None:
    if future is not None and not future.done():
        future.set_result(report)
