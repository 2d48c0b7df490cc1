"""Where legs live: all legs of one call on one worker, so that they can be bridged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

from emulator.errors import WorkerLost

W = TypeVar("W")

# Calls that died with their worker; the oldest are forgotten. More than one worker has.
MAX_LOST_CALLS = 1000


class Placement(Generic[W]):
    """Knows the worker of every leg and of every call that has legs."""

    def __init__(self) -> None:
        self._legs: dict[str, tuple[str, W]] = {}
        self._calls: dict[str, tuple[W, set[str]]] = {}
        self._lost: dict[str, int] = {}

    def of_leg(self, leg_id: str) -> W | None:
        """Return where a leg lives; None for one that has ended or was lost."""
        _, worker = self._legs.get(leg_id, ("", None))
        return worker

    def of_call(self, call_sid: str) -> W | None:
        """Return where a call's other legs live; None when it has none.

        Raises:
            WorkerLost: They died with their worker: no leg can be joined to them.
        """
        if (number := self._lost.get(call_sid)) is not None:
            raise WorkerLost(number, f"it died with the other legs of call {call_sid}")
        worker, _ = self._calls.get(call_sid, (None, set()))
        return worker

    def put(self, leg_id: str, call_sid: str, worker: W) -> None:
        """A leg lives, or is about to live, on ``worker``."""
        self._legs[leg_id] = call_sid, worker
        self._calls.setdefault(call_sid, (worker, set()))[1].add(leg_id)

    def remove(self, leg_id: str) -> None:
        """A leg has ended; a call without legs is forgotten."""
        if leg_id not in self._legs:
            return
        call_sid, _ = self._legs.pop(leg_id)
        legs = self._calls[call_sid][1]
        legs.discard(leg_id)
        if not legs:
            del self._calls[call_sid]

    def lose(self, leg_ids: Iterable[str], number: int) -> None:
        """Worker ``number`` died with these legs."""
        for leg_id in leg_ids:
            if leg_id in self._legs:
                self._lost[self._legs[leg_id][0]] = number
                self.remove(leg_id)
        for call_sid in list(self._lost)[:-MAX_LOST_CALLS]:
            del self._lost[call_sid]
