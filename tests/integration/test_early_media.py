"""What a ringing phone sends reaches the caller: two real phones, one unanswered."""

from __future__ import annotations

from array import array
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from emulator.cli import signals
from tests.support import baresip as phone
from tests.support import linphone
from tests.support.processes import Emulator, Process, emulator, eventually
from tests.support.sipp import of_kind
from tests.support.tones import assert_hears

# Whole processes, in real time.
pytestmark = pytest.mark.slow

OWN, RINGING_HZ = "08010000009", 660.0
CONFIG = """\
calls: {max_ring_s: 4}
trunks:
  - name: pbx
    sid: trmum1pbx
    whitelisted_ips: ["127.0.0.1/32"]
    numbers:
      - {number: "08010000009", mode: pstn}
      - {number: "08010000010", mode: flow}
      - {number: "08010000011", mode: flow}
numbers:
  - {number: "08010000010", flow: operator_tone}
  - {number: "08010000011", flow: default}
"""
FLOW = """\
flow: MUSIC
app_id: "APP"
start: alice
applets:
  alice:
    type: connect
    dial: ["user:alice"]
    max_ring_s: 4
    music_on_hold: MUSIC
    no_answer: bye
  bye: {type: hangup}
"""


def registered(running: Emulator) -> bool:
    counts: dict[str, Any] = running.api.get("/diagnostics").json()["sip"]
    return bool(counts["registrations"])


@dataclass(frozen=True)
class Heard:
    """A call to alice, whose phone rang in vain."""

    call: dict[str, Any]
    story: list[dict[str, Any]]
    samples: array[int]
    rate_hz: int


def called_in_vain(
    baresip: str, linphonec: str, directory: Path, dialled: str
) -> Heard:
    """Call ``dialled``; tell what was heard meanwhile."""
    callee, caller, flows = (directory / name for name in ("callee", "caller", "flows"))
    for made in (callee, caller, flows):
        made.mkdir()
    for app, music in (("1", "operator_tone"), ("2", "default")):
        text = FLOW.replace("MUSIC", music).replace("APP", app)
        (flows / f"{music}.yaml").write_text(text)
    place = phone.configure(caller, user=OWN, tone_hz=440.0)
    env = {"EXOTEL_EMULATOR_FLOW__DIRECTORY": str(flows)}
    with (
        emulator(directory, config=CONFIG, env=env) as running,
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
        uri = f"sip:{dialled}@127.0.0.1:{running.sip_port}"
        dialling = Process(
            baresip, "-f", str(place), "-t", "20", "-e", f"/dial {uri}", cwd=caller
        )
        try:
            finished = running.finished_call()
        finally:
            dialling.end()
        ringing.result()
        story = running.timeline(finished["sid"])
    return Heard(finished, story, *phone.heard(caller))


def test_the_caller_hears_a_phone_that_rings_until_our_cancel(
    baresip: str, linphonec: str, tmp_path: Path
) -> None:
    heard = called_in_vain(baresip, linphonec, tmp_path, "09900000001")
    assert heard.call["status"] == "no-answer"
    ours = [m["summary"] for m in of_kind(heard.story, "sip.sent")]
    assert any(summary.startswith("183 ") for summary in ours)
    assert any(summary.startswith("CANCEL ") for summary in ours)
    theirs = [m["summary"] for m in of_kind(heard.story, "sip.received")]
    assert any(summary.startswith("487 ") for summary in theirs)
    assert_hears(RINGING_HZ, heard.samples, heard.rate_hz)


def test_in_a_connect_the_phone_is_heard_instead_of_the_operator_tone(
    baresip: str, linphonec: str, tmp_path: Path
) -> None:
    heard = called_in_vain(baresip, linphonec, tmp_path, "08010000010")
    assert_hears(RINGING_HZ, heard.samples, heard.rate_hz)
    [joined] = of_kind(heard.story, "call.bridged")
    assert joined["early"] is True
    [left] = [e for e in of_kind(heard.story, "applet.left") if e["type"] == "connect"]
    assert (left["exit"], left["why"]) == ("no_answer", "no-answer")


def test_in_a_connect_music_goes_on_over_the_phones_own_sounds(
    baresip: str, linphonec: str, tmp_path: Path
) -> None:
    heard = called_in_vain(baresip, linphonec, tmp_path, "08010000011")
    assert not of_kind(heard.story, "call.bridged")
    last = heard.samples[-2 * heard.rate_hz : -heard.rate_hz]
    fit = signals.fit_tone(last, heard.rate_hz, 300, 900)
    assert fit.snr_db < 10 or fit.frequency_hz != pytest.approx(RINGING_HZ, rel=0.1)
