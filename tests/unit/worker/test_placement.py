"""Legs of one call share a worker; a call whose worker died gets no further legs."""

import pytest

from emulator.errors import WorkerLost
from emulator.worker.placement import MAX_LOST_CALLS, Placement


def test_a_call_lives_where_its_first_leg_was_put() -> None:
    homes: Placement[str] = Placement()
    assert homes.of_call("C1") is None
    homes.put("L1", "C1", "first")
    homes.put("L2", "C1", "first")
    assert (homes.of_leg("L1"), homes.of_call("C1")) == ("first", "first")
    homes.remove("L1")
    assert (homes.of_leg("L1"), homes.of_call("C1")) == (None, "first")


def test_a_call_without_legs_is_forgotten() -> None:
    homes: Placement[str] = Placement()
    homes.put("L1", "C1", "first")
    homes.remove("L1")
    homes.remove("L1")
    assert homes.of_call("C1") is None


def test_a_call_that_died_with_its_worker_gets_no_other_leg() -> None:
    homes: Placement[str] = Placement()
    homes.put("L1", "C1", "first")
    homes.put("L2", "C2", "second")
    homes.lose({"L1", "unknown"}, 3)
    with pytest.raises(WorkerLost, match="worker 3 lost: .* legs of call C1"):
        homes.of_call("C1")
    assert homes.of_call("C2") == "second"


def test_lost_calls_are_forgotten_in_the_end() -> None:
    homes: Placement[str] = Placement()
    for n in range(MAX_LOST_CALLS + 1):
        homes.put(f"L{n}", f"C{n}", "first")
        homes.lose({f"L{n}"}, 0)
    assert homes.of_call("C0") is None
    with pytest.raises(WorkerLost):
        homes.of_call("C1")
