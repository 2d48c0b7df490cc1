"""Connect through real calls: who is rung, who talks, and by which exit it goes on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from emulator.cli import signals
from tests.support import baresip as phone_program
from tests.support.phone import calling
from tests.support.processes import (
    Emulator,
    Process,
    emulator,
    eventually,
    free_port,
    run,
)
from tests.support.sipp import Peer
from tests.support.tones import assert_hears
from tests.support.webhooks import Reply, WebhookServer, webhook_server

# Whole processes, in real time.
pytestmark = pytest.mark.slow

AGENT_HZ, CALLER_HZ = 660.0, 400.0
CONFIG = """\
calls: {{ring_ms: 0}}
sip: {{rtp_timeout_s: 6}}
flow: {{directory: flows}}
trunks:
  - {{name: desk, sid: trmum1desk, destinations: ["127.0.0.1:{desk_port}"]}}
numbers:
{numbers}
subscribers:
  - {{number: "09910000001", answers_after_s: 0.2, plays: agent.wav}}
  - {{number: "09910000002", busy: true}}
  - {{number: "09910000003", rejects: true, answers_after_s: 0.1}}
  - {{number: "09910000004", no_answer: true}}
  - {{number: "09910000005", answers_after_s: 0.1, presses: "12#", hangs_up_after_s: 2}}
  - {{number: "09910000006", answers_after_s: 0.1, hangs_up_after_s: 1}}
"""
EXITS = "after_conversation: talked, no_answer: nobody, not_dialled: none"
# Name -> the options of its connect.
FLOWS = {
    "agent": 'dial: ["09910000001"]',
    "busy": 'dial: ["09910000002"]',
    "rejects": 'dial: ["09910000003"]',
    "nobody": 'dial: ["09910000004"], max_ring_s: 0.5',
    "brief": 'dial: ["09910000006"]',
    "keys": 'dial: ["09910000005"]',
    "fork": 'dial: ["09910000004", "09910000002", "09910000006"], ring: parallel',
    "hunt": 'dial: ["09910000002", "09910000006"]',
    "strange": 'dial: ["09910000099", "user:alice"], event_url: "${HOOKS}/events"',
    "music": ('dial: ["09910000006"], music_on_hold: {audio_url: "${HOOKS}/slow.wav"}'),
    "limit": 'dial: ["09910000001"], max_talk_s: 0.5',
    "dynamic": 'url: "${HOOKS}/connect"',
    "desk": 'dial: ["sip:trmum1desk"]',
    "alice": 'dial: ["user:alice"], music_on_hold: none',
    "secret": 'dial: ["09910000005"], record: {encrypt_dtmf: true}',
    "recorded": 'dial: ["09910000006"], record: {channels: dual, format: mp3_hq}',
}
FLOW = """\
flow: {name}
app_id: "{number}"
start: agent
applets:
  agent: {{type: connect, {options}, {exits}}}
  talked: {{type: passthru, url: "${{HOOKS}}/talked", on_ok: bye, on_other: bye}}
  nobody: {{type: passthru, url: "${{HOOKS}}/nobody", on_ok: bye, on_other: bye}}
  none: {{type: passthru, url: "${{HOOKS}}/none", on_ok: bye, on_other: bye}}
  bye: {{type: hangup}}
"""


@pytest.fixture(scope="module")
def desk_port() -> int:
    """The port of a trunk's far end, for whoever listens there."""
    return free_port()


def number_of(name: str) -> str:
    return f"0801000{list(FLOWS).index(name):04}"


@pytest.fixture(scope="module")
def hooks() -> Iterator[WebhookServer]:
    with webhook_server() as server:
        yield server


@pytest.fixture(scope="module")
def connecting(
    tmp_path_factory: pytest.TempPathFactory, hooks: WebhookServer, desk_port: int
) -> Iterator[Emulator]:
    directory = tmp_path_factory.mktemp("connecting")
    (directory / "flows").mkdir()
    tone = signals.make_tone(AGENT_HZ, 30.0, 8000)
    signals.write_wav(directory / "agent.wav", tone, 8000)
    for name, options in FLOWS.items():
        text = FLOW.format(
            name=name, number=number_of(name), options=options, exits=EXITS
        )
        (directory / "flows" / f"{name}.yaml").write_text(text)
    numbers = "\n".join(
        f'  - {{number: "{number_of(name)}", flow: {name}}}' for name in FLOWS
    )
    env = {
        "HOOKS": hooks.url,
        "EXOTEL_EMULATOR_FLOW__DIRECTORY": str(directory / "flows"),
    }
    config = CONFIG.format(numbers=numbers, desk_port=desk_port)
    with emulator(directory, config=config, env=env) as running:
        yield running


