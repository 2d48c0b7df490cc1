"""The RTP ports of one worker: even numbers of a range (RFC 3550 §11)."""

from __future__ import annotations

import errno
import socket
from collections import deque

from emulator.errors import TransportError
from emulator.ids import IdSource

# A stalled worker finds its packets again: at 50 packets of some 800 bytes of kernel
# memory a second this holds seconds, not milliseconds.
RECEIVE_BUFFER_BYTES = 1 << 18
# Expedited forwarding (RFC 3246), as voice is marked.
_TOS_EF = 0xB8
_NOT_OURS = {errno.EADDRINUSE, errno.EACCES}


class NoPortFree(TransportError):
    """Every even port of the range is in use; names the range."""

    def __init__(self, low: int, high: int) -> None:
        super().__init__(
            f"no even port is free in {low}-{high}: widen media.rtp_port_min and "
            "media.rtp_port_max"
        )
        self.low = low
        self.high = high


class RtpPorts:
    """Opens bound, non-blocking UDP sockets; a port rests as long as possible."""

    def __init__(self, bind_ip: str, low: int, high: int, ids: IdSource) -> None:
        self._bind_ip = bind_ip
        self._low, self._high = low, high
        self._family = socket.AF_INET6 if ":" in bind_ip else socket.AF_INET
        self._free = deque(range(low + low % 2, high + 1, 2))
        # Two emulators on one machine, or a quick restart, start at different ports.
        self._free.rotate(ids.uint16())

    def open(self) -> socket.socket:
        """Return a socket on a free port of the range.

        Raises:
            NoPortFree: Each port is taken, by us or by another program.
            TransportError: The address cannot be bound at all.
        """
        for _ in range(len(self._free)):
            port = self._free.popleft()
            sock = self._bind(port)
            if sock is not None:
                return sock
            self._free.append(port)
        raise NoPortFree(self._low, self._high)

    def close(self, sock: socket.socket) -> None:
        """Close a socket of ``open`` and take its port back."""
        self._free.append(sock.getsockname()[1])
        sock.close()

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
