"""One leg's UDP socket: symmetric latching onto the peer, with a guard.

Before latching every datagram's source is checked; afterwards the socket is connected,
so that the kernel keeps strangers out and sending is cheaper.
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
_MAX_READS_UNLATCHED = 32


class PeerSocket:
    """A non-blocking socket that learns where its peer is.

    Attributes:
        peer: Where packets go; None while nobody is known who may get them.
        is_latched: The first RTP packet of the peer has fixed ``peer``.
        foreign: Datagrams from addresses that may not latch.
    """

    def __init__(self, sock: socket.socket, on_latched: Callable[[], None]) -> None:
        self.sock = sock
        self.peer: Address | None = None
        self.is_latched = False
        self.foreign = 0
        self.errors = 0
        self._on_latched = on_latched
        # None: nobody may latch, since nobody is expected yet.
        self._allowed: frozenset[str] | None = None
        self._recv_into = sock.recv_into
        self._send = sock.send

    @property
    def port(self) -> int:
        """The local port."""
        return int(self.sock.getsockname()[1])

    def expect(self, allowed: frozenset[str], peer: Address | None) -> None:
        """Latch anew, onto an address of ``allowed`` (empty: any).

        Args:
            peer: Where to send before that; None sends nothing.
        """
        self.release()
        self._allowed = allowed
        self.peer = peer

    def allow(self, allowed: frozenset[str]) -> None:
        """Change who may latch; who has latched stays."""
        self._allowed = allowed

    def release(self) -> None:
        """Let another source latch; packets go where they went."""
        if self.is_latched:
            self.is_latched = False
            _disconnect(self.sock)

    def read(self, buffer: bytearray) -> int:
        """Read one datagram of the peer into ``buffer``; 0 when there is none."""
        if not self.is_latched:
            return self._read_unlatched(buffer)
        try:
            return self._recv_into(buffer)
        except BlockingIOError:
            return 0
        except OSError:
            # An ICMP error of an earlier packet: the peer's port is closed.
            self.errors += 1
            return 0

    def send(self, packet: bytes | bytearray) -> None:
        """Send one packet to the peer, if it is known."""
        try:
            if self.is_latched:
                self._send(packet)
            elif self.peer is not None:
                self.sock.sendto(packet, self.peer)
        except OSError:
            self.errors += 1

    def _read_unlatched(self, buffer: bytearray) -> int:
        for _ in range(_MAX_READS_UNLATCHED):
            try:
                length, address = self.sock.recvfrom_into(buffer)
            except BlockingIOError:
                return 0
            except OSError:
                self.errors += 1
                return 0
            if not self._may_latch(address[0]):
                self.foreign += 1
            elif length > HEADER_BYTES and buffer[0] >> 6 == VERSION:
                self._latch(address[:2])
                return length
        return 0

    def _may_latch(self, ip: str) -> bool:
        return self._allowed is not None and (not self._allowed or ip in self._allowed)

    def _latch(self, address: Address) -> None:
        self.peer = address
        try:
            self.sock.connect(address)
        except OSError:
            self.errors += 1
            return
        self.is_latched = True
        self._on_latched()


def _disconnect(sock: socket.socket) -> None:
    """Undo ``connect``: POSIX does that by connecting to AF_UNSPEC."""
    family = struct.pack("=H", socket.AF_UNSPEC)
    if sys.platform == "darwin":
        # BSD puts the length first; it answers EAFNOSUPPORT, but it disconnects.
        family = struct.pack("=BB", 16, socket.AF_UNSPEC)
    ctypes.CDLL(None).connect(sock.fileno(), family.ljust(16, b"\0"), 16)
