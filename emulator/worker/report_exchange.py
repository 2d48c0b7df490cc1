"""The RTCP socket of one leg."""

from __future__ import annotations

import socket

from emulator.clock import Clock
from emulator.ids import IdSource
from emulator.rtp.reporting import Reporting
from emulator.worker.udp import Address, PeerSocket


class ReportExchange:
    """Sends reports to the port above the peer's RTP, and reads those of the peer."""

    def __init__(
        self, sock: socket.socket, reporting: Reporting, clock: Clock, ids: IdSource
    ) -> None:
        self._socket = PeerSocket(sock, on_latched=lambda: None)
        self._reporting = reporting
        self._clock = clock
        self._ids = ids

    def expect(self, allowed: frozenset[str], rtp_peer: Address) -> None:
        """The peer's RTP comes from ``rtp_peer``: its RTCP is one port above."""
        ip, port = rtp_peer
        self._socket.expect(allowed, (ip, port + 1), is_trusted=True)

    def read(self, buffer: bytearray, view: memoryview, now_s: float) -> None:
        """Take one datagram from the socket, if there is one."""
        length = self._socket.read(buffer)
        if length:
            self._reporting.receive(bytes(view[:length]), now_s, self._unix_s())

    def check(self, now_s: float) -> None:
        """Send a report when one is due."""
        if self._socket.peer is None:
            return
        if self._reporting.is_due(now_s, self._ids.uint16() / 65535):
            self._socket.send(self._reporting.compound(now_s, self._unix_s()))

    def close(self) -> None:
        """Say goodbye to a peer that was reported to."""
        if self._socket.peer is not None and self._reporting.sent:
            now_s = self._clock.monotonic_s()
            self._socket.send(self._reporting.goodbye(now_s, self._unix_s()))

    def counters(self) -> dict[str, int | float | None]:
        """Return what was exchanged and learnt."""
        return self._reporting.counters()

    def _unix_s(self) -> float:
        return self._clock.utc().timestamp()
