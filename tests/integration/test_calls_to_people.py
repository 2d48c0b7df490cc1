"""A trunk's number with mode pstn: its calls reach people and other trunks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emulator.cli import signals
from tests.support.phone import calling
from tests.support.processes import Emulator, Process, emulator, free_port
from tests.support.sipp import Peer, of_kind
from tests.support.tones import assert_hears
from tests.support.trunk_peer import TrunkPeer

# Whole processes, in real time.
pytestmark = pytest.mark.slow

OWN = "08010000009"
PERSON, BUSY, REJECTS, NOBODY, BRIEF = (f"0991000000{n}" for n in range(1, 6))
FAR = "08044440001"
PERSON_HZ = 660.0
CONFIG = """\
calls: {{max_ring_s: 4}}
trunks:
  - name: pbx
    sid: trmum1pbx
    whitelisted_ips: ["127.0.0.1/32"]
    calls_per_minute: 10000
    numbers:
      - {{number: "08010000009", mode: pstn}}
      - {{number: "08010000001", mode: flow}}
  - name: far
    sid: trmum1far
    numbers: [{{number: "08044440001", mode: pstn}}]
    destinations: ["127.0.0.1:{far_port}"]
  - name: early
    sid: trmum1early
    numbers: [{{number: "08044440002", mode: pstn}}]
    destinations: ["{early}"]
subscribers:
  - {{number: "09910000001", answers_after_s: 0.3, plays: person.wav}}
  - {{number: "09910000002", busy: true}}
  - {{number: "09910000003", rejects: true, answers_after_s: 0.1}}
  - {{number: "09910000004", no_answer: true}}
  - {{number: "09910000005", answers_after_s: 0.1, hangs_up_after_s: 1}}
"""


@pytest.fixture(scope="module")
def far_port() -> int:
    """The port of the other trunk's far end."""
    return free_port()


@pytest.fixture(scope="module")
def early() -> Iterator[TrunkPeer]:
    """Yield a trunk that sends its own ringing, twice, and is busy then."""
    with TrunkPeer("udp", [(183, 180, 183, 486)]) as peer:
        yield peer


@pytest.fixture(scope="module")
def exchange(
    tmp_path_factory: pytest.TempPathFactory, far_port: int, early: TrunkPeer
) -> Iterator[Emulator]:
    directory = tmp_path_factory.mktemp("exchange")
    tone = signals.make_tone(PERSON_HZ, 30.0, 8000)
    signals.write_wav(directory / "person.wav", tone, 8000)
    config = CONFIG.format(far_port=far_port, early=early.destination)
    with emulator(directory, config=config) as running:
        yield running


