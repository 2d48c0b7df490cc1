"""The stream to the caller as tshark sees it: every packet, 20 ms apart."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

import pytest

from tests.support import tshark
from tests.support.processes import Emulator, run
from tests.support.sipp import of_kind

# A whole call of 20 s, and tshark reads slowly.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SECONDS = 20
PTIME_MS = 20.0
# The distance of packets is taken over so many: 2 s, which evens out who comes late.
SPAN = 100


def test_packets_are_20_ms_apart_and_none_is_missing(
    running: Emulator, workplace: Path
) -> None:
    """The median over all packets: what a busy machine sends late decides nothing."""
    with tshark.captured(workplace, "udp portrange 10000-39999") as file:
        done = run(
            sys.executable, "-m", "emulator", "call", "08010000002",
            "--target", f"127.0.0.1:{running.sip_port}", "--api", running.url,
            "--seconds", str(SECONDS),
            cwd=workplace,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    story = running.timeline(running.finished_call()["sid"])
    (started,) = of_kind(story, "media.started")
    rows = tshark.fields(
        file,
        f"rtp.seq && udp.srcport == {started['rtp_port']}",
        "rtp.seq", "rtp.timestamp", "frame.time_epoch",
        rtp_ports="10000-39999",
    )  # fmt: skip
    numbers = [int(row[0]) for row in rows]
    timestamps = [int(row[1]) for row in rows]
    arrivals_ms = [float(row[2]) * 1000 for row in rows]
    # A worker that stood still for more than a second leaves out the rest of it.
    assert len(rows) > (SECONDS - 5) * 50
    steps = [(b - a) & 0xFFFF for a, b in zip(numbers, numbers[1:], strict=False)]
    assert set(steps) == {1}
    ticks = [
        (b - a) & 0xFFFFFFFF for a, b in zip(timestamps, timestamps[1:], strict=False)
    ]
    assert set(ticks) == {160}
    distances_ms = [
        (b - a) / SPAN for a, b in zip(arrivals_ms, arrivals_ms[SPAN:], strict=False)
    ]
    assert statistics.median(distances_ms) == pytest.approx(PTIME_MS, abs=0.02)
