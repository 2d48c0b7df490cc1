"""REFER in real calls: somebody else takes a party's place, or nobody does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from emulator.cli import signals
from tests.support import baresip as phone
from tests.support import linphone
from tests.support.phone import calling
from tests.support.processes import Emulator, Process, emulator, eventually
from tests.support.sipp import Peer, of_kind

# Whole processes, in real time.
pytestmark = pytest.mark.slow

PROMPT_HZ = 520.0
NUMBER, AGENT = "08010000001", "08010000002"
CONFIG = """\
calls: {{ring_ms: 0}}
sip: {{refer: {refer}}}
numbers:
  - {{number: "08010000001", flow: prompt}}
  - {{number: "08010000002", flow: agent}}
subscribers:
  - {{number: "09910000001", answers_after_s: 0.3, presses: "5", hangs_up_after_s: 2}}
  - {{number: "09910000002", busy: true}}
  - {{number: "09910000004", no_answer: true}}
"""
FLOWS = (
    """\
flow: prompt
app_id: "1"
start: tone
applets:
  tone: {type: greeting, file: tone.wav, next: bye}
  bye: {type: hangup}
""",
    """\
flow: agent
app_id: "2"
start: person
applets:
  person: {type: connect, dial: ["user:alice"], after_conversation: bye, no_answer: bye}
  bye: {type: hangup}
