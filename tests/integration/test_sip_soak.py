"""Five thousand calls in a row leave nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.open_things import Diagnosis, left_open, own_bytes, until_closed
from tests.support.processes import Emulator, emulator, run
from tests.support.silent_flow import write_silent_flow

CALLS, RATE_PER_S = 5_000, 100
# More at once than ever later, so that what follows fits in what was there.
WARM_UP_CALLS, WARM_UP_RATE_PER_S = 3_500, 300
MAX_MORE_BYTES = 2_000_000
NUMBER = "08010000001"
CONFIG = f"""\
calls: {{ring_ms: 0, keep_ended: 20}}
flow: {{silent_greeting_ms: 60000}}
numbers: [{{number: "{NUMBER}", flow: silence}}]
"""


def call(
    running: Emulator, sipp: str, directory: Path, quiet: Diagnosis, *, warm_up: bool
) -> Diagnosis:
    """Let SIPp place calls; return what is open when they have lingered."""
    count = WARM_UP_CALLS if warm_up else CALLS
    rate = WARM_UP_RATE_PER_S if warm_up else RATE_PER_S
    done = run(
        sipp, "-sn", "uac", f"127.0.0.1:{running.sip_port}", "-s", NUMBER,
        "-m", str(count), "-r", str(rate), "-i", "127.0.0.1", "-nostdin",
        cwd=directory, deadline_s=150,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    return until_closed(running, quiet)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_five_thousand_calls_leave_no_task_socket_port_dialog_or_megabyte(
    sipp: str, workplace: Path
) -> None:
    env = write_silent_flow(workplace)
    with emulator(workplace, config=CONFIG, env=env) as running:
        warm = call(running, sipp, workplace, running.diagnostics(), warm_up=True)
        first = call(running, sipp, workplace, warm, warm_up=False)
        second = call(running, sipp, workplace, first, warm_up=False)
    for now, before in ((first, warm), (second, first)):
        left = left_open(now, before)
        assert not any(left.values()), left
    assert second["calls"]["taken"] == WARM_UP_CALLS + 2 * CALLS
    assert second["calls"] | {"taken": 0} == first["calls"] | {"taken": 0}
    assert own_bytes(second) - own_bytes(first) < MAX_MORE_BYTES
