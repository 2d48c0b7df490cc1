"""A thousand calls in a row leave nothing behind."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.footprint import Footprint, footprint
from tests.support.processes import Emulator, emulator, eventually, free_port, run

# Transactions linger for 64*T1 = 32 s (RFC 3261 §17).
DRAIN_S = 34.0
CALLS = 1_000
MAX_MORE_BYTES = 2_000_000
CONFIG = "calls: {ring_ms: 0, keep_ended: 20}"


def call(running: Emulator, sipp: str, directory: Path, count: int) -> list[Footprint]:
    """Let SIPp place calls, wait until they have lingered; look at both processes."""
    done = run(
        sipp, "-sn", "uac", f"127.0.0.1:{running.sip_port}", "-s", "08010000002",
        "-m", str(count), "-r", "100", "-i", "127.0.0.1", "-nostdin", cwd=directory,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    eventually(lambda: all(c["ended_at"] for c in running.calls()), "the calls' end")
    time.sleep(DRAIN_S)
    pids = [running.process.pid, *running.worker_pids()]
    return [footprint(pid) for pid in pids]


def growth(before: list[Footprint], after: list[Footprint]) -> int:
    return sum(
        a.memory_bytes - b.memory_bytes for a, b in zip(after, before, strict=True)
    )


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_thousand_calls_leave_no_file_and_no_memory(
    sipp: str, workplace: Path
) -> None:
    # Nobody listens there: what else runs on the machine has no part in this.
    env = {"ECHO_BOT_URL": f"ws://127.0.0.1:{free_port()}/media"}
    with emulator(workplace, config=CONFIG, env=env) as running:
        # What a process once had it need not give back, so the first thousand count
        # for nothing; of the next two, a leak shows in both, an arena that the
        # allocator happens to take in one.
        rounds = [call(running, sipp, workplace, CALLS) for _ in range(3)]
    files = [[one.files for one in footprints] for footprints in rounds]
    assert files[1:] == files[:-1]
    growths = [growth(*pair) for pair in pairwise(rounds)]
    assert min(growths) < MAX_MORE_BYTES, growths
