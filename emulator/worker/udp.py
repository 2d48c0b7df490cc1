"""One leg's UDP socket: symmetric latching onto the peer, with a guard.

The first RTP packet from an allowed address latches. One from the very address and port
of the peer's SDP takes precedence, also later: a stranger who was faster is put out at
once. Then nobody can come first any more, and the socket is connected: the kernel keeps
strangers out, and sending is cheaper. Until then every datagram's source is compared.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import sys
from collections.abc import Callable

from emulator.rtp.packet import HEADER_BYTES, VERSION

Address = tuple[str, int]

# Larger than any RTP packet: what fills the buffer is none.
MAX_DATAGRAM_BYTES = 2048
# Strangers may send ten thousands of packets a second; look at a few per tick.
_MAX_READS_OF_MANY = 32


class PeerSocket:
    """A non-blocking socket that learns where its peer is.

    Attributes:
        peer: Where packets go; None while nobody is known who may get them.
        is_latched: The first RTP packet of the peer has fixed ``peer``.
        receive: Reads one datagram into a buffer; 0 or ``BlockingIOError`` when there
            is none, ``OSError`` when the peer's port is closed.
        transmit: Sends one packet to the peer, if it is known; raises ``OSError``.
        foreign: Datagrams that were seen and not taken: not from the peer, or from an
            address that may not latch. The kernel drops those that come while the
            socket is connected.
    """

    __slots__ = (
        "_allowed", "_is_connected", "_known", "_on_latched", "_told", "errors",
        "foreign", "is_latched", "peer", "receive", "sock", "transmit",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, on_latched: Callable[[], None]) -> None:
        self.sock = sock
        self.peer: Address | None = None
        self.is_latched = False
        self.foreign = 0
        self.errors = 0
        self._on_latched = on_latched
        self._is_connected = False
        # As the peer says in its SDP; it may take the place of whoever has latched.
        self._told: Address | None = None
        # Who latched last; the same one again is no news.
        self._known: Address | None = None
        # None: nobody may latch, since nobody is expected yet.
        self._allowed: frozenset[str] | None = None
        self.receive: Callable[[bytearray], int] = self._read_of_many
        self.transmit: Callable[[bytes], object] = self._send_to_peer

    @property
    def port(self) -> int:
        """The local port."""
        return int(self.sock.getsockname()[1])

    def expect(
        self, allowed: frozenset[str], told: Address, *, is_trusted: bool
    ) -> None:
        """Latch anew, onto an address of ``allowed`` (empty: any).

        Args:
            told: Where the peer says that it is.
            is_trusted: Send there at once; else nothing is sent before latching.
        """
        self.release()
        self._allowed = allowed
        self._told = told
        self._known = None
        self.peer = told if is_trusted else None

    def allow(self, allowed: frozenset[str]) -> None:
        """Change who may latch; who has latched stays."""
        self._allowed = allowed

    def release(self) -> None:
        """Let another source latch; packets go where they went."""
        self.is_latched = False
        if self._is_connected:
            self._is_connected = False
            self.receive = self._read_of_many
            self.transmit = self._send_to_peer
            _disconnect(self.sock)

    def read(self, buffer: bytearray) -> int:
        """Read one datagram of the peer into ``buffer``; 0 when there is none."""
        try:
            return self.receive(buffer)
        except OSError as error:
            self.failed(error)
            return 0

    def failed(self, error: OSError) -> None:
        """Count what ``receive`` raised, unless there was only nothing to read."""
        if not isinstance(error, BlockingIOError):
            # An ICMP error of an earlier packet: the peer's port is closed.
            self.errors += 1

    def send(self, packet: bytes) -> None:
        """Send one packet to the peer, if it is known."""
        try:
            self.transmit(packet)
        except OSError:
            self.errors += 1

    def _send_to_peer(self, packet: bytes) -> None:
        if self.peer is not None:
            self.sock.sendto(packet, self.peer)

    def _read_of_many(self, buffer: bytearray) -> int:
        for _ in range(_MAX_READS_OF_MANY):
            try:
                length, address = self.sock.recvfrom_into(buffer)
            except BlockingIOError:
                return 0
            except OSError:
                self.errors += 1
                return 0
            if self.is_latched and address == self.peer:
                return length
            if not self._may_latch(address):
                self.foreign += 1
            elif length > HEADER_BYTES and buffer[0] >> 6 == VERSION:
                self._latch(address)
                return length
        return 0

    def _may_latch(self, address: Address) -> bool:
        """The first to come; after that only whom the SDP names."""
        if self._allowed is None or (self._allowed and address[0] not in self._allowed):
            return False
        return not self.is_latched or address == self._told

    def _latch(self, address: Address) -> None:
        self.peer = address
        self.is_latched = True
        if address == self._told:
            self._connect(address)
        if address != self._known:
            self._known = address
            self._on_latched()

    def _connect(self, address: Address) -> None:
        try:
            self.sock.connect(address)
        except OSError:
            self.errors += 1
            return
        self._is_connected = True
        self.receive = self.sock.recv_into
        self.transmit = self.sock.send


def _disconnect(sock: socket.socket) -> None:
    """Undo ``connect``: POSIX does that by connecting to AF_UNSPEC."""
    family = struct.pack("=H", socket.AF_UNSPEC)
    if sys.platform == "darwin":
        # BSD puts the length first; it answers EAFNOSUPPORT, but it disconnects.
        family = struct.pack("=BB", 16, socket.AF_UNSPEC)
    ctypes.CDLL(None).connect(sock.fileno(), family.ljust(16, b"\0"), 16)