@pytest.fixture(autouse=True)
def answers(hooks: WebhookServer) -> None:
    hooks.forget()
    for path in ("/talked", "/nobody", "/none"):
        hooks.on(path, Reply(200))


def run_call(running: Emulator, name: str, seconds: float = 20.0) -> list[Any]:
    async def live() -> list[Any]:
        async with calling(running, number_of(name), seconds=seconds) as phone:
            return await phone.over()

    return asyncio.run(live())


def exits_of(story: list[Any]) -> list[str]:
    return [entry["data"]["exit"] for entry in story if entry["kind"] == "applet.left"]


def of_kind(story: list[Any], kind: str) -> list[Any]:
    return [entry["data"] for entry in story if entry["kind"] == kind]


@pytest.mark.parametrize(
    ("name", "path", "dial_status", "cause"),
    [
        ("brief", "/talked", "completed", "NORMAL_CLEARING"),
        ("busy", "/nobody", "busy", "USER_BUSY"),
        ("rejects", "/nobody", "busy", "USER_BUSY"),
        ("nobody", "/nobody", "no-answer", "NO_ANSWER"),
        ("strange", "/none", None, None),
    ],
)
def test_each_exit_is_reached_with_its_outcome(
    connecting: Emulator,
    hooks: WebhookServer,
    name: str,
    path: str,
    dial_status: str | None,
    cause: str | None,
) -> None:
    run_call(connecting, name)
    told = hooks.wait_for(path).parameters
    assert told.get("DialCallStatus") == dial_status
    assert told.get("Legs[0][CauseCode]") == cause


def test_caller_and_agent_hear_each_other(connecting: Emulator, tmp_path: Path) -> None:
    said, heard = tmp_path / "said.wav", tmp_path / "heard.wav"
    signals.write_wav(said, signals.make_tone(CALLER_HZ, 6.0, 8000), 8000)

    async def live() -> list[Any]:
        plan = {"seconds": 4.0, "wav": said, "save": heard}
        async with calling(connecting, number_of("agent"), **plan) as phone:
            return await phone.over()

    story = asyncio.run(live())
    assert_hears(AGENT_HZ, *signals.read_wav(heard))
    (callee,) = [data for data in of_kind(story, "media.stats") if "leg" in data]
    assert callee["sent"]["packets"] > 50
    assert of_kind(story, "call.bridged")[0]["leg"] == callee["leg"]


def test_the_caller_hears_music_until_somebody_answers(
    connecting: Emulator, tmp_path: Path
) -> None:
    heard = tmp_path / "heard.wav"

    async def live() -> list[Any]:
        plan = {"seconds": 10.0, "save": heard}
        async with calling(connecting, number_of("nobody"), **plan) as phone:
            return await phone.over()

    asyncio.run(live())
    samples, _ = signals.read_wav(heard)
    assert signals.rms(samples) > 100


def test_nobody_waits_for_slow_music(
    connecting: Emulator, hooks: WebhookServer
) -> None:
    hooks.on("/slow.wav", Reply(404, delay_s=9.0))
    story = run_call(connecting, "music")
    hooks.wait_for("/talked")
    offsets = {entry["kind"]: entry["offset_ms"] for entry in story}
    assert offsets["call.bridged"] - offsets["leg.dialled"] < 8000


def test_the_first_answer_wins_and_the_others_are_given_up(
    connecting: Emulator, hooks: WebhookServer
) -> None:
    story = run_call(connecting, "fork")
    told = hooks.wait_for("/talked").parameters
    causes = [told[f"Legs[{index}][CauseCode]"] for index in range(3)]
    assert causes == ["NON_SELECTED_USER_CLEARING", "USER_BUSY", "NORMAL_CLEARING"]
    assert {told[f"Legs[{index}][Type]"] for index in range(3)} == {"parallel"}
    ended = {data["to"]: data["status"] for data in of_kind(story, "leg.ended")}
    assert ended == {
        "09910000004": "canceled",
        "09910000002": "busy",
        "09910000006": "completed",
    }


