"""What the diagnostics route counts, before and after calls: what is left of them."""

from __future__ import annotations

import time
from typing import Any

from tests.support.processes import Emulator

# Transactions linger for 64*T1 = 32 s (RFC 3261 §17), and then up to a grain longer.
LINGER_S = 32.5
# The emulator gives memory back once all is quiet, and looks for that every 5 s.
TIDY_S = 6.0
# A call whose ACK and BYE were lost is ours to end: we wait 64*T1 for the ACK (or 30 s
# for RTP), and as long for the answer to our BYE; then for a machine that is busy.
PATIENCE_S = 32.5 + 20.0

Diagnosis = dict[str, Any]


def left_open(now: Diagnosis, quiet: Diagnosis) -> dict[str, int]:
    """Return, by name, what is open that was not before, zeros included.

    Registrations, remembered calls and messages of no call are bounded by their own
    limits and are no leftovers.
    """
    kept = {"registrations"}
    left = {name: n for name, n in now["sip"].items() if name not in kept}
    left["calls"] = now["calls"]["active"]
    for worker in now["workers"]:
        left[f"legs of worker {worker['number']}"] = worker["legs"]
        left[f"streams of worker {worker['number']}"] = worker["streams"]
    for name, process in _processes(now).items():
        before = _processes(quiet)[name]
        for what in ("files", "sockets", "tasks", "threads"):
            if what in process:
                left[f"{what} of {name}"] = max(0, process[what] - before[what])
    return left


def own_bytes(diagnosis: Diagnosis) -> int:
    """Return the memory that the processes have for themselves, together."""
    return sum(process["own_bytes"] for process in _processes(diagnosis).values())


def until_closed(running: Emulator, quiet: Diagnosis) -> Diagnosis:
    """Return the first diagnosis with nothing left, or the last one that there was.

    Asks rarely: looking costs milliseconds, and processor time is being measured.
    """
    time.sleep(LINGER_S)
    end_s = time.monotonic() + PATIENCE_S
    while True:
        now = running.diagnostics()
        if not any(left_open(now, quiet).values()) or time.monotonic() > end_s:
            time.sleep(TIDY_S)
            return running.diagnostics()
        time.sleep(1.0)


def _processes(diagnosis: Diagnosis) -> dict[str, dict[str, int]]:
    workers = {
        f"worker {worker['number']}": worker["process"]
        for worker in diagnosis["workers"]
    }
    return {"control": diagnosis["control"], **workers}
