"""Five thousand calls in a row leave nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.open_things import Diagnosis, left_open, own_bytes, until_closed
from tests.support.processes import Emulator, emulator, free_port, run

CALLS = 5_000
RATE_PER_S = 150
MAX_MORE_BYTES = 2_000_000
CONFIG = "calls: {ring_ms: 0, keep_ended: 20}"


def call(running: Emulator, sipp: str, directory: Path, quiet: Diagnosis) -> Diagnosis:
    """Let SIPp place the calls; return what is open when they have lingered."""
    done = run(
        sipp, "-sn", "uac", f"127.0.0.1:{running.sip_port}", "-s", "08010000002",
        "-m", str(CALLS), "-r", str(RATE_PER_S), "-i", "127.0.0.1", "-nostdin",
        cwd=directory, deadline_s=150,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    return until_closed(running, quiet)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_five_thousand_calls_leave_no_task_socket_port_dialog_or_megabyte(
    sipp: str, workplace: Path
) -> None:
    # Nobody listens there: what else runs on the machine has no part in this.
    env = {"ECHO_BOT_URL": f"ws://127.0.0.1:{free_port()}/media"}
    with emulator(workplace, config=CONFIG, env=env) as running:
        # What a process once had it need not give back, so the first calls only fill
        # what is bounded; the second time, the same again must find its place.
        quiet = call(running, sipp, workplace, running.diagnostics())
        assert not any(quiet["sip"].values()), quiet["sip"]
        again = call(running, sipp, workplace, quiet)
    assert again["calls"]["taken"] == 2 * CALLS
    left = left_open(again, quiet)
    assert not any(left.values()), left
    assert again["calls"] | {"taken": 0} == quiet["calls"] | {"taken": 0}
    assert own_bytes(again) - own_bytes(quiet) < MAX_MORE_BYTES
