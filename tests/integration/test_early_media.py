"""What a ringing phone sends reaches the caller: two real phones, one unanswered."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from emulator.cli import signals
from tests.support import baresip as phone
from tests.support import linphone
from tests.support.processes import Emulator, emulator, eventually, run
from tests.support.sipp import of_kind

# Whole processes, in real time.
pytestmark = pytest.mark.slow

OWN, RINGING_HZ = "08010000009", 660.0
CONFIG = """\
calls: {max_ring_s: 4}
trunks:
  - name: pbx
    sid: trmum1pbx
    whitelisted_ips: ["127.0.0.1/32"]
    numbers: [{number: "08010000009", mode: pstn}]
"""


def registered(running: Emulator) -> bool:
    counts: dict[str, Any] = running.api.get("/diagnostics").json()["sip"]
    return bool(counts["registrations"])


def test_the_caller_hears_a_phone_that_rings_until_our_cancel(
    baresip: str, linphonec: str, tmp_path: Path
) -> None:
    callee, caller = tmp_path / "callee", tmp_path / "caller"
    callee.mkdir()
    caller.mkdir()
    place = phone.configure(caller, user=OWN, tone_hz=440.0)
    with (
        emulator(tmp_path, config=CONFIG) as running,
        ThreadPoolExecutor() as pool,
    ):
        ringing = pool.submit(
            linphone.ring,
            linphonec,
            callee,
            user="alice",
            port=running.sip_port,
            seconds=9,
            tone_hz=RINGING_HZ,
        )
        eventually(lambda: registered(running), "alice registers")
        dialled = f"sip:09900000001@127.0.0.1:{running.sip_port}"
        run(baresip, "-f", str(place), "-t", "7", "-e", f"/dial {dialled}", cwd=caller)
        finished = running.finished_call()
        story = running.timeline(finished["sid"])
        ringing.result()
    assert finished["status"] == "no-answer"
    ours = [m["summary"] for m in of_kind(story, "sip.sent")]
    assert any(summary.startswith("183 ") for summary in ours)
    assert any(summary.startswith("CANCEL ") for summary in ours)
    theirs = [m["summary"] for m in of_kind(story, "sip.received")]
    assert any(summary.startswith("487 ") for summary in theirs)
    samples, rate_hz = phone.heard(caller)
    fit = signals.fit_tone(samples[-2 * rate_hz : -rate_hz], rate_hz, 300, 900)
    assert fit.frequency_hz == pytest.approx(RINGING_HZ, rel=0.01)
