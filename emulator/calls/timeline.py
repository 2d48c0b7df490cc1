"""The timeline: all that happened in one call, in order, in bounded memory.

A full timeline keeps its beginning and its end, where the causes are, and counts what
it dropped from the middle.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from emulator.events import EVENT_KINDS, Event, JsonValue
from emulator.text import encodable


@dataclass(frozen=True, slots=True)
class Entry:
    """One event at its place in a timeline.

    Attributes:
        number: Counts from 1 without holes, dropped entries included.
        offset_s: Seconds since the call was created.
        at: Wall-clock time in UTC.
    """

    number: int
    offset_s: float
    at: datetime
    event: Event

    def to_json(self) -> dict[str, JsonValue]:
        """Return the API's form, which any JSON encoder takes."""
        return {
            "number": self.number,
            "offset_ms": round(self.offset_s * 1000, 1),
            "monotonic_s": round(self.event.at_s, 6),
            "at": self.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "kind": self.event.kind,
            "data": encodable(self.event.data),
        }


class Timeline:
    """An append-only record.

    Args:
        epoch_s: Monotonic time at which the call was created.
        epoch_at: The same instant in UTC; entries get their UTC time from it, so that
            both clocks agree within a call whatever the wall clock does.
        max_events: Entries kept.
    """

    def __init__(self, epoch_s: float, epoch_at: datetime, max_events: int) -> None:
        self._epoch_s = epoch_s
        self._epoch_at = epoch_at
        self._head_size = max_events // 2
        self._head: list[Event] = []
        # Made when it is needed: an empty deque takes 700 bytes of a call.
        self._tail: deque[Event] | None = None
        self._tail_size = max_events - self._head_size
        self._count = 0

    @property
    def dropped(self) -> int:
        """How many entries were dropped from the middle."""
        return self._count - len(self)

    def append(self, event: Event) -> None:
        """Record ``event``; its kind must be a declared one."""
        if event.kind not in EVENT_KINDS:
            raise ValueError(f"undeclared event kind {event.kind!r}")
        self._count += 1
        if len(self._head) < self._head_size:
            self._head.append(event)
            return
        if self._tail is None:
            self._tail = deque(maxlen=self._tail_size)
        self._tail.append(event)

    def __len__(self) -> int:
        return len(self._head) + len(self._tail or ())

    def __iter__(self) -> Iterator[Entry]:
        for number, event in enumerate(self._head, start=1):
            yield self._entry(number, event)
        tail = self._tail or ()
        for number, event in enumerate(tail, self._count - len(tail) + 1):
            yield self._entry(number, event)

    def _entry(self, number: int, event: Event) -> Entry:
        offset_s = event.at_s - self._epoch_s
        at = datetime.fromtimestamp(
            self._epoch_at.timestamp() + offset_s, self._epoch_at.tzinfo
        )
        return Entry(number, offset_s, at, event)

    def since(self, number: int) -> list[Entry]:
        """Return the kept entries after entry ``number``."""
        return [entry for entry in self if entry.number > number]

    def kinds(self) -> Mapping[str, int]:
        """Return how often each kind is kept."""
        counts: dict[str, int] = {}
        for entry in self:
            counts[entry.event.kind] = counts.get(entry.event.kind, 0) + 1
        return counts
