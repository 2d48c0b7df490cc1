"""The WebSocket to a bot: upgrade, frames, close; the only module that knows picows.

picows parses frames and nothing above them, so this is ours: the deadline over connect,
TLS and upgrade; credentials; reassembly; pongs; close codes, and who closed first; how
the socket ends after ``stop``; and reading a flooding bot in slices.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import struct
from collections.abc import Callable
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

from emulator.stream import dial_errors
from emulator.stream.assembler import (
    MAX_CONTROL_BYTES,
    Assembled,
    Binary,
    Control,
    MessageAssembler,
    Opcode,
    Violation,
)
from emulator.stream.connector import Connector, DialFailed, shut_down, tls_context
from emulator.stream.link_owner import BotBrokeFraming, LinkEnd, LinkOwner
from emulator.stream.url import BotUrl
from emulator.stream.usual_media import UsualMedia, no_usual_media
from emulator.stream_options import StreamOptions

# picows logs each connection at INFO and each fault of a peer at ERROR; ours go to the
# timeline. An instance of its own, so that no global logger is touched.
_picows_logger = logging.Logger("emulator.stream.picows", logging.CRITICAL)

_TEXT, _PING = WSMsgType.TEXT, WSMsgType.PING
# How long our end waits for the bot to take `stop` and close its own end.
LINGER_S = 1.0
# Unsent data handed to the transport before the owner is told to hold back.
WRITE_HIGH_WATER_BYTES = 64 * 1024
# A bot that sends more in one slice of time is read in slices: others keep their pace.
FLOOD_FRAMES = 200
FLOOD_SLICE_S = 0.02
_NO_LINGER = struct.pack("ii", 1, 0)
# RFC 6455 §7.1.5: a close frame without a code; no close frame at all.
NO_STATUS, ABNORMAL = 1005, 1006


class BotLink:
    """One WebSocket connection to one bot, dialled once or more often.

    Args:
        usual: Takes what it knows before the owner hears of it.

    Attributes:
        is_writable: False while the bot does not read what was sent.
        end: How the socket ended; None while it is open or was never opened.
    """

    __slots__ = (
        "_assembler", "_deadline", "_is_deaf", "_is_mute", "_is_over", "_options",
        "_owner", "_slice_began_s", "_slice_frames", "_timers", "_transport",
        "_unanswered_ping", "_url", "_usual", "_violated", "end", "is_writable",
    )  # fmt: skip

    def __init__(
        self,
        url: BotUrl,
        options: StreamOptions,
        owner: LinkOwner,
        usual: UsualMedia | None = None,
    ) -> None:
        self._url = url
        self._options = options
        self._owner = owner
        self._usual = usual if usual is not None else no_usual_media()
        self._assembler = MessageAssembler(options.max_message_bytes)
        self._transport: WSTransport | None = None
        self._deadline: asyncio.Timeout | None = None
        self._timers: set[asyncio.TimerHandle] = set()
        self._slice_began_s = 0.0
        self._slice_frames = 0
        self._unanswered_ping: bytes | None = None
        self._is_over = False
        self._is_deaf = self._is_mute = False
        self._violated = False
        self.is_writable = True
        self.end: LinkEnd | None = None

    # -- dialling

    async def dial(self) -> None:
        """Connect, secure and upgrade, all within the options' deadline.

        Raises:
            DialFailed: It did not succeed; no socket is left.
        """
        connector = Connector(self._url.host, self._url.port)
        try:
            limit_s = self._options.handshake_timeout_s
            async with asyncio.timeout(limit_s) as self._deadline:
                context = await self._tls_context()
                sock = await connector.connect()
                await self._upgrade(sock, context)
        except TimeoutError as error:
            raise connector.timed_out() from error
        except OSError as error:
            raise connector.broken(error) from error

    async def _tls_context(self) -> ssl.SSLContext | None:
        if not self._url.is_secure:
            return None
        return await tls_context(self._options.tls_verify, self._options.tls_ca_file)

    async def _upgrade(
        self, sock: socket.socket, context: ssl.SSLContext | None
    ) -> None:
        # Both as long as the deadline around them, which is the one that counts.
        limit_s = self._options.handshake_timeout_s
        tls: dict[str, Any] = {}
        if context is not None:
            tls = {"server_hostname": self._url.host, "ssl_handshake_timeout": limit_s}
        try:
            _, listener = await ws_connect(
                lambda: _Listener(self),
                self._url.dial_url,
                ssl_context=context,
                websocket_handshake_timeout=limit_s,
                logger_name=_picows_logger,
                enable_auto_pong=False,
                max_frame_size=self._options.max_message_bytes,
                extra_headers=self._upgrade_headers(),
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

    def _upgrade_headers(self) -> dict[str, str]:
        headers = {"User-Agent": self._options.user_agent}
        if self._url.authorization is not None:
            headers["Authorization"] = self._url.authorization
        return headers | dict(self._options.upgrade_headers)

    async def wait_closed(self) -> None:
        """Return when the socket is gone.

        Raises:
            BotBrokeFraming: That was the reason.
        """
        if self._transport is None:
            return
        try:
            await self._transport.wait_disconnected()
        except asyncio.CancelledError:
            self._transport.disconnect(graceful=False)
            raise
        except WSProtocolError as error:
            raise BotBrokeFraming(_number(error.code), str(error)) from error

    # -- sending and ending

    def send(self, text: bytes) -> None:
        """Send one text message; lost when the link is not open, or over its limit."""
        transport = self._transport
        if transport is None or (not self.is_writable and self._is_full(transport)):
            return
        transport.send(_TEXT, text)

    def _is_full(self, transport: WSTransport) -> bool:
        unsent_bytes = transport.underlying_transport.get_write_buffer_size()
        return unsent_bytes > self._options.max_write_buffer_bytes

    def stop_reading(self) -> None:
        """Ignore whatever the bot still sends."""
        self._is_over = True
        self._usual.forget()

    def close(self) -> None:
        """End the socket as the options say, so that what was sent still arrives.

        Closing a socket that holds unread data resets it, and a reset may overtake
        ``stop``; so only our direction ends, and the bot gets a moment for its own.
        """
        transport = self._transport
        if transport is None or transport.is_disconnected:
            return
        self.stop_reading()
        self._after(LINGER_S, lambda: transport.disconnect(graceful=False))
        if self._options.close_mode == "normal":
            self._ends(1000, "", "platform")
            transport.send_close(WSCloseCode.OK)
            return
        self._ends(ABNORMAL, "", "platform")
        _end_our_direction(transport)

    def break_off(self, code: int | None, *, reset: bool) -> None:
        """End as a broken path does, or, with a code, as a proxy that closes both ends.

        Without a code the bot sees a FIN, or with ``reset`` an RST.
        """
        transport = self._transport
        if transport is None or transport.is_disconnected:
            return
        self.stop_reading()
        self._ends(ABNORMAL if code is None else code, "", "network")
        self._after(LINGER_S, lambda: transport.disconnect(graceful=False))
        if reset:
            _reset(transport)
        elif code is None:
            _end_our_direction(transport)
        else:
            transport.send_close(WSCloseCode(code))
        self._owner.bot_closed()

    def stall(self, *, reading: bool, writing: bool) -> None:
        """Stop to read, or to answer pings, until the socket is closed."""
        self._is_deaf = self._is_deaf or reading
        self._is_mute = self._is_mute or writing
        if self._transport is not None and self._is_deaf:
            self._transport.underlying_transport.pause_reading()

    # -- what picows tells

    def connected(self, transport: WSTransport) -> None:
        """The upgrade succeeded, unless the deadline passed in the same instant."""
        if self._deadline is None or self._deadline.expired():
            transport.disconnect(graceful=False)  # Never ours: `dial` fails.
            return
        self._deadline.reschedule(None)
        self._transport = transport
        high = min(WRITE_HIGH_WATER_BYTES, self._options.max_write_buffer_bytes // 2)
        transport.underlying_transport.set_write_buffer_limits(high=high)
        self._owner.link_opened()

    def frame_arrived(self, transport: WSTransport, frame: WSFrame) -> None:
        """One frame came in.

        Raises:
            WSProtocolError: The bot broke the framing; picows then closes with its
                code, and ``wait_closed`` tells.
        """
        if transport is not self._transport:
            return
        self._slice_frames = frames = self._slice_frames + 1
        if frames >= FLOOD_FRAMES and self._guard_against_flood(frame):
            return
        usual = self._usual
        if (
            frame.payload_size == usual.text_bytes
            and frame.msg_type is _TEXT
            and frame.fin
            and not (frame.rsv1 or frame.rsv2 or frame.rsv3)
            and usual.take(frame.get_payload_as_bytes())
        ):
            return
        self._take_frame(frame)

    def _take_frame(self, frame: WSFrame) -> None:
        payload = frame.get_payload_as_bytes()
        reserved = bool(frame.rsv1 or frame.rsv2 or frame.rsv3)
        is_plain = frame.fin and not reserved
        if is_plain and frame.msg_type is _TEXT and self._assembler.is_message(payload):
            if not self._is_over:
                self._owner.message_arrived(payload)
            return
        opcode, fin = _number(frame.msg_type), bool(frame.fin)
        self._take(self._assembler.feed(opcode, fin, reserved, payload))

    def _take(self, assembled: Assembled) -> None:
        match assembled:
            case bytes() | Binary():
                if not self._is_over:
                    self._owner.message_arrived(assembled)
            case None:
                # A whole message between two fragments is a violation.
                self._usual.forget()
            case Control(opcode, payload):
                self._take_control(opcode, payload)
            case Violation(code, reason):
                if not self._is_over:
                    self.stop_reading()
                    raise WSProtocolError(code, reason)
            case _:
                assert_never(assembled)

    def _take_control(self, opcode: Opcode, payload: bytes) -> None:
        transport = self._transport
        assert transport is not None  # Frames come after `connected`.
        if opcode is Opcode.CLOSE:
            self._take_close(transport)
        elif opcode is Opcode.PING and not self._options.ignore_pings:
            self._unanswered_ping = payload
            if self._slice_frames < FLOOD_FRAMES:
                self._answer_ping()

    def _answer_ping(self) -> None:
        """Answer the latest ping; RFC 6455 §5.5.3 asks for no more than that.

        In a flood the answer waits for the end of the slice; a bot that does not read
        gets none.
        """
        payload, self._unanswered_ping = self._unanswered_ping, None
        transport = self._transport
        if payload is None or transport is None or self._is_over:
            return
        if self.is_writable and not self._is_mute:
            transport.send_pong(payload)

    def _take_close(self, transport: WSTransport) -> None:
        received = transport.close_handshake.recv
        assert received is not None  # picows has just read it.
        self.stop_reading()
        if self._was_closed_for_a_violation(transport):
            transport.disconnect()
            return
        self._ends(_number(received.code) or NO_STATUS, received.reason or "", "bot")
        # The answer repeats the code (RFC 6455 §5.5.1); without one it stays empty.
        if not _number(received.code):
            transport.send(WSMsgType.CLOSE, b"")
        else:
            transport.send_close(received.code)
        transport.disconnect()
        self._owner.bot_closed()

    def disconnected(self, transport: WSTransport) -> None:
        """The connection is gone, for whatever reason."""
        if transport is not self._transport:
            return
        for timer in self._timers:
            timer.cancel()
        if self._was_closed_for_a_violation(transport):
            return
        # FIN or RST tells nothing: a process that is killed leaves either, as it had
        # read all that we sent or not.
        self._ends(ABNORMAL, "", "network")
        self._owner.bot_closed()

    def _was_closed_for_a_violation(self, transport: WSTransport) -> bool:
        """Whether picows sent a close of its own; ``wait_closed`` tells why."""
        sent = _sent_close(transport)
        if self.end is None and sent is not None:
            self._ends(*sent, "platform")
            self._violated = True
        return self._violated

    def let_go(self) -> None:
        """The stream is over: hold nothing of picows', which holds this.

        Circles wait for the collector, and a worker's memory for the worst moment.
        """
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._transport = self._deadline = None

    def writing_paused(self) -> None:
        """The transport holds more than it should."""
        self.is_writable = False

    def writing_resumed(self) -> None:
        """The bot reads again."""
        self.is_writable = True
        if self._transport is not None:
            self._owner.may_write_again()

    # -- small things

    def _ends(self, code: int, reason: str, first: str) -> None:
        """Fix how the socket ended; only the first cause counts."""
        if self.end is None:
            self.end = LinkEnd(code, reason, first)

    def _guard_against_flood(self, frame: WSFrame) -> bool:
        """End the reading in this slice, or begin a new one; True: a ping is done with.

        One read holds thousands of them, and only the latest is ever answered.
        """
        now_s = asyncio.get_running_loop().time()
        if now_s - self._slice_began_s >= FLOOD_SLICE_S:
            self._slice_began_s = now_s
            self._slice_frames = 0
        elif self._slice_frames == FLOOD_FRAMES:
            self._rest()
        if not (frame.msg_type is _PING and _is_sound_control(frame)):
            return False
        if not self._options.ignore_pings:
            self._unanswered_ping = frame.get_payload_as_bytes()
        return True

    def _rest(self) -> None:
        """Stop reading for a slice, once what is read already has been handled."""
        assert self._transport is not None
        if (underlying := self._transport.underlying_transport).is_reading():
            underlying.pause_reading()
            self._after(0, lambda: self._after(FLOOD_SLICE_S, self._read_on))
            self._owner.bot_floods()

    def _read_on(self) -> None:
        self._slice_began_s = asyncio.get_running_loop().time()
        self._slice_frames = 0
        self._answer_ping()
        if self._transport is not None and not self._is_deaf:
            self._transport.underlying_transport.resume_reading()

    def _after(self, delay_s: float, call: Callable[[], None]) -> None:
        def fire() -> None:
            self._timers.discard(timer)
            call()

        timer = asyncio.get_running_loop().call_later(delay_s, fire)
        self._timers.add(timer)


class _Listener(WSListener):
    """picows' callbacks, handed on to the link."""

    __slots__ = ("_link", "on_ws_frame")

    def __init__(self, link: BotLink) -> None:
        self._link = link
        # In place of the method: one call less.
        self.on_ws_frame = link.frame_arrived  # type: ignore[method-assign]

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._link.connected(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._link.disconnected(transport)

    def pause_writing(self) -> None:
        self._link.writing_paused()

    def resume_writing(self) -> None:
        self._link.writing_resumed()


def _is_sound_control(frame: WSFrame) -> bool:
    is_reserved = frame.rsv1 or frame.rsv2 or frame.rsv3
    return frame.fin and not is_reserved and frame.payload_size <= MAX_CONTROL_BYTES


def _handshake_failure(error: WSError) -> DialFailed:
    if isinstance(error, WSInvalidMessageError):
        return DialFailed(dial_errors.MALFORMED_RESPONSE)
    status = None
    if isinstance(error, WSHandshakeError) and error.response is not None:
        status = int(error.response.status)
    return DialFailed(dial_errors.BAD_HANDSHAKE, status)


def _sent_close(transport: WSTransport) -> tuple[int, str] | None:
    """Return code and reason of the close frame that went out, if one did."""
    handshake: Any = transport.close_handshake  # The stubs forget that it may be None.
    if handshake is None or handshake.sent is None:
        return None
    return _number(handshake.sent.code), handshake.sent.reason


def _end_our_direction(transport: WSTransport) -> None:
    """Send a FIN; TLS has none of its own, so there all ends at once."""
    if (underlying := transport.underlying_transport).can_write_eof():
        underlying.write_eof()
    else:
        transport.disconnect()


def _reset(transport: WSTransport) -> None:
    """End with an RST: what a socket sends that is closed without lingering."""
    sock = transport.underlying_transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.disconnect(graceful=False)


def _number(value: Any) -> int:
    """Return a picows enum's number; its stubs hide that they are integers."""
    return int(value)
