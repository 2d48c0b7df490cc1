"""The WebSocket shell: dials the bot, moves messages, and ends the stream in order.

    start ──> CONNECTING ──> OPEN ──> CLOSING ──> ENDED
                  │            └── bot or network gone ──^
                  └── failed, or closed while connecting ┘

The only module that knows picows, which parses frames and nothing above them: the
deadline over connect, TLS and upgrade, redirects, credentials, reassembly, close codes
and the limit on unsent data are ours. One task owns a stream from first to last.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, assert_never

from picows import (
    WSCloseCode,
    WSError,
    WSFrame,
    WSHandshakeError,
    WSInvalidMessageError,
    WSListener,
    WSMsgType,
    WSProtocolError,
    WSTransport,
    ws_connect,
)

from emulator.clock import Clock
from emulator.events import JsonValue
from emulator.ids import IdSource
from emulator.stream import dial_errors
from emulator.stream.assembler import (
    Assembled,
    Binary,
    Control,
    MessageAssembler,
    Opcode,
    Violation,
)
from emulator.stream.connector import (
    Connector,
    DialFailed,
    shut_down,
    tls_context,
    was_reset,
)
from emulator.stream.interface import StreamOutcome, StreamRequest, StreamSink
from emulator.stream.options import StreamOptions
from emulator.stream.protocol import (
    ClearAudio,
    Effect,
    EndByBot,
    Phase,
    QueueMark,
    Report,
    Send,
    StreamProtocol,
)
from emulator.stream.url import BotUrl, StreamUrlError, merge_parameters, parse_bot_url

logger = logging.getLogger("emulator.stream")
# picows logs each connection at INFO and each fault of a peer at ERROR; ours go to the
# timeline. An instance of its own, so that no global logger is touched.
_picows_logger = logging.Logger("emulator.stream.picows", logging.CRITICAL)

_TEXT = WSMsgType.TEXT
# A bot that says nothing for so long after start is worth a note (streaming spec §1.6).
FIRST_MESSAGE_NOTE_S = 10.0
# How long our end waits for the bot to take `stop` and close its own end.
LINGER_S = 1.0
# Data handed to the kernel's queue before our own backlog begins.
WRITE_HIGH_WATER_BYTES = 64 * 1024
# A bot that sends more than this many frames in one slice of time is read in slices,
# so that the other calls of the worker keep their pace.
FLOOD_FRAMES = 200
FLOOD_SLICE_S = 0.02
NO_STATUS, ABNORMAL = 1005, 1006


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


@dataclass(frozen=True, slots=True)
class _SocketEnd:
    """How the socket ended: code and reason as seen by the bot, and who was first."""

    code: int | None = None
    reason: str = ""
    first: str | None = None


class _Listener(WSListener):
    """picows' callbacks, handed on to the client."""

    def __init__(self, client: StreamClient) -> None:
        self._client = client

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._client._opened(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self._client._frame_arrived(frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._client._disconnected()

    def pause_writing(self) -> None:
        self._client._write_paused = True

    def resume_writing(self) -> None:
        self._client._resume_writing()


class StreamClient:
    """One stream to one bot. Every method is cheap, synchronous and never raises."""

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
        self._assembler = MessageAssembler(options.max_message_bytes)
        self._task: asyncio.Task[None] | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._transport: WSTransport | None = None
        self._sock: socket.socket | None = None
        self._write_paused = False
        self._backlog: deque[bytes] = deque()
        self._slice_began_s = 0.0
        self._slice_frames = 0
        self._heard = False
        self._dialled_at_s = 0.0
        self._opened_at_s: float | None = None
        self._ended_at_s = 0.0
        self._ending: _Ending | None = None
        self._socket_end: _SocketEnd | None = None

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
        protocol = self._protocol
        if self._state is not _State.OPEN or protocol.phase is not Phase.TALKING:
            return
        if self._write_paused or self._backlog:
            self._queue_audio(audio)
            return
        self._write(protocol.media(audio))
        if protocol.counters.media_to_bot == 1:
            self._happened("stream.media_to_bot", {"audio_bytes": len(audio)})
        if protocol.has_late_echoes:
            self._perform(protocol.echo_late_marks())

    def send_digit(self, digit: str, duration_ms: int) -> None:
        """Tell the bot of a key that was pressed and released."""
        self._perform(self._protocol.digit(digit, duration_ms))

    def mark_played(self, name: str) -> None:
        """Echo a mark: what came before it has been played, or was cleared."""
        self._perform(self._protocol.mark_played(name))

    def close(self, reason: str) -> None:
        """End the stream: ``callended`` (the caller is gone) or ``stopped``."""
        if self._state is _State.CONNECTING and self._task is not None:
            self._end(_Ending("cancelled", "user"))
            self._task.cancel()
        elif self._state is _State.OPEN:
            if reason == "callended":
                ending = _Ending(self._options.caller_hangup_status, "user")
            else:
                ending = _Ending("completed", "NA")
            self._stop(reason, ending)

    # -- dialling

    async def _run(self) -> None:
        try:
            transport = await self._dial()
        except DialFailed as failure:
            self._fail(failure)
            return
        try:
            await transport.wait_disconnected()
        except WSProtocolError as violation:
            error = f"websocket: close {_number(violation.code)}: {violation}"
            self._end(_Ending("failed", "NA", error))

    async def _dial(self) -> WSTransport:
        """Try as often as the options allow; raise the last attempt's failure."""
        attempts = 1 + self._options.handshake_retries
        failure: DialFailed | None = None
        for attempt in range(1, attempts + 1):
            if failure is not None and self._options.retry_delay_s > 0:
                await asyncio.sleep(self._options.retry_delay_s)
            self._report_dialling(attempt, attempts, failure)
            try:
                return await self._attempt()
            except DialFailed as error:
                failure = error
        assert failure is not None
        raise failure

    def _report_dialling(
        self, attempt: int, attempts: int, failure: DialFailed | None
    ) -> None:
        self._dialled_at_s = self._clock.monotonic_s()
        data: dict[str, JsonValue] = {
            "stream_sid": self._request.stream_sid,
            "url": self._masked_url(),
            "attempt": attempt,
            "attempts": attempts,
        }
        if failure is not None:
            data["previous_error"] = dial_errors.PREFIX + failure.text
        self._happened("stream.connecting", data)

    async def _attempt(self) -> WSTransport:
        """Connect, secure and upgrade, all within one deadline."""
        if self._url is None:
            raise DialFailed(self._url_error)
        connector = Connector(self._url.host, self._url.port)
        try:
            async with asyncio.timeout(self._options.handshake_timeout_s):
                context = await self._tls_context(self._url)
                sock = await connector.connect()
                return await self._upgrade(self._url, sock, context)
        except TimeoutError as error:
            raise connector.timed_out() from error
        except OSError as error:
            raise connector.broken(error) from error

    async def _tls_context(self, url: BotUrl) -> ssl.SSLContext | None:
        if not url.is_secure:
            return None
        options = self._options
        if not options.tls_verify:
            self._note("tls.unverified", url.masked_url)
        return await tls_context(options.tls_verify, options.tls_ca_file)

    async def _upgrade(
        self, url: BotUrl, sock: socket.socket, context: ssl.SSLContext | None
    ) -> WSTransport:
        self._sock = sock
        # Both as long as the deadline around them, which is the one that counts.
        limit_s = self._options.handshake_timeout_s
        tls: dict[str, Any] = (
            {"server_hostname": url.host, "ssl_handshake_timeout": limit_s}
            if context is not None
            else {}
        )
        try:
            transport, listener = await ws_connect(
                lambda: _Listener(self),
                url.dial_url,
                ssl_context=context,
                websocket_handshake_timeout=limit_s,
                logger_name=_picows_logger,
                enable_auto_pong=False,
                max_frame_size=self._options.max_message_bytes,
                extra_headers=self._upgrade_headers(url),
                max_redirects=0,
                socket_factory=lambda _: sock,
                **tls,
            )
        except BaseException as error:
            # Cancelled or not: picows' transport sees the end and closes the socket.
            shut_down(sock)
            if isinstance(error, WSError):
                raise _handshake_failure(error) from error
            raise
        if listener is None:  # The bot closed before it had answered.
            raise ConnectionResetError(dial_errors.UNEXPECTED_EOF)
        return transport

    def _upgrade_headers(self, url: BotUrl) -> dict[str, str]:
        headers = {"User-Agent": self._options.user_agent}
        if url.authorization is not None:
            headers["Authorization"] = url.authorization
        return headers | dict(self._options.upgrade_headers)

    def _fail(self, failure: DialFailed) -> None:
        error = dial_errors.PREFIX + failure.text
        data: dict[str, JsonValue] = {"error": error, "url": self._masked_url()}
        if failure.http_status is not None:
            data["http_status"] = failure.http_status
        self._happened("stream.failed", data)
        self._end(_Ending("failed", "NA", error))

    # -- while the stream is open

    def _opened(self, transport: WSTransport) -> None:
        """The upgrade succeeded: say connected and start before reading anything."""
        self._transport = transport
        self._opened_at_s = self._clock.monotonic_s()
        self._state = _State.OPEN
        high = min(WRITE_HIGH_WATER_BYTES, self._options.max_write_buffer_bytes // 2)
        transport.underlying_transport.set_write_buffer_limits(high=high)
        handshake_ms = (self._opened_at_s - self._dialled_at_s) * 1000
        self._happened("stream.opened", {"handshake_ms": round(handshake_ms, 1)})
        self._perform(self._protocol.open())
        self._set_timers()
        self._sink.stream_opened()

    def _set_timers(self) -> None:
        options = self._options
        self._after(options.max_session_s, self._session_over)
        if not self._request.two_way:
            return
        self._after(FIRST_MESSAGE_NOTE_S, self._note_silence)
        if options.first_message_timeout_s is not None:
            self._after(options.first_message_timeout_s, self._bot_is_silent)

    def _session_over(self) -> None:
        self._stop("stopped", _Ending("completed", "NA"))

    def _note_silence(self) -> None:
        if not self._heard:
            self._note("bot.silent", f"{FIRST_MESSAGE_NOTE_S:g} s")

    def _bot_is_silent(self) -> None:
        if not self._heard:
            limit_s = self._options.first_message_timeout_s
            error = f"no message within {limit_s:g} s (stream.first_message_timeout_s)"
            self._stop("stopped", _Ending("failed", "NA", error))

    def _frame_arrived(self, frame: WSFrame) -> None:
        self._guard_against_flood()
        opcode = _number(frame.msg_type)
        reserved = bool(frame.rsv1 or frame.rsv2 or frame.rsv3)
        payload = frame.get_payload_as_bytes()
        self._take(self._assembler.feed(opcode, bool(frame.fin), reserved, payload))

    def _take(self, assembled: Assembled) -> None:
        match assembled:
            case bytes():
                self._heard = True
                audio, effects = self._protocol.receive(assembled)
                if audio:
                    self._sink.bot_audio(audio)
                self._perform(effects)
            case None:
                pass
            case Binary(_, head):
                self._heard = True
                self._perform(self._protocol.receive_binary(head))
            case Control(opcode, payload):
                self._take_control(opcode, payload)
            case Violation(code, reason):
                self._protocol.bot_gone()
                if self._state is _State.OPEN:
                    # picows closes with this code and hands it to our task.
                    raise WSProtocolError(code, reason)
            case _:
                assert_never(assembled)

    def _take_control(self, opcode: Opcode, payload: bytes) -> None:
        if self._transport is None:
            return
        if opcode is Opcode.CLOSE:
            self._bot_closed(self._transport)
        elif opcode is Opcode.PING and self._state is _State.OPEN:
            # RFC 6455 §5.5.3: only the latest ping needs an answer, so a bot that
            # does not read its pongs loses them.
            if not (self._options.ignore_pings or self._write_paused):
                self._transport.send_pong(payload)

    def _bot_closed(self, transport: WSTransport) -> None:
        received = transport.close_handshake.recv
        assert received is not None  # picows has just read it.
        code = _number(received.code) or NO_STATUS
        self._protocol.bot_gone()
        self._end(_Ending("completed", "bot"))
        self._socket_ends(_SocketEnd(code, received.reason or "", "bot"))
        if transport.is_close_frame_sent:
            pass
        elif code == NO_STATUS:
            transport.send(WSMsgType.CLOSE, b"")
        else:
            transport.send_close(received.code)
        transport.disconnect()

    def _guard_against_flood(self) -> None:
        self._slice_frames += 1
        if self._slice_frames <= FLOOD_FRAMES:
            return
        now_s = asyncio.get_running_loop().time()
        if now_s - self._slice_began_s < FLOOD_SLICE_S and self._transport is not None:
            underlying = self._transport.underlying_transport
            if underlying.is_reading():
                underlying.pause_reading()
                self._after(FLOOD_SLICE_S, self._resume_reading)
                self._note("bot.flood", f"{FLOOD_FRAMES} frames in 20 ms")
        self._slice_began_s = now_s
        self._slice_frames = 0

    def _resume_reading(self) -> None:
        if self._transport is not None:
            underlying = self._transport.underlying_transport
            if not underlying.is_closing():
                underlying.resume_reading()

    # -- writing, and what happens when the bot does not read

    def _write(self, text: bytes) -> None:
        if self._transport is not None:
            self._transport.send(_TEXT, text)

    def _queue_audio(self, audio: bytes) -> None:
        """Keep a chunk until the bot reads again; the oldest goes when it is full."""
        self._backlog.append(audio)
        room = self._options.max_write_buffer_bytes - WRITE_HIGH_WATER_BYTES
        # A chunk grows by a third in base64; its envelope is about 150 bytes.
        cost = len(audio) * 4 // 3 + 150
        if len(self._backlog) * cost > room:
            self._backlog.popleft()
            self._protocol.skip_media()
            self._perform(self._protocol.take_notes())

    def _resume_writing(self) -> None:
        self._write_paused = False
        while self._backlog and not self._write_paused:
            if self._protocol.phase is not Phase.TALKING:
                self._backlog.clear()
                return
            self._write(self._protocol.media(self._backlog.popleft()))

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(text):
                    self._write(text)
                case Report(kind, data):
                    self._happened(kind, data)
                case QueueMark(name):
                    self._sink.bot_mark(name)
                case ClearAudio():
                    self._sink.bot_clear()
                case EndByBot():
                    self._state = _State.CLOSING
                    self._end(_Ending("completed", "bot"))
                    self._drop()
                case _:
                    assert_never(effect)

    # -- the end

    def _stop(self, reason: str, ending: _Ending) -> None:
        """Say ``stop``, and end the socket a little later (streaming spec §2.10)."""
        if self._state is not _State.OPEN:
            return
        self._state = _State.CLOSING
        self._backlog.clear()
        self._end(ending)
        self._perform(self._protocol.stop(reason))
        self._after(self._options.close_delay_ms / 1000, self._drop)

    def _drop(self) -> None:
        """End the socket so that everything written before still arrives.

        Closing a socket that holds unread data resets it, and a reset may overtake
        ``stop``; so only our direction ends, and the bot gets a moment for its own.
        """
        transport = self._transport
        if transport is None or transport.is_disconnected:
            return
        self._after(LINGER_S, lambda: transport.disconnect(graceful=False))
        if self._options.close_mode == "normal":
            self._socket_ends(_SocketEnd(1000, "", "platform"))
            transport.send_close(WSCloseCode.OK)
            return
        self._socket_ends(_SocketEnd(ABNORMAL, "", "platform"))
        underlying = transport.underlying_transport
        if underlying.can_write_eof():
            underlying.write_eof()
        else:
            transport.disconnect()

    def _disconnected(self) -> None:
        """The connection is gone, for whatever reason."""
        self._protocol.bot_gone()
        sent = _sent_close(self._transport)
        if self._state is _State.OPEN and sent is not None:
            # Closed for a violation; the task hears which one.
            self._socket_ends(_SocketEnd(*sent, "platform"))
            return
        reset = self._sock is not None and was_reset(self._sock)
        self._socket_ends(_SocketEnd(ABNORMAL, "", "network" if reset else "bot"))
        self._end(_Ending("completed", "bot"))

    def _end(self, ending: _Ending) -> None:
        """Fix the outcome; only the first cause counts."""
        if self._ending is None:
            self._ending = ending
            self._ended_at_s = self._clock.monotonic_s()

    def _socket_ends(self, socket_end: _SocketEnd) -> None:
        if self._socket_end is None:
            self._socket_end = socket_end

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
        outcome = self._outcome()
        self._perform(self._protocol.take_notes())
        self._report_end(outcome)
        self._sink.stream_ended(outcome)

    def _outcome(self) -> StreamOutcome:
        ending = self._ending or _Ending("completed", "bot")
        end = self._socket_end or _SocketEnd()
        open_s = (
            0.0 if self._opened_at_s is None else self._ended_at_s - self._opened_at_s
        )
        return StreamOutcome(
            status=ending.status,
            disconnected_by=ending.disconnected_by,
            error=ending.error,
            duration_s=round(open_s, 3),
            close_code=end.code,
            close_reason=end.reason,
            closed_first=end.first,
            stats=self._protocol.stats(),
        )

    def _report_end(self, outcome: StreamOutcome) -> None:
        if self._opened_at_s is None:
            if outcome.status == "cancelled":
                data = {"status": outcome.status, "url": self._masked_url()}
                self._happened("stream.failed", data)
            return
        data_of_end: dict[str, JsonValue] = {
            "close_code": outcome.close_code,
            "close_reason": outcome.close_reason,
            "closed_first": outcome.closed_first,
            "status": outcome.status,
            "disconnected_by": outcome.disconnected_by,
            "error": outcome.error,
            "duration_s": outcome.duration_s,
            **outcome.stats,
        }
        self._happened("stream.closed", data_of_end)

    # -- small things

    def _note(self, rule: str, example: str) -> None:
        self._protocol.note(rule, example)
        self._perform(self._protocol.take_notes())

    def _happened(self, kind: str, data: Mapping[str, JsonValue]) -> None:
        self._sink.stream_happened(kind, self._clock.monotonic_s(), data)

    def _after(self, delay_s: float, call: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self._timers = [t for t in self._timers if t.when() > loop.time()]
        self._timers.append(loop.call_later(delay_s, call))

    def _masked_url(self) -> str:
        return self._url.masked_url if self._url is not None else ""


def _prepare(
    request: StreamRequest, options: StreamOptions
) -> tuple[BotUrl | None, StreamProtocol, str]:
    """Return URL, protocol and the URL's error; a bad URL fails when dialled."""
    url: BotUrl | None = None
    parameters: Mapping[str, str] = request.custom_parameters
    notes: tuple[tuple[str, str], ...] = ()
    error = ""
    try:
        url = parse_bot_url(request.url, options)
        parameters, notes = merge_parameters(
            url.custom_parameters, request.custom_parameters, options
        )
    except StreamUrlError as problem:
        url, error = None, str(problem)
    rate_hz = request.sample_rate_hz
    if url is not None and url.sample_rate_hz is not None:
        rate_hz = url.sample_rate_hz
    protocol = StreamProtocol(request, options, parameters, rate_hz)
    for rule, example in (*url.notes, *notes) if url is not None else ():
        protocol.note(rule, example)
    return url, protocol, error


def _handshake_failure(error: WSError) -> DialFailed:
    if isinstance(error, WSInvalidMessageError):
        return DialFailed(dial_errors.MALFORMED_RESPONSE)
    status = None
    if isinstance(error, WSHandshakeError) and error.response is not None:
        status = int(error.response.status)
    return DialFailed(dial_errors.BAD_HANDSHAKE, status)


def _sent_close(transport: WSTransport | None) -> tuple[int, str] | None:
    """Return code and reason of the close frame that went out, if one did."""
    if transport is None or transport.close_handshake is None:
        return None
    sent = transport.close_handshake.sent
    return None if sent is None else (_number(sent.code), sent.reason)


def _number(value: Any) -> int:
    """Return a picows enum's number; its stubs hide that they are integers."""
    return int(value)
