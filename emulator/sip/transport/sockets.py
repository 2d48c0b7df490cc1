"""Sockets: UDP and TCP listeners, connections and their limits (RFC 3261 §18).

Bytes come in and go out here; what they mean is decided elsewhere. Connections are
known by number, so that a response finds the one its request came over, and are reused
for requests to the same address.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, cast

from emulator.clock import Clock
from emulator.errors import ConfigError, ListenError
from emulator.sip.address import SourceAddress, Target, Transport
from emulator.sip.framing import PONG, Broken, Frame, Ping, StreamFramer
from emulator.sip.nat import is_literal
from emulator.sip.options import SipOptions
from emulator.sip.tls import client_context, server_context
from emulator.sip.transport.accepting import Acceptor

logger = logging.getLogger(__name__)

# A burst of 400 INVITEs of 1 kB must survive a stall of the loop of some 100 ms.
RECEIVE_BUFFER_BYTES: Final = 1 << 20
MAX_DATAGRAM_BYTES: Final = 65_535
# A flood must not keep the loop from its timers.
MAX_DATAGRAMS_PER_TURN: Final = 64
CONNECT_TIMEOUT_S: Final = 5.0
# With port 0: the port that UDP got may be taken for TCP.
FREE_PORT_ATTEMPTS: Final = 8
# How many names may be looked up, and connections made, at once.
MAX_PENDING_SENDS: Final = 1_000

Failure = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BoundListener:
    """A socket that takes SIP."""

    transport: Transport
    ip: str
    port: int


class Receiver(Protocol):
    """Who is told of everything that comes in."""

    def __call__(self, data: bytes, source: SourceAddress) -> None:
        """Take the bytes of one message."""


class _UdpSocket:
    """The UDP listener: a plain socket, because a loop's datagram transport takes ten
    times as long for each message."""

    def __init__(self, bound: socket.socket, receive: Receiver) -> None:
        self._socket = bound
        self._receive = receive
        asyncio.get_running_loop().add_reader(bound, self._readable)

    def _readable(self) -> None:
        for _ in range(MAX_DATAGRAMS_PER_TURN):
            try:
                data, address = self._socket.recvfrom(MAX_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                # An ICMP message does not say whose datagram it was; timers notice.
                logger.debug("UDP: %s", error)
                continue
            # Keepalives of phones: CRLFCRLF, or a few NUL bytes.
            if len(data) > 4:
                self._receive(data, SourceAddress("udp", address[0], address[1]))

    def send(self, data: bytes, address: tuple[str, int]) -> None:
        """Send now.

        Raises:
            OSError: The system refuses; a full buffer counts as a lost datagram.
        """
        try:
            self._socket.sendto(data, address)
        except BlockingIOError:
            logger.info("UDP send buffer full: a datagram to %s is lost", address)

    def close(self) -> None:
        """Stop receiving and sending."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()


