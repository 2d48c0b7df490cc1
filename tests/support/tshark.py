"""tshark beside a call: what an outsider sees on the loopback interface."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.processes import Process, run
from tests.support.programs import find

# After the last packet: time for the kernel to hand it over.
SETTLE_S = 0.5


def program() -> str:
    """Return its path; skip loudly when it is missing or may not listen."""
    return find("tshark")


@contextmanager
def captured(directory: Path, filter_: str) -> Iterator[Path]:
    """Capture what matches on loopback; gives the file, complete after the block."""
    file = directory / "capture.pcapng"
    watching = Process(
        program(), "-i", "lo", "-f", filter_, "-w", str(file), "-q", cwd=directory
    )
    try:
        try:
            watching.wait_for("Capturing on")
        except AssertionError:
            pytest.skip(f"tshark may not capture here: {watching.output[-300:]}")
        # It says so a moment before it does.
        time.sleep(SETTLE_S)
        yield file
        time.sleep(SETTLE_S)
    finally:
        watching.end()


def fields(file: Path, filter_: str, *names: str, rtp_ports: str) -> list[list[str]]:
    """Return fields of each packet, with the UDP ports ``a-b`` read as RTP."""
    wanted = [part for name in names for part in ("-e", name)]
    done = run(
        program(), "-r", str(file), "-d", f"udp.port=={rtp_ports},rtp",
        "-Y", filter_, "-T", "fields", *wanted,
        cwd=file.parent, deadline_s=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]