""",
)


def served(directory: Path, refer: str) -> Iterator[Emulator]:
    flows = directory / "flows"
    flows.mkdir()
    for number, text in enumerate(FLOWS):
        (flows / f"{number}.yaml").write_text(text)
    tone = signals.make_tone(PROMPT_HZ, 30.0, 8000)
    for place in (directory, flows):
        signals.write_wav(place / "tone.wav", tone, 8000)
    env = {"EXOTEL_EMULATOR_FLOW__DIRECTORY": str(flows)}
    with emulator(directory, config=CONFIG.format(refer=refer), env=env) as running:
        yield running


@pytest.fixture(scope="module")
def transferring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    yield from served(tmp_path_factory.mktemp("transferring"), "transfer")


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    yield from served(tmp_path_factory.mktemp("refusing"), "refuse")


def play(
    running: Emulator, sipp: str, directory: Path, scenario: str, target: str
) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """Play a scenario; return its messages, the call and its timeline."""
    options: tuple[str, ...] = ("-key", "target", target)
    if scenario == "refer_and_bye":
        options += ("-aa",)  # News may cross the BYE: NOTIFY is answered at any moment.
    peer = Peer(sipp, directory, running.sip_port, NUMBER, options=options)
    messages = peer.play(scenario)
    call = running.finished_call()
    return messages, call, running.timeline(call["sid"])


def test_a_new_party_takes_the_leg_and_the_flow_goes_on(
    transferring: Emulator, sipp: str, tmp_path: Path
) -> None:
    messages, call, story = play(transferring, sipp, tmp_path, "refer", "09910000001")
    for status in ("100 Trying", "180 Ringing", "200 OK"):
        assert f"\nSIP/2.0 {status}" in messages.replace("\r", "")
    assert "Subscription-State: terminated" in messages
    assert of_kind(story, "transfer.ended")[0] == {"to": "09910000001", "status": 200}
    # The keys of the new party come over the old party's leg.
    assert [data["digit"] for data in of_kind(story, "digit")] == ["5"]
    assert len(of_kind(story, "prompt.started")) == 1
    assert (call["status"], call["ended_by"]) == ("completed", "caller")
    assert call["duration_s"] > 2


@pytest.mark.parametrize(
    ("target", "status"),
    [("09910000002", 486), ("stranger", 404), ("09990000000", 404), ("alice", 404)],
)
def test_the_talk_goes_on_when_nobody_can_be_had(
    transferring: Emulator, sipp: str, tmp_path: Path, target: str, status: int
) -> None:
    messages, call, story = play(transferring, sipp, tmp_path, "refer_in_vain", target)
    assert f"\nSIP/2.0 {status} " in messages.replace("\r", "")
    assert of_kind(story, "transfer.ended")[0]["status"] == status
    assert call["cause"] == "caller-bye"


def test_who_transfers_may_hang_up_at_once(
    transferring: Emulator, sipp: str, tmp_path: Path
) -> None:
    _, call, story = play(transferring, sipp, tmp_path, "refer_and_bye", "09910000001")
    assert of_kind(story, "transfer.ended")[0]["status"] == 200
    assert [data["digit"] for data in of_kind(story, "digit")] == ["5"]
    assert call["cause"] == "caller-bye"


def test_hanging_up_counts_when_the_transfer_fails(
    transferring: Emulator, sipp: str, tmp_path: Path
) -> None:
    _, call, story = play(transferring, sipp, tmp_path, "refer_and_bye", "09910000002")
    assert of_kind(story, "transfer.ended")[0]["status"] == 486
    assert call["cause"] == "caller-bye"


def test_the_new_party_hears_the_prompt(
    transferring: Emulator, sipp: str, baresip: str, tmp_path: Path
) -> None:
    place = phone.configure(
        tmp_path, user="bob", registrar=f"127.0.0.1:{transferring.sip_port}"
    )
    ringing = Process(baresip, "-f", str(place), "-t", "8", cwd=tmp_path)
    try:
        ringing.wait_for("200 OK|registered successfully")
        _, call, story = play(transferring, sipp, tmp_path, "refer", "bob")
        ringing.wait()
    finally:
        ringing.end()
    samples, rate_hz = phone.heard(tmp_path)
    # The best half of a second: a busy machine tears holes into what is heard.
    half = rate_hz // 2
    fits = [
        signals.fit_tone(samples[at : at + half], rate_hz, 300, 900)
        for at in range(0, len(samples) - half, half)
    ]
    best = max(fits, key=lambda fit: fit.snr_db)
    assert best.frequency_hz == pytest.approx(PROMPT_HZ, rel=0.01)
    assert best.snr_db > 20
    assert call["status"] == "completed"


def test_refer_is_refused_unless_the_settings_allow_it(
    refusing: Emulator, sipp: str, tmp_path: Path
) -> None:
    messages, call, story = play(
        refusing, sipp, tmp_path, "refer_refused", "09910000001"
    )
    assert "sip.refer" in messages
    assert "sip.refer" in of_kind(story, "transfer.asked")[0]["refused"]
    assert call["cause"] == "caller-bye"


def test_linphone_transfers_its_call(
    transferring: Emulator, linphonec: str, tmp_path: Path
) -> None:
    port = transferring.sip_port
    output = linphone.transfer(
        linphonec,
        tmp_path,
        f"sip:{NUMBER}@127.0.0.1:{port}",
        f"sip:09910000001@127.0.0.1:{port}",
        user="alice",
        port=port,
    )
    call = transferring.finished_call()
    story = transferring.timeline(call["sid"])
    assert of_kind(story, "transfer.ended"), output
    assert of_kind(story, "transfer.ended")[0]["status"] == 200
    assert [data["digit"] for data in of_kind(story, "digit")] == ["5"]
    assert call["status"] == "completed"


def test_an_agent_hands_the_caller_on(
    transferring: Emulator, linphonec: str, tmp_path: Path
) -> None:
    port = transferring.sip_port
    known = registrations(transferring)

    async def live() -> list[dict[str, Any]]:
        async with calling(transferring, AGENT) as caller:
            await caller.until("transfer.ended", status=200)
            # The new party hangs up; the caller's flow goes on.
            return await caller.over()

    with ThreadPoolExecutor(1) as beside:
        agent = beside.submit(
            linphone.be_called_and_transfer,
            linphonec,
            tmp_path,
            f"sip:09910000001@127.0.0.1:{port}",
            user="alice",
            port=port,
        )
        eventually(lambda: registrations(transferring) > known, "Linphone registers")
        story = asyncio.run(live())
        agent.result()
    (ended,) = of_kind(story, "leg.ended")
    assert ended["by"] == "callee" and ended["status"] == "completed"
    assert [data["leg"] for data in of_kind(story, "digit")] == [ended["leg"]]
    assert of_kind(story, "call.ended")[0]["cause"] == "flow-ended"


def registrations(running: Emulator) -> int:
    found: int = running.api.get("/diagnostics").json()["sip"]["registrations"]
    return found
