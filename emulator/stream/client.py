"""One stream, from dialling the bot to its outcome.

    start ──> CONNECTING ──> OPEN ──> CLOSING ──> ENDED
                  │            └── bot or network gone ──^
                  └── failed, or closed while connecting ┘

Joins the pure protocol to the link, owns the timers and the audio that waits for a bot
that does not read. One task holds a stream from first to last.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import assert_never

from emulator.clock import Clock
from emulator.events import JsonValue
from emulator.ids import IdSource
from emulator.stream import dial_errors
from emulator.stream.assembler import Binary
from emulator.stream.connector import DialFailed
from emulator.stream.faulty_link import Link, make_link
from emulator.stream.interface import StreamOutcome, StreamRequest, StreamSink
from emulator.stream.link import WRITE_HIGH_WATER_BYTES
from emulator.stream.link_owner import BotBrokeFraming
from emulator.stream.protocol import (
    ClearAudio,
    Effect,
    EndByBot,
    QueueMark,
    Report,
    Send,
    StreamProtocol,
)
from emulator.stream.url import BotUrl, StreamUrlError, merge_parameters, parse_bot_url
from emulator.stream_options import StreamOptions

__all__ = ["StreamClient", "StreamOutcome", "StreamRequest", "StreamSink"]

logger = logging.getLogger("emulator.stream")

# A bot that says nothing for so long after start is worth a note (streaming spec §1.6).
FIRST_MESSAGE_NOTE_S = 10.0
# What JSON adds to the base64 of a chunk, about.
MEDIA_ENVELOPE_BYTES = 150


class _State(Enum):
    IDLE = auto()
    CONNECTING = auto()
    OPEN = auto()
    CLOSING = auto()
    ENDED = auto()


@dataclass(frozen=True, slots=True)
class _Ending:
    """Why the stream ended, as streaming spec §5.2 tells it."""

    status: str
    disconnected_by: str
    error: str | None = None


class StreamClient:
    """One stream to one bot. Every method is cheap, synchronous and never raises."""

    __slots__ = (
        "_backlog", "_chunks", "_clock", "_dialled_at_s", "_ended_at_s", "_ending",
        "_has_heard_bot", "_ids", "_link", "_opened_at_s", "_options", "_protocol",
        "_request", "_sink", "_state", "_task", "_timers", "_url", "_url_error",
    )  # fmt: skip

    def __init__(
        self,
        request: StreamRequest,
        options: StreamOptions,
        sink: StreamSink,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._request = request
        self._options = options
        self._sink = sink
        self._clock = clock
        self._ids = ids
        self._state = _State.IDLE
        self._url, self._protocol, self._url_error = _prepare(request, options)
        self._chunks = self._protocol.chunks
        self._protocol.usual.hear = sink.bot_audio
        self._link: Link | None = None
        if self._url is not None:
            self._link = make_link(
                self._url, options, self, request.faults, clock, self._happened,
                self._protocol.usual,
            )  # fmt: skip
        self._task: asyncio.Task[None] | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._backlog: deque[bytes] = deque()
        self._has_heard_bot = False
        self._dialled_at_s = 0.0
        self._opened_at_s: float | None = None
        self._ended_at_s = 0.0
        self._ending: _Ending | None = None

    @property
    def chunk_bytes(self) -> int:
        """Size of what ``send_audio`` takes, in the stream's codec and rate."""
        return self._protocol.chunk_bytes

    @property
    def sample_rate_hz(self) -> int:
        """The rate of both directions: as the URL says, else as requested."""
        return self._protocol.sample_rate_hz

    # -- what the engine does

    def start(self) -> None:
        """Begin to dial; the sink hears how it goes."""
        self._state = _State.CONNECTING
        self._task = asyncio.get_running_loop().create_task(
            self._run(), name=f"stream {self._request.stream_sid}"
        )
        self._task.add_done_callback(self._finish)

    def send_audio(self, audio: bytes) -> None:
        """Send one chunk; dropped when the stream is not open."""
        link, chunks = self._link, self._chunks
        if link is None or not chunks.is_open:
            return
        if self._backlog or not link.is_writable:
            self._queue_audio(audio)
            return
        link.send(chunks.write(audio))
        if chunks.is_followed:
            self._perform(self._protocol.after_chunk(len(audio)))

    def send_digit(self, digit: str, duration_ms: int) -> None:
        """Tell the bot of a key that was pressed and released."""
        self._perform(self._protocol.digit(digit, duration_ms))

    def mark_played(self, name: str) -> None:
        """Echo a mark: what came before it has been played, or was cleared."""
        self._perform(self._protocol.mark_played(name))

    def close(self, reason: str) -> None:
        """End the stream: ``callended`` (the caller is gone) or ``stopped``."""
        if self._state is _State.CONNECTING and self._task is not None:
            self._state = _State.CLOSING
            self._end(_Ending("cancelled", "user"))
            self._task.cancel()
        elif reason == "callended":
            self._stop(reason, _Ending(self._options.caller_hangup_status, "user"))
        else:
            self._stop(reason, _Ending("completed", "NA"))

    # -- dialling

    async def _run(self) -> None:
        if self._link is None:
            self._fail(self._url_error)  # Never dialled: these words are ours.
            return
        try:
            link = await self._dial()
        except DialFailed as failure:
            self._fail(dial_errors.PREFIX + failure.text, failure.http_status)
            return
        try:
            await link.wait_closed()
        except BotBrokeFraming as error:
            self._end(_Ending("failed", "NA", str(error)))

    async def _dial(self) -> Link:
        """Try as often as the options allow; raise the last attempt's failure."""
        assert self._link is not None
        failure: DialFailed | None = None
        for attempt in range(1, 2 + self._options.handshake_retries):
            if failure is not None and self._options.retry_delay_s > 0:
                await asyncio.sleep(self._options.retry_delay_s)
            self._report_dialling(attempt, failure)
            try:
                await self._link.dial()
                return self._link
            except DialFailed as error:
                failure = error
        assert failure is not None
        try:
            raise failure
        finally:
            del failure  # It holds this frame.

    def _report_dialling(self, attempt: int, failure: DialFailed | None) -> None:
        self._dialled_at_s = self._clock.monotonic_s()
        data: dict[str, JsonValue] = {
            "stream_sid": self._request.stream_sid,
            "url": self._masked_url(),
            "attempt": attempt,
            "attempts": 1 + self._options.handshake_retries,
        }
        if failure is not None:
            data["previous_error"] = dial_errors.PREFIX + failure.text
        self._happened("stream.connecting", data)

    def _fail(self, error: str, http_status: int | None = None) -> None:
        data: dict[str, JsonValue] = {"error": error, "url": self._masked_url()}
        if http_status is not None:
            data["http_status"] = http_status
        self._happened("stream.failed", data)
        self._end(_Ending("failed", "NA", error))

    # -- what the link tells

    def link_opened(self) -> None:
        """Say connected and start before anything is read."""
        if self._state is not _State.CONNECTING:
            return  # Closed in the same instant; the task is about to hear of it.
        self._opened_at_s = self._clock.monotonic_s()
        self._state = _State.OPEN
        handshake_ms = (self._opened_at_s - self._dialled_at_s) * 1000
        self._happened("stream.opened", {"handshake_ms": round(handshake_ms, 1)})
        self._perform(self._protocol.open())
        self._set_timers()
        self._sink.stream_opened()

    def message_arrived(self, message: bytes | Binary) -> None:
        """Hand on the audio, then do what the protocol says."""
        self._has_heard_bot = True
        if isinstance(message, Binary):
            self._perform(self._protocol.receive_binary(message.head))
            return
        audio, effects = self._protocol.receive(message)
        if audio:
            self._sink.bot_audio(audio)
        if effects:
            self._perform(effects)

    def bot_closed(self) -> None:
        """The bot ended the stream, unless it was ended already."""
        self._protocol.bot_gone()
        self._drop_backlog()
        self._end(_Ending("completed", "bot"))

    def may_write_again(self) -> None:
        """Send what had to wait."""
        link, chunks = self._link, self._chunks
        assert link is not None
        while self._backlog and link.is_writable and chunks.is_open:
            link.send(chunks.write(self._backlog.popleft()))

    def bot_floods(self) -> None:
        """Say so, once."""
        self._note("bot.flood", "more than 200 frames in 20 ms")

    # -- while the stream is open

    def _set_timers(self) -> None:
        options = self._options
        self._after(options.max_session_s, self._session_is_over)
        if not self._request.two_way:
            return
        self._after(FIRST_MESSAGE_NOTE_S, self._note_silence)
        if options.first_message_timeout_s is not None:
            self._after(options.first_message_timeout_s, self._end_silence)

    def _session_is_over(self) -> None:
        self._stop("stopped", _Ending("completed", "NA"))

    def _note_silence(self) -> None:
        if not self._has_heard_bot:
            self._note("bot.silent", f"{FIRST_MESSAGE_NOTE_S:g} s")

    def _end_silence(self) -> None:
        if not self._has_heard_bot:
            limit_s = self._options.first_message_timeout_s
            error = f"no message within {limit_s:g} s (stream.first_message_timeout_s)"
            self._stop("stopped", _Ending("failed", "NA", error))

    def _queue_audio(self, audio: bytes) -> None:
        """Keep a chunk until the bot reads again; the oldest goes when it is full."""
        self._backlog.append(audio)
        room = self._options.max_write_buffer_bytes - WRITE_HIGH_WATER_BYTES
        message_bytes = len(audio) * 4 // 3 + MEDIA_ENVELOPE_BYTES
        if len(self._backlog) * message_bytes > room:
            self._backlog.popleft()
            self._protocol.skip_media()
            self._perform(self._protocol.take_notes())

    def _drop_backlog(self) -> None:
        """What still waited for the bot to read is never sent: it counts as dropped."""
        for _ in self._backlog:
            self._protocol.skip_media()
        self._backlog.clear()
        self._perform(self._protocol.take_notes())

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(text):
                    if self._link is not None:
                        self._link.send(text)
                case Report(kind, data):
                    self._happened(kind, data)
                case QueueMark(name):
                    self._sink.bot_mark(name)
                case ClearAudio():
                    self._sink.bot_clear()
                case EndByBot():
                    self._state = _State.CLOSING
                    self._drop_backlog()
                    self._end(_Ending("completed", "bot"))
                    self._close_link()
                case _:
                    assert_never(effect)

    # -- the end

    def _stop(self, reason: str, ending: _Ending) -> None:
        """Say ``stop``, and end the socket a little later (streaming spec §2.10)."""
        if self._state is not _State.OPEN:
            return
        self._state = _State.CLOSING
        self._drop_backlog()
        self._end(ending)
        self._perform(self._protocol.stop(reason))
        self._after(self._options.close_delay_ms / 1000, self._close_link)

    def _close_link(self) -> None:
        if self._link is not None:
            self._link.close()

    def _end(self, ending: _Ending) -> None:
        """Fix the outcome; only the first cause counts."""
        if self._ending is None:
            self._ending = ending
            self._ended_at_s = self._clock.monotonic_s()

    def _finish(self, task: asyncio.Task[None]) -> None:
        """The task is over, by whichever way: report the outcome, once."""
        for timer in self._timers:
            timer.cancel()
        if task.cancelled():
            self._end(_Ending("cancelled", "user"))
        elif (error := task.exception()) is not None:
            logger.error("stream %s", self._request.stream_sid, exc_info=error)
            self._end(_Ending("failed", "NA", f"emulator error: {error!r}"))
        self._state = _State.ENDED
        self._perform(self._protocol.take_notes())
        outcome = self._outcome(self._ending or _Ending("completed", "bot"))
        self._report_end(outcome)
        self._let_go()
        self._sink.stream_ended(outcome)

    def _let_go(self) -> None:
        """End the circles that would keep an ended stream for the collector."""
        self._timers.clear()
        self._protocol.let_go()
        link, self._link, self._task = self._link, None, None
        if link is not None:
            link.let_go()

    def _outcome(self, ending: _Ending) -> StreamOutcome:
        began_s = self._opened_at_s
        end = self._link.end if self._link is not None else None
        return StreamOutcome(
            status=ending.status,
            disconnected_by=ending.disconnected_by,
            error=ending.error,
            duration_s=0.0 if began_s is None else round(self._ended_at_s - began_s, 3),
            close_code=end.code if end else None,
            close_reason=end.reason if end else "",
            closed_first=end.first if end else None,
            stats=self._protocol.stats(),
        )

    def _report_end(self, outcome: StreamOutcome) -> None:
        data: dict[str, JsonValue] = {
            "status": outcome.status,
            "disconnected_by": outcome.disconnected_by,
        }
        if self._opened_at_s is None:
            if outcome.status == "cancelled":
                self._happened("stream.failed", {**data, "url": self._masked_url()})
            return
        closed: dict[str, JsonValue] = {
            "close_code": outcome.close_code,
            "close_reason": outcome.close_reason,
            "closed_first": outcome.closed_first,
            **data,
            "error": outcome.error,
            "duration_s": outcome.duration_s,
            **outcome.stats,
        }
        self._happened("stream.closed", closed)

    # -- small things

    def _note(self, rule: str, example: str) -> None:
        self._protocol.note(rule, example)
        self._perform(self._protocol.take_notes())

    def _happened(self, kind: str, data: Mapping[str, JsonValue]) -> None:
        logger.debug("stream %s: %s %s", self._request.stream_sid, kind, data)
        self._sink.stream_happened(kind, self._clock.monotonic_s(), data)

    def _after(self, delay_s: float, call: Callable[[], None]) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(delay_s, call))

    def _masked_url(self) -> str:
        return self._url.masked_url if self._url is not None else ""


def _prepare(
    request: StreamRequest, options: StreamOptions
) -> tuple[BotUrl | None, StreamProtocol, str]:
    """Return URL, protocol and the URL's error; a bad URL fails when dialled."""
    try:
        url = parse_bot_url(request.url, options)
        parameters, notes = merge_parameters(url, request.custom_parameters, options)
    except StreamUrlError as problem:
        given = request.custom_parameters
        protocol = StreamProtocol(request, options, given, request.sample_rate_hz)
        return None, protocol, str(problem)
    rate_hz = url.sample_rate_hz or request.sample_rate_hz
    protocol = StreamProtocol(request, options, parameters, rate_hz)
    for rule, example in (*url.notes, *notes):
        protocol.note(rule, example)
    if url.is_secure and not options.tls_verify:
        protocol.note("tls.unverified", url.masked_url)
    return url, protocol, ""
