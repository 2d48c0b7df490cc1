"""A leg's RTP through a bad network, for tests: the damage stands before the socket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emulator.clock import Clock
from emulator.events import JsonValue
from emulator.ids import IdSource
from emulator.rtp.impairment import Damage, Impairment
from emulator.worker.leg import Leg
from emulator.worker.messages import Impair


class ImpairedPath:
    """Holds the packets of one leg; ``release`` lets through what is due."""

    def __init__(self, leg: Leg, command: Impair, clock: Clock) -> None:
        self._leg = leg
        self._clock = clock
        # Two sources: what one direction does leaves the other's damage as it is.
        self._inbound = _impairment(command.inbound, command.seed)
        self._outbound = _impairment(command.outbound, command.seed + 1)
        if self._outbound is not None:
            leg.send_through(self._transmit)

    def read(self, buffer: bytearray, view: memoryview, now_s: float) -> None:
        """Take one datagram from the leg's socket, if there is one."""
        if self._inbound is None:
            self._leg.read(buffer, view, now_s)
            return
        length = self._leg.socket.read(buffer)
        if length:
            self._inbound.push(bytes(view[:length]), now_s)

    def release(self, buffer: bytearray, view: memoryview, now_s: float) -> None:
        """Let through what is due in both directions; called at every tick."""
        while self._inbound is not None and (datagram := self._inbound.pop(now_s)):
            view[: len(datagram)] = datagram
            length = len(datagram)
            if self._leg.open is not None:
                length = self._leg.open(buffer, length)
            if length:
                self._leg.take(buffer, view, length, now_s)
        while self._outbound is not None and (datagram := self._outbound.pop(now_s)):
            self._leg.socket.send(datagram)

    def heal(self) -> None:
        """Let packets pass as they come; those that are held are lost."""
        self._leg.send_through(None)

    def counts(self) -> dict[str, JsonValue]:
        """Return what was done to the packets of each damaged direction."""
        ways = {"from_caller": self._inbound, "to_caller": self._outbound}
        return {
            way: {
                "lost": done.lost,
                "duplicated": done.duplicated,
                "reordered": done.reordered,
            }
            for way, done in ways.items()
            if done is not None
        }

    def _transmit(self, packet: bytes) -> None:
        assert self._outbound is not None
        self._outbound.push(packet, self._clock.monotonic_s())


def _impairment(damage: Mapping[str, float] | None, seed: int) -> Impairment | None:
    if damage is None:
        return None
    fields: dict[str, Any] = dict(damage)
    return Impairment(Damage(**fields), IdSource(seed))
