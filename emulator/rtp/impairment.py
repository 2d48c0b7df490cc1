"""A bad network, from a seed: loss, duplication, delay, jitter, reordering.

Pure: datagrams go in with their time and come out when they are due. The same seed and
the same packets give the same damage.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from emulator.ids import IdSource

# Bounds memory; at 50 packets a second this is 20 s of delay.
MAX_HELD_PACKETS = 1000


@dataclass(frozen=True, slots=True)
class Damage:
    """What happens to the packets of one direction; the default is nothing.

    Attributes:
        loss, duplicate, reorder: Probabilities from 0 to 1, per packet.
        delay_ms: Of every packet.
        jitter_ms: At most so much is added to the delay, uniformly. Packets keep their
            order unless ``reorder`` picks one.
        reorder_ms: How much later a packet that is picked comes, past its successors.
    """

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    reorder_ms: float = 30.0


class Impairment:
    """One direction of one call.

    Attributes:
        lost, duplicated, reordered: What was done, in packets.
    """

    def __init__(self, damage: Damage, ids: IdSource) -> None:
        self.lost = self.duplicated = self.reordered = 0
        self._damage = damage
        self._ids = ids
        self._held: list[tuple[float, int, bytes]] = []
        self._count = 0
        self._last_due_s = 0.0

    def push(self, datagram: bytes, now_s: float) -> None:
        """Take a datagram that would go through now."""
        damage, chance = self._damage, self._chance
        if chance() < damage.loss:
            self.lost += 1
            return
        delay_ms = damage.delay_ms + damage.jitter_ms * chance()
        due_s = max(now_s + delay_ms / 1000, self._last_due_s)
        if chance() < damage.reorder:
            self.reordered += 1
            self._hold(datagram, due_s + damage.reorder_ms / 1000)
        else:
            self._last_due_s = due_s
            self._hold(datagram, due_s)
        if chance() < damage.duplicate:
            self.duplicated += 1
            self._hold(datagram, due_s)

    def pop(self, now_s: float) -> bytes | None:
        """Return the next datagram that is due, or None."""
        if not self._held or self._held[0][0] > now_s:
            return None
        return heapq.heappop(self._held)[2]

    def _chance(self) -> float:
        return self._ids.uint16() / 0x10000

    def _hold(self, datagram: bytes, due_s: float) -> None:
        if len(self._held) >= MAX_HELD_PACKETS:
            self.lost += 1
            return
        self._count += 1
        heapq.heappush(self._held, (due_s, self._count, datagram))
