"""Two hundred quick calls to a bot: what they opened is closed again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.footprint import footprint
from tests.support.processes import Emulator, eventually, run
from tests.support.sipp import DIRECT

CALLS = 200


def call(running: Emulator, sipp: str, directory: Path, count: int) -> None:
    """Let SIPp place calls of 0.3 s each, some twelve at a time."""
    done = run(
        sipp, "-sn", "uac", f"127.0.0.1:{running.sip_port}", "-s", DIRECT,
        "-m", str(count), "-r", "40", "-d", "300", "-i", "127.0.0.1", "-nostdin",
        cwd=directory,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    eventually(lambda: all(c["ended_at"] for c in running.calls()), "the calls' end")


def open_files(running: Emulator) -> list[int]:
    pids = [running.process.pid, *running.worker_pids()]
    return [footprint(pid).files for pid in pids]


@pytest.mark.slow
def test_quick_calls_to_a_bot_leave_no_file_in_control_or_worker(
    at_once: Emulator, sipp: str, workplace: Path
) -> None:
    call(at_once, sipp, workplace, 5)
    before = open_files(at_once)
    call(at_once, sipp, workplace, CALLS)
    kinds = {e["kind"] for e in at_once.timeline(at_once.finished_call()["sid"])}
    assert "stream.opened" in kinds

    def are_closed() -> bool:
        now = open_files(at_once)
        return all(a <= b for a, b in zip(now, before, strict=True))

    eventually(are_closed, f"no more open files than {before}")