def test_the_next_number_is_rung_when_one_is_busy(
    connecting: Emulator, hooks: WebhookServer
) -> None:
    run_call(connecting, "hunt")
    told = hooks.wait_for("/talked").parameters
    assert told["Legs[0][Number]"] == "09910000002"
    assert told["Legs[1][Number]"] == "09910000006"
    assert {told[f"Legs[{index}][Type]"] for index in range(2)} == {"single"}


def test_a_talk_ends_at_its_limit_and_the_flow_goes_on(
    connecting: Emulator, hooks: WebhookServer
) -> None:
    story = run_call(connecting, "limit")
    hooks.wait_for("/talked")
    (ended,) = of_kind(story, "leg.ended")
    assert ended["cause"] == "talk-limit"
    assert of_kind(story, "call.ended")[0]["cause"] == "flow-ended"


@pytest.mark.parametrize(
    ("name", "moment"), [("nobody", "leg.ringing"), ("agent", "call.bridged")]
)
def test_a_caller_who_hangs_up_takes_the_agent_along(
    connecting: Emulator, hooks: WebhookServer, name: str, moment: str
) -> None:
    async def live() -> list[Any]:
        async with calling(connecting, number_of(name)) as phone:
            await phone.until(moment)
            phone.hang_up()
            return await phone.over()

    story = asyncio.run(live())
    (ended,) = of_kind(story, "leg.ended")
    assert ended["by"] == "caller"
    path = "/nobody" if name == "nobody" else "/talked"
    assert hooks.wait_for(path).parameters["CallType"] == "client-hangup"


def test_the_keys_of_the_agent_come_through(connecting: Emulator) -> None:
    story = run_call(connecting, "keys")
    pressed = [data["digit"] for data in of_kind(story, "digit") if "leg" in data]
    assert pressed == ["1", "2", "#"]


def test_the_keys_of_a_secret_talk_are_on_no_timeline(connecting: Emulator) -> None:
    story = run_call(connecting, "secret")
    assert of_kind(story, "call.bridged")
    assert not {data["digit"] for data in of_kind(story, "digit")} & set("12#")


def test_a_dynamic_url_brings_its_own_options(
    connecting: Emulator, hooks: WebhookServer
) -> None:
    body = {
        "destination": {"numbers": ["09910000006"]},
        "outgoing_phone_number": number_of("agent"),
        "music_on_hold": {"type": "operator_tone"},
        "start_call_playback": {
            "playback_to": "both", "type": "text", "value": "One moment.",
        },
        "dial_passthru_event_url": f"{hooks.url}/events",
        "custom_params": "crm=42",
    }  # fmt: skip
    hooks.on("/connect", Reply(200, "application/json", json.dumps(body)))
    hooks.on("/events", Reply(200))
    story = run_call(connecting, "dynamic")
    hooks.wait_for("/talked")
    events = [asked.parameters for asked in hooks.asked("/events")]
    kinds = [event["EventType"] for event in events]
    assert kinds == ["Dial", "Ringing", "Answered", "Terminal"]
    assert events[-1]["DialCallStatus"] == "completed"
    # In Indian time, as everything that webhooks are told.
    times = [
        events[-1]["CurrentTime"],
        hooks.asked("/talked")[0].parameters["CurrentTime"],
    ]
    last, talked = map(datetime.fromisoformat, times)
    assert abs(last - talked) < timedelta(minutes=5)
    invite = next(
        data["text"]
        for data in of_kind(story, "sip.sent")
        if data["summary"].startswith("INVITE")
    )
    assert f"<sip:{number_of('agent')}@exotel1.pstn.exotel.com>" in invite
    prompts = [data.get("text") for data in of_kind(story, "prompt.started")]
    assert prompts.count("One moment.") == 2


def test_a_conversation_is_recorded_and_its_url_told(
    connecting: Emulator, hooks: WebhookServer
) -> None:
    story = run_call(connecting, "recorded")
    (started,) = of_kind(story, "recording.started")
    (ended,) = of_kind(story, "recording.ended")
    told = hooks.wait_for("/talked").parameters
    assert told["RecordingUrl"] == started["url"]
    assert ended["error"] is None and ended["duration_ms"] > 500