def run_call(
    running: Emulator, number: str, caller: str = OWN, **plan: Any
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Place a call; return it as the API shows it, and its timeline."""

    async def live() -> Any:
        async with calling(running, number, caller=caller, **plan) as phone:
            return await phone.outcome()

    asyncio.run(live())
    call = running.finished_call()
    return call, running.timeline(call["sid"])


def finals(story: list[dict[str, Any]]) -> list[str]:
    """Return the final responses to the caller's INVITE."""
    return [
        data["summary"]
        for data in of_kind(story, "sip.sent")
        if data["summary"].endswith("(INVITE)") and "leg" not in data
        and not data["summary"].startswith("1") and "retransmission" not in data
    ]  # fmt: skip


def test_caller_and_person_talk(exchange: Emulator, tmp_path: Path) -> None:
    heard = tmp_path / "heard.wav"
    call, story = run_call(exchange, PERSON, seconds=2.0, save=heard)
    assert_hears(PERSON_HZ, *signals.read_wav(heard))
    assert (call["status"], call["ended_by"], call["flow"]) == (
        "completed", "caller", None,
    )  # fmt: skip
    assert [leg["to"] for leg in call["legs"]] == [PERSON, PERSON]
    kinds = [entry["kind"] for entry in story]
    for earlier, later in [
        ("leg.ringing", "call.ringing"),
        ("leg.answered", "call.answered"),
        ("call.answered", "call.bridged"),
    ]:
        assert kinds.index(earlier) < kinds.index(later)
    invite = next(
        data["text"]
        for data in of_kind(story, "sip.sent")
        if data["summary"].startswith("INVITE")
    )
    assert f"From: <sip:{OWN}@exotel1.pstn.exotel.com>" in invite
    assert "Max-Forwards: 69" in invite


@pytest.mark.parametrize(
    ("number", "final", "status", "cause"),
    [
        (BUSY, "486", "busy", "callee-busy"),
        (REJECTS, "486", "busy", "callee-busy"),
        (NOBODY, "480", "no-answer", "no-answer"),
        ("09910000099", "404", "failed", "rejected"),
        ("09900000001", "404", "failed", "rejected"),
    ],
)
def test_the_caller_is_told_what_became_of_it(
    exchange: Emulator, number: str, final: str, status: str, cause: str
) -> None:
    call, story = run_call(exchange, number)
    assert (call["status"], call["cause"]) == (status, cause)
    assert [text.split()[0] for text in finals(story)] == [final]
    (sent,) = [
        data["text"]
        for data in of_kind(story, "sip.sent")
        if data["summary"] == finals(story)[0] and "retransmission" not in data
    ]
    assert "\nReason: Q.850;cause=" in sent


def test_a_person_who_hangs_up_ends_the_call(exchange: Emulator) -> None:
    call, _ = run_call(exchange, BRIEF)
    assert (call["status"], call["cause"]) == ("completed", "callee-bye")


def test_a_caller_who_gives_up_takes_the_ringing_back(exchange: Emulator) -> None:
    async def live() -> Any:
        async with calling(exchange, NOBODY, caller=OWN) as phone:
            await phone.until("leg.ringing")
            phone.hang_up()
            await phone.outcome()

    asyncio.run(live())
    call = exchange.finished_call()
    assert call["status"] == "canceled"
    assert [leg["status"] for leg in call["legs"]] == ["canceled", "canceled"]


def test_another_caller_id_is_refused(exchange: Emulator) -> None:
    call, story = run_call(exchange, PERSON, caller="09811111111")
    (rejected,) = of_kind(story, "call.rejected")
    assert (rejected["status"], rejected["rule"]) == (403, "cli")
    assert OWN in rejected["explanation"]


def test_another_trunk_is_reached_by_its_number(
    exchange: Emulator, sipp: str, far_port: int, tmp_path: Path
) -> None:
    far = Process(
        sipp, "-sn", "uas", "-i", "127.0.0.1", "-p", str(far_port), "-m", "1",
        "-nostdin", cwd=tmp_path,
    )  # fmt: skip
    try:
        call, story = run_call(exchange, FAR, seconds=1.0)
        far.wait()
    finally:
        far.end()
    assert call["status"] == "completed"
    assert of_kind(story, "leg.answered")[0]["to"] == FAR
    invite = next(
        data["summary"]
        for data in of_kind(story, "sip.sent")
        if data["summary"].startswith("INVITE")
    )
    assert invite.startswith("INVITE sip:+918044440001@127.0.0.1:")


def test_sipp_calls_sipp_through_us(
    exchange: Emulator, sipp: str, far_port: int, tmp_path: Path
) -> None:
    far = Process(
        sipp, "-sn", "uas", "-i", "127.0.0.1", "-p", str(far_port), "-m", "1",
        "-nostdin", "-rtp_echo", cwd=tmp_path,
    )  # fmt: skip
    near = Peer(sipp, tmp_path, exchange.sip_port, FAR)
    try:
        near.play("to_another_trunk")
        far.wait()
    finally:
        far.end()
    assert exchange.finished_call()["status"] == "completed"


def test_the_caller_hears_the_callees_own_ringing(exchange: Emulator) -> None:
    call, story = run_call(exchange, "08044440002")
    assert (call["status"], [text.split()[0] for text in finals(story)]) == (
        "busy", ["486"],
    )  # fmt: skip
    early = [
        data["text"]
        for data in of_kind(story, "sip.sent")
        if data["summary"].startswith("183")
        and not data.keys() & {"leg", "retransmission"}
    ]
    assert len(early) == 1 and "m=audio" in early[0]
    assert [data["early"] for data in of_kind(story, "call.bridged")] == [True]