class _Connection(asyncio.Protocol):
    """One TCP connection, in either direction."""

    def __init__(
        self,
        owner: SipTransport,
        transport: Transport,
        made: Callable[[], None] = lambda: None,
    ) -> None:
        self._owner = owner
        self._made = made
        self._transport: asyncio.Transport | None = None
        self._framer = StreamFramer(owner.options.limits.max_message_bytes)
        self._kind: Transport = transport
        self.number = owner.next_number()
        self.remote = SourceAddress(transport, "", 0, self.number)
        # Of whole messages and keepalives; bytes alone keep nothing open.
        self.last_used_s = owner.clock.monotonic_s()
        self._unfinished_since_s: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername") or ("", 0)
        self.remote = SourceAddress(self._kind, peer[0], peer[1], self.number)
        self._made()
        if not self._owner.add(self):
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.remove(self)

    def data_received(self, data: bytes) -> None:
        now_s = self._owner.clock.monotonic_s()
        pieces = self._framer.feed(data)
        if pieces or self._unfinished_since_s is None:
            self._unfinished_since_s = now_s if self._framer.is_in_message else None
        for piece in pieces:
            self.last_used_s = now_s
            match piece:
                case Frame(message):
                    self._owner.receive(message, self.remote)
                case Ping():
                    self.write(PONG)
                case Broken(reason):
                    logger.info("closing %s: %s", self.remote, reason)
                    self.close()

    def write(self, data: bytes) -> bool:
        """Queue bytes; False when the peer has stopped reading."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        self.last_used_s = self._owner.clock.monotonic_s()
        transport.write(data)
        limit = self._owner.options.limits.max_write_buffer_bytes
        if transport.get_write_buffer_size() <= limit:
            return True
        logger.info("closing %s: it does not read", self.remote)
        transport.abort()
        return False

    def unfinished_s(self, now_s: float) -> float:
        """Return how long the peer has been at its current message; 0 at none."""
        since_s = self._unfinished_since_s
        return 0.0 if since_s is None else now_s - since_s

    def close(self) -> None:
        """Close after what is queued has been sent."""
        if self._transport is not None:
            self._transport.close()


class SipTransport:
    """All sockets of one endpoint.

    Args:
        receive: Called for every message's bytes.
        is_in_use: Says whether a connection must stay although it is idle.
    """

    def __init__(
        self,
        options: SipOptions,
        clock: Clock,
        receive: Receiver,
        is_in_use: Callable[[], set[int]],
    ) -> None:
        self.options = options
        self.clock = clock
        self.receive = receive
        self._is_in_use = is_in_use
        self._udp: _UdpSocket | None = None
        self._acceptors: list[Acceptor] = []
        self._connections: dict[int, _Connection] = {}
        self._by_address: dict[tuple[Transport, str, int], _Connection] = {}
        self._connecting: dict[tuple[Transport, str, int], asyncio.Task[_Connection]]
        self._connecting = {}
        self._sends: set[asyncio.Task[None]] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._last_number = 0

    # --- life ---

    async def start(self) -> tuple[BoundListener, ...]:
        """Open every listener; UDP and TCP share the port.

        Raises:
            ListenError: An address or port cannot be had.
        """
        attempts = FREE_PORT_ATTEMPTS if self.options.port == 0 else 1
        for attempt in range(1, attempts + 1):
            try:
                listeners = await self._listen_everywhere()
                break
            except ConfigError:
                await self.close()
                if attempt == attempts:
                    raise
        self._schedule_sweep()
        return tuple(listeners)

    async def _listen_everywhere(self) -> list[BoundListener]:
        """UDP and TCP share a port, also one that the system chose."""
        port = self.options.port
        listeners = []
        for transport in self.options.transports:
            wanted = self.options.tls.port if transport == "tls" else port
            listeners.append(await self._bind(transport, wanted))
            if transport != "tls":
                port = listeners[-1].port
        for transport, extra_port in self.options.extra_ports:
            listeners.append(await self._bind(transport, extra_port))
        return listeners

    async def _bind(self, transport: Transport, wanted: int) -> BoundListener:
        ip = self.options.bind_ip
        try:
            return BoundListener(transport, ip, await self._listen(transport, wanted))
        except OSError as error:
            raise _listen_error(ip, wanted, transport, error) from error

    async def close(self) -> None:
        """Close every socket and forget what was still to be sent."""
        if self._sweep is not None:
            self._sweep.cancel()
        tasks = [*self._sends, *self._connecting.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for acceptor in self._acceptors:
            await acceptor.close()
        self._acceptors.clear()
        for connection in list(self._connections.values()):
            connection.close()
        if self._udp is not None:
            self._udp.close()
            self._udp = None
        # One turn of the loop lets the closed transports report themselves gone.
        await asyncio.sleep(0)

    async def _listen(self, transport: Transport, port: int) -> int:
        tls = await server_context(self.options.tls) if transport == "tls" else None
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        listener = _bound_socket(self.options.bind_ip, port, kind)
        if transport == "udp":
            self._udp = _UdpSocket(listener, self.receive)
        else:
            self._acceptors.append(
                Acceptor(
                    listener,
                    lambda made: _Connection(self, transport, made),
                    tls,
                    self._has_room,
                )
            )
        bound: int = listener.getsockname()[1]
        return bound

    # --- sending ---

    def send(self, data: bytes, target: Target, failed: Failure) -> None:
        """Send now, or as soon as the name is looked up or the connection is made."""
        connection = self._connection_to(target)
        if connection is not None:
            if not connection.write(data):
                failed("the connection does not take data")
        elif target.transport == "udp" and is_literal(target.host):
            self._send_datagram(data, (_ip_of(target.host), target.port), failed)
        elif len(self._sends) >= MAX_PENDING_SENDS:
            failed(f"more than {MAX_PENDING_SENDS} messages wait for a connection")
        else:
            task = asyncio.create_task(self._send_later(data, target, failed))
            self._sends.add(task)
            task.add_done_callback(self._sends.discard)

    def _connection_to(self, target: Target) -> _Connection | None:
        if target.connection is not None:
            found = self._connections.get(target.connection)
            if found is not None:
                return found
        return self._by_address.get((target.transport, target.host, target.port))

    async def _send_later(self, data: bytes, target: Target, failed: Failure) -> None:
        try:
            ip = await self._resolve(target)
            if target.transport == "udp":
                self._send_datagram(data, (ip, target.port), failed)
                return
            connection = await self._connected(target, ip)
        except (OSError, UnicodeError) as error:
            # A name that is none, such as ``a..b``, is a UnicodeError.
            failed(f"{target}: {error}")
            return
        if not connection.write(data):
            failed(f"{target}: the connection closed")

    def _send_datagram(
        self, data: bytes, address: tuple[str, int], failed: Failure
    ) -> None:
        if self._udp is None:
            failed("no UDP listener")
            return
        try:
            self._udp.send(data, address)
        except OSError as error:
            failed(f"udp:{address[0]}:{address[1]}: {error}")

    async def _resolve(self, target: Target) -> str:
        if is_literal(target.host):
            return _ip_of(target.host)
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(
            target.host, target.port, family=socket.AF_INET, type=socket.SOCK_STREAM
        )
        return str(found[0][4][0])

    async def _connected(self, target: Target, ip: str) -> _Connection:
        """Return a connection to an address; concurrent callers share it."""
        key = (target.transport, ip, target.port)
        known = self._by_address.get(key)
        if known is not None:
            return known
        task = self._connecting.get(key)
        if task is None:
            task = asyncio.create_task(self._connect(*key, target.host))
            self._connecting[key] = task
            task.add_done_callback(lambda _: self._connecting.pop(key, None))
        return await asyncio.shield(task)

    async def _connect(
        self, transport: Transport, ip: str, port: int, name: str
    ) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, connection = await loop.create_connection(
                    lambda: _Connection(self, transport),
                    ip,
                    port,
                    ssl=client_context(self.options.tls)
                    if transport == "tls"
                    else None,
                    server_hostname=name if transport == "tls" else None,
                )
        except TimeoutError as error:
            raise OSError(f"no connection within {CONNECT_TIMEOUT_S} s") from error
        return connection

    # --- connections ---

    @property
    def connection_count(self) -> int:
        """TCP and TLS connections, also those in their handshake."""
        opening = sum(acceptor.opening for acceptor in self._acceptors)
        return len(self._connections) + opening

    def _has_room(self) -> bool:
        return self.connection_count < self.options.limits.max_connections

    def next_number(self) -> int:
        """Return a number for a new connection."""
        self._last_number += 1
        return self._last_number

    def add(self, connection: _Connection) -> bool:
        """Take a new connection; False when there are too many."""
        if len(self._connections) >= self.options.limits.max_connections:
            logger.warning("refusing %s: too many connections", connection.remote)
            return False
        self._connections[connection.number] = connection
        self._by_address[_address_key(connection.remote)] = connection
        return True

    def remove(self, connection: _Connection) -> None:
        """Forget a connection that is closed."""
        self._connections.pop(connection.number, None)
        key = _address_key(connection.remote)
        if self._by_address.get(key) is connection:
            del self._by_address[key]

    def _schedule_sweep(self) -> None:
        loop = asyncio.get_running_loop()
        limits = self.options.limits
        interval_s = min(limits.tcp_idle_s, limits.unfinished_message_s) / 4
        self._sweep = loop.call_later(interval_s, self._close_idle)

    def _close_idle(self) -> None:
        self._schedule_sweep()
        limits, now_s = self.options.limits, self.clock.monotonic_s()
        in_use = self._is_in_use()
        for connection in list(self._connections.values()):
            is_idle = now_s - connection.last_used_s > limits.tcp_idle_s
            if connection.unfinished_s(now_s) > limits.unfinished_message_s:
                logger.info(
                    "closing %s: a message is not complete after %g s",
                    connection.remote,
                    limits.unfinished_message_s,
                )
                connection.close()
            elif is_idle and connection.number not in in_use:
                logger.info("closing %s: idle", connection.remote)
                connection.close()


def _address_key(remote: SourceAddress) -> tuple[Transport, str, int]:
    return (remote.transport, remote.ip, remote.port)


def _ip_of(host: str) -> str:
    return "127.0.0.1" if host == "localhost" else host


def _bound_socket(ip: str, port: int, kind: socket.SocketKind) -> socket.socket:
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    bound = socket.socket(family, kind)
    try:
        bound.setblocking(False)
        if kind is socket.SOCK_DGRAM:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        else:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((ip, port))
    except BaseException:
        bound.close()
        raise
    return bound


def _listen_error(
    ip: str, port: int, transport: Transport, error: OSError
) -> ListenError:
    what = error.strerror or str(error)
    setting = "sip.tls_port" if transport == "tls" else "sip.port"
    return ListenError(
        f"cannot listen for SIP on {transport} {ip}:{port}: {what} "
        f"(settings sip.bind, {setting} and sip.transports)"
    )