def test_a_dynamic_answer_rings_all_at_once_records_and_bounds_the_talk(
    connecting: Emulator, hooks: WebhookServer
) -> None:
    agent = "09910000001"
    body = {
        "destination": {"numbers": ["09910000004", agent]},
        "parallel_ringing": {"activate": True},
        "max_conversation_duration": 1,
        "record": True,
        "recording_channels": "dual",
    }
    hooks.on("/connect", Reply(200, "application/json", json.dumps(body)))
    story = run_call(connecting, "dynamic")
    told = hooks.wait_for("/talked").parameters
    assert told["Legs[0][Type]"] == told["Legs[1][Type]"] == "parallel"
    assert told["DialWhomNumber"] == agent
    talked = next(leg for leg in of_kind(story, "leg.ended") if leg["to"] == agent)
    assert talked["cause"] == "talk-limit"
    assert 1 <= int(told["DialCallDuration"]) <= talked["duration_s"] + 1
    (started,) = of_kind(story, "recording.started")
    assert started["channels"] == "dual"
    assert told["RecordingUrl"] == started["url"]


def test_the_api_shows_every_leg(connecting: Emulator) -> None:
    run_call(connecting, "hunt")
    call = connecting.finished_call()
    legs = call["legs"]
    assert [leg["party"] for leg in legs] == ["caller", "callee", "callee"]
    assert [leg["status"] for leg in legs] == ["completed", "busy", "completed"]
    assert legs[0]["sid"] == call["sid"]
    assert legs[2]["duration_s"] > 0


def test_subscribers_answer_calls_of_the_api(connecting: Emulator) -> None:
    answer = connecting.api.post("/calls", json={"to": "09910000006", "flow": "keys"})
    assert answer.status_code == 201, answer.text
    finished = connecting.finished_call()
    assert finished["status"] == "completed"
    assert finished["ended_by"] in {"callee", "platform"}


@pytest.fixture
def alice(connecting: Emulator, baresip: str, tmp_path: Path) -> Iterator[Process]:
    """Yield a registered phone that answers and hums."""
    registrar = f"127.0.0.1:{connecting.sip_port}"
    place = phone_program.configure(
        tmp_path, user="alice", registrar=registrar, tone_hz=AGENT_HZ
    )
    ringing = Process(baresip, "-f", str(place), "-t", "12", cwd=tmp_path)
    try:
        ringing.wait_for("200 OK|registered successfully")
        yield ringing
    finally:
        ringing.end()


def test_a_person_with_a_phone_and_the_caller_hear_each_other(
    connecting: Emulator, alice: Process, hooks: WebhookServer, tmp_path: Path
) -> None:
    said, heard = tmp_path / "said.wav", tmp_path / "heard.wav"
    signals.write_wav(said, signals.make_tone(CALLER_HZ, 8.0, 8000), 8000)

    async def live() -> list[Any]:
        plan = {"seconds": 6.0, "wav": said, "save": heard, "digits": "7"}
        async with calling(connecting, number_of("alice"), **plan) as phone:
            return await phone.over()

    story = asyncio.run(live())
    assert hooks.wait_for("/talked").parameters["CallType"] == "client-hangup"
    alice.wait()
    assert_hears(AGENT_HZ, *signals.read_wav(heard))
    assert_hears(CALLER_HZ, *phone_program.heard(tmp_path))
    assert of_kind(story, "leg.ended")[0]["by"] == "caller"


