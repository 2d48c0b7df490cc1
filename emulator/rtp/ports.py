"""The port pairs of one worker: RTP on even numbers, RTCP one above (RFC 3550 §11)."""

from __future__ import annotations

import errno
import socket
from collections import deque
from typing import NamedTuple

from emulator.errors import TransportError
from emulator.ids import IdSource

# A stalled worker finds its packets again: at 50 packets of some 800 bytes of kernel
# memory a second this holds seconds, not milliseconds.
RECEIVE_BUFFER_BYTES = 1 << 18
# Expedited forwarding (RFC 3246), as voice is marked.
_TOS_EF = 0xB8
_NOT_OURS = {errno.EADDRINUSE, errno.EACCES}


class NoPortFree(TransportError):
    """Every pair of the range is in use; names the range."""

    def __init__(self, low: int, high: int) -> None:
        super().__init__(
            f"no even port and the next is free in {low}-{high}: widen media.rtp_range"
        )
        self.low = low
        self.high = high


class PortPair(NamedTuple):
    """The bound, non-blocking UDP sockets of one leg."""

    rtp: socket.socket
    rtcp: socket.socket


class RtpPorts:
    """Opens port pairs; a pair that was closed rests as long as possible."""

    def __init__(self, bind_ip: str, low: int, high: int, ids: IdSource) -> None:
        self._bind_ip = bind_ip
        self._low, self._high = low, high
        self._family = socket.AF_INET6 if ":" in bind_ip else socket.AF_INET
        self._free = deque(range(low + low % 2, high, 2))
        # Two emulators on one machine, or a quick restart, start at different ports.
        self._free.rotate(ids.uint16())

    def open(self) -> PortPair:
        """Return sockets on a free pair of the range.

        Raises:
            NoPortFree: Each pair is taken, by us or by another program.
            TransportError: The address cannot be bound at all.
        """
        for _ in range(len(self._free)):
            port = self._free.popleft()
            pair = self._bind_pair(port)
            if pair is not None:
                return pair
            self._free.append(port)
        raise NoPortFree(self._low, self._high)

    def close(self, pair: PortPair) -> None:
        """Close the sockets of ``open`` and take their ports back."""
        self._free.append(pair.rtp.getsockname()[1])
        pair.rtp.close()
        pair.rtcp.close()

    def _bind_pair(self, port: int) -> PortPair | None:
        rtp = self._bind(port)
        if rtp is None:
            return None
        rtcp = self._bind(port + 1)
        if rtcp is None:
            rtp.close()
            return None
        return PortPair(rtp, rtcp)

    def _bind(self, port: int) -> socket.socket | None:
        sock = socket.socket(self._family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            if self._family == socket.AF_INET:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _TOS_EF)
            sock.bind((self._bind_ip, port))
        except OSError as error:
            sock.close()
            if error.errno in _NOT_OURS:
                return None
            raise TransportError(
                f"RTP cannot bind {self._bind_ip}:{port} (media.bind): {error.strerror}"
            ) from error
        return sock
