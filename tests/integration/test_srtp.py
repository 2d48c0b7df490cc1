"""SRTP with keys in SDP: baresip, our own caller, and what the wire shows."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from emulator.cli import signals
from tests.support import baresip as phone
from tests.support.processes import Emulator, run
from tests.support.sipp import of_kind

# Whole processes, in real time.
pytestmark = pytest.mark.slow


def assert_hum(place: Path) -> None:
    samples, rate_hz = phone.heard(place)
    tail = samples[-rate_hz - rate_hz // 2 : -rate_hz // 2]
    fit = signals.fit_tone(tail, rate_hz, 300, 600)
    assert fit.frequency_hz == pytest.approx(440, rel=0.01)
    assert fit.snr_db > 20


@pytest.mark.parametrize("codec", ["pcmu", "pcma"])
def test_baresip_over_tls_with_srtp_hears_its_own_tone(
    running: Emulator, baresip: str, workplace: Path, codec: str
) -> None:
    place = phone.configure(workplace, codec=codec, transport="tls", srtp=True)
    done = run(
        baresip, "-f", str(place), "-t", "6",
        "-e", f"/dial sip:08010000002@127.0.0.1:{running.tls_port}",
        cwd=workplace,
    )  # fmt: skip
    assert "SRTP is Enabled" in done.stdout + done.stderr
    assert_hum(workplace)
    finished = running.finished_call()
    story = running.timeline(finished["sid"])
    (started,) = of_kind(story, "media.started")
    assert started["srtp"] == "AES_CM_128_HMAC_SHA1_80"
    assert started["codec"] == codec.upper()
    received = of_kind(story, "media.stats")[-1]["received"]
    assert (received["srtp_forged"], received["srtp_replayed"]) == (0, 0)
    assert of_kind(story, "media.stats")[-1]["rtcp"]["malformed"] == 0


def test_no_key_is_on_the_timeline(
    running: Emulator, baresip: str, workplace: Path
) -> None:
    place = phone.configure(workplace, transport="tls", srtp=True)
    run(
        baresip, "-f", str(place), "-t", "3",
        "-e", f"/dial sip:08010000002@127.0.0.1:{running.tls_port}",
        cwd=workplace,
    )  # fmt: skip
    story = running.timeline(running.finished_call()["sid"])
    assert "a=crypto:1 AES_CM_128_HMAC_SHA1_80 (hidden)" in str(story)
    assert "inline:" not in str(story)


def test_our_own_caller_over_udp_gets_srtp_and_a_note(
    running: Emulator, workplace: Path
) -> None:
    done = run(
        sys.executable, "-m", "emulator", "call", "08010000002", "--srtp",
        "--target", f"127.0.0.1:{running.sip_port}", "--api", running.url,
        "--seconds", "3",
        cwd=workplace,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"rtp: \d{3} packets received, 0 lost", done.stdout)
    story = running.timeline(running.finished_call()["sid"])
    notes = " ".join(note["text"] for note in of_kind(story, "note"))
    assert "SRTP whose keys came over udp" in notes