@pytest.mark.timeout(180)
def test_many_connected_calls_leave_nothing(
    connecting: Emulator, sipp: str, tmp_path: Path
) -> None:
    def left() -> dict[str, int]:
        found = connecting.api.get("/diagnostics").json()
        return {
            "legs": found["calls"]["legs"],
            "subscribers": found["calls"]["subscribers"],
            "worker legs": found["workers"][0]["legs"],
            "sessions": found["sip"]["sessions"],
            "dialogs": found["sip"]["dialogs"],
            "mailboxes": found["sip"]["mailboxes"],
        }

    done = run(
        sipp, "-sn", "uac", f"127.0.0.1:{connecting.sip_port}",
        "-s", number_of("agent"), "-m", "200", "-r", "20", "-d", "4000",
        "-i", "127.0.0.1", "-nostdin", "-rtp_echo", "-mi", "127.0.0.1",
        "-mp", str(free_port()), cwd=tmp_path, deadline_s=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    # A call whose BYE was lost ends with its 64*T1.
    eventually(lambda: not any(left().values()), f"nothing is left of {left()}", 60.0)
    calls = connecting.api.get("/calls", params={"limit": 200}).json()["calls"]
    talked = [call for call in calls if call["legs"][-1]["duration_s"] > 0]
    assert len(talked) == 200


@pytest.fixture
def desk(sipp: str, desk_port: int, tmp_path: Path) -> Iterator[Process]:
    """Yield SIPp's own answerer behind the trunk; it never sends RTP."""
    uas = Process(
        sipp, "-sn", "uas", "-i", "127.0.0.1", "-p", str(desk_port), "-m", "1",
        "-nostdin", cwd=tmp_path,
    )  # fmt: skip
    try:
        yield uas
    finally:
        uas.end()


def test_who_is_put_on_hold_hears_music(
    connecting: Emulator, sipp: str, tmp_path: Path
) -> None:
    peer = Peer(sipp, tmp_path, connecting.sip_port, number_of("agent"))
    peer.play("hold_in_a_talk")
    story = connecting.timeline(connecting.finished_call()["sid"])
    kinds = [entry["kind"] for entry in story]
    held, resumed = kinds.index("leg.held"), kinds.index("leg.resumed")
    music = [
        at
        for at, entry in enumerate(story)
        if entry["kind"] == "prompt.started" and entry["data"].get("music") == "hold"
    ]
    assert len(music) == 1 and held < music[0] < resumed
    assert story[music[0]]["data"]["leg"] == of_kind(story, "call.bridged")[0]["leg"]


def test_a_callee_who_falls_silent_is_parted_with(
    connecting: Emulator, desk: Process, hooks: WebhookServer
) -> None:
    story = run_call(connecting, "desk")
    desk.wait()
    (ended,) = of_kind(story, "leg.ended")
    assert ended["cause"] == "rtp-timeout" and "sip.rtp_timeout_s" in ended["reason"]
    assert hooks.wait_for("/talked").parameters["CallType"] == "completed"


def test_a_trunk_gets_the_custom_headers(
    connecting: Emulator, desk: Process, hooks: WebhookServer
) -> None:
    body = {"destination": {"trunk": "trmum1desk"}, "custom_params": "crm=42"}
    hooks.on("/connect", Reply(200, "application/json", json.dumps(body)))

    async def live() -> list[Any]:
        async with calling(connecting, number_of("dynamic")) as phone:
            await phone.until("call.bridged")
            phone.hang_up()
            return await phone.over()

    story = asyncio.run(live())
    invite = next(
        data["text"]
        for data in of_kind(story, "sip.sent")
        if data["summary"].startswith("INVITE")
    )
    leg = of_kind(story, "leg.dialled")[0]["leg"]
    for line in (
        "X-crm: 42",
        f"X-Exotel-LegSid: {leg}",
        "X-Exotel-TrunkSid: trmum1desk",
    ):
        assert f"\n{line}\n" in invite


def test_a_dead_worker_ends_both_legs(
    connecting: Emulator, hooks: WebhookServer
) -> None:
    async def live() -> list[Any]:
        async with calling(connecting, number_of("agent")) as phone:
            await phone.until("call.bridged")
            for pid in connecting.worker_pids():
                os.kill(pid, signal.SIGKILL)
            return await phone.over()

    story = asyncio.run(live())
    assert of_kind(story, "call.ended")[0]["cause"] == "worker-lost"
    assert of_kind(story, "leg.ended")[0]["cause"] == "worker-lost"
    reasons = [left["why"] for left in of_kind(story, "applet.left")]
    assert any("media worker" in reason for reason in reasons), reasons
    eventually(
        lambda: connecting.api.get("/ready").status_code == 200, "a new worker is up"
    )


def test_all_phones_of_a_user_ring_and_one_has_the_call(
    connecting: Emulator, alice: Process, baresip: str, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    registrar = f"127.0.0.1:{connecting.sip_port}"
    place = phone_program.configure(other, user="alice", registrar=registrar)
    second = Process(baresip, "-f", str(place), "-t", "20", cwd=other)

    async def live() -> list[Any]:
        async with calling(connecting, number_of("alice")) as phone:
            await phone.until("call.bridged")
            phone.hang_up()
            return await phone.over()

    try:
        second.wait_for("200 OK|registered successfully")
        story = asyncio.run(live())
    finally:
        second.end()
    sent = [
        data["summary"].split()[0]
        for data in of_kind(story, "sip.sent")
        if "retransmission" not in data
    ]
    assert sent.count("INVITE") == 2
    # One is talked to and hung up; the other is cancelled, or parted with at once.
    assert sent.count("BYE") + sent.count("CANCEL") >= 2
    assert len(of_kind(story, "leg.answered")) == 1
