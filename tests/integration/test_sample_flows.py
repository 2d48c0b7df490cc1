"""Every sample flow, called: the journeys that the manuals draw, end to end."""

from __future__ import annotations

import json
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from emulator.cli import signals
from tests.support import baresip as baresip_phone
from tests.support.flow_world import FlowWorld, Talk, bots
from tests.support.phone import Phone
from tests.support.processes import ROOT, Process, emulator, eventually, free_port
from tests.support.tones import assert_hears
from tests.support.webhooks import Reply, webhook_server

# Whole processes, in real time.
pytestmark = pytest.mark.slow

SAMPLES = sorted(path.stem for path in (ROOT / "flows").glob("*.yaml"))
AGENT_HZ, CALLER_HZ = 440.0, 660.0
CONFIG = """\
calls: {ring_ms: 0}
numbers:
NUMBERS
subscribers:
  - {number: "09910000001", answers_after_s: 0.1, hangs_up_after_s: 1}
  - {number: "09910000002", busy: true}
trunks:
  - {name: pbx, sid: trmum1pbx, destinations: ["127.0.0.1:PBX;transport=tcp"]}
"""


@pytest.fixture(scope="module")
def pbx_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the emulator runs, and where the recorder bot leaves what it heard."""
    return tmp_path_factory.mktemp("samples")


@pytest.fixture(scope="module")
def world(kept: Path, pbx_port: int) -> Iterator[FlowWorld]:
    directory = kept
    numbers = {name: f"0801200{index:04d}" for index, name in enumerate(SAMPLES)}
    lines = (f'  - {{number: "{n}", flow: {name}}}' for name, n in numbers.items())
    config = CONFIG.replace("NUMBERS", "\n".join(lines)).replace("PBX", str(pbx_port))
    kinds = ["tone", "echo", "recorder"]
    with webhook_server() as webhooks, bots(kinds, directory) as urls:
        listener = f"{urls['echo']}/media"
        env = {
            "WEBHOOK_URL": webhooks.url,
            "BOT_URL": f"{urls['tone']}/media?sample-rate=8000",
            "ECHO_BOT_URL": f"{listener}?sample-rate=8000",
            "ASSIST_BOT_URL": f"{urls['recorder']}/media",
            "MONITOR_URL": listener,
        }
        with emulator(directory, config=config, env=env) as running:
            yield FlowWorld(running, webhooks, numbers, urls)


@pytest.fixture(autouse=True)
def forget(world: FlowWorld) -> None:
    world.webhooks.forget()


@contextmanager
def phone_of(
    program: str, directory: Path, user: str, seconds: float, **more: Any
) -> Iterator[Process]:
    """Run baresip, which answers at once, hums, and hangs up when its time is over."""
    place = baresip_phone.configure(
        directory,
        user=user,
        tone_hz=AGENT_HZ,
        **more,
    )
    running = Process(program, "-f", str(place), "-t", f"{seconds:g}", cwd=directory)
    try:
        running.wait_for("baresip is ready")
        yield running
    finally:
        running.end()


@contextmanager
def alice(
    program: str, directory: Path, world: FlowWorld, seconds: float = 12, **more: Any
) -> Iterator[Process]:
    more |= {"registrar": f"127.0.0.1:{world.running.sip_port}", "transport": "udp"}
    with phone_of(program, directory, "alice", seconds, **more) as phone:
        phone.wait_for("200 OK")
        yield phone


def assert_agent_heard_the_caller(directory: Path) -> None:
    def is_whole() -> bool:
        (file,) = directory.glob("dump-*-dec.wav")
        with wave.open(str(file), "rb") as reader:
            return reader.getnframes() > 0

    eventually(is_whole, "the agent's recording")
    assert_hears(CALLER_HZ, *baresip_phone.heard(directory))


async def end_the_bot(phone: Phone) -> None:
    """Let the bot hang up: it obeys the key #."""
    await phone.until("stream.media_from_bot")
    phone.press("#")


async def hang_up_on_the_bot(phone: Phone) -> None:
    await phone.until("stream.media_from_bot")
    phone.hang_up()


def wav_of_caller(directory: Path) -> Path:
    path = directory / "caller.wav"
    signals.write_wav(path, signals.make_tone(CALLER_HZ, 30.0, 8000), 8000)
    return path


def test_every_sample_has_its_test() -> None:
    text = Path(__file__).read_text()
    assert [name for name in SAMPLES if f'"{name}"' not in text] == []


# --- one bot -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["voicebot", "disclosure"])
def test_a_greeting_leads_to_the_bot_and_its_end_to_the_end_of_the_call(
    world: FlowWorld, name: str
) -> None:
    phone = world.call(name, end_the_bot)
    assert phone.way[1:] == ["bot next", "bye None"]
    assert phone.events("call.ended")[0]["by"] == "platform"


def test_the_echo_returns_what_it_hears(world: FlowWorld) -> None:
    phone = world.call("echo", hang_up_on_the_bot)
    assert phone.way == ["greet next", "bot next"]


def test_advance_notice_comes_before_the_bot(world: FlowWorld) -> None:
    world.webhooks.on("/prepare", Reply(200))
    phone = world.call("advance_notice", end_the_bot)
    assert phone.way == ["greet next", "prepare on_ok", "bot next", "bye None"]
    told = world.webhooks.wait_for("/prepare").parameters
    assert not any(name.startswith("Stream") for name in told)


@pytest.mark.parametrize(
    ("talk", "by"), [(end_the_bot, "bot"), (hang_up_on_the_bot, "user")]
)
def test_a_webhook_hears_how_the_bot_did_whoever_ended_it(
    world: FlowWorld, talk: Talk, by: str
) -> None:
    world.webhooks.on("/call-over", Reply(200))
    world.call("post_call_notify", talk)
    told = world.webhooks.wait_for("/call-over").parameters
    assert (told["Stream[Status]"], told["Stream[DisconnectedBy]"]) == ("completed", by)


def test_a_second_bot_listens_while_the_first_one_talks(world: FlowWorld) -> None:
    for path in ("/monitor-started", "/bot-ended"):
        world.webhooks.on(path, Reply(200))
    phone = world.call("agent_monitored", end_the_bot)
    assert len(phone.events("stream.opened")) == 2
    started = world.webhooks.wait_for("/monitor-started").parameters
    told = world.webhooks.wait_for("/bot-ended").parameters
    assert started["Stream[StreamSID]"] != told["Stream[StreamSID]"]
    assert told["Stream[DisconnectedBy]"] == "bot"


# --- a menu ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "way"),
    [
        ("1", ["menu keys.1", "bot next", "bye None"]),
        ("2", ["menu keys.2", "agent not_dialled", "sorry next", "bye None"]),
    ],
)
def test_the_menu_leads_to_the_bot_or_to_a_person(
    world: FlowWorld, key: str, way: list[str]
) -> None:
    async def talk(phone: Phone) -> None:
        await phone.until("applet.entered", applet="menu")
        phone.press(key)
        if key == "1":
            await end_the_bot(phone)

    assert world.call("ivr", talk).way[1:] == way


# --- a person ----------------------------------------------------------------------


def test_a_bot_listens_to_caller_and_agent(
    world: FlowWorld, baresip: str, tmp_path: Path
) -> None:
    for path in ("/stream-started", "/stream-ended"):
        world.webhooks.on(path, Reply(200))

    async def talk(phone: Phone) -> None:
        await phone.until("call.bridged")
        phone.hang_up()

    with alice(baresip, tmp_path, world):
        phone = world.call("agent_assist", talk, caller="carol")
    assert phone.way[-2:] == ["agent after_conversation", "told on_ok"]
    started = world.webhooks.wait_for("/stream-started").parameters
    assert "Stream[Status]" not in started
    told = world.webhooks.wait_for("/stream-ended").parameters
    assert told["Stream[StreamSID]"] == started["Stream[StreamSID]"]
    assert told["Stream[Status]"] == "completed"
    assert told["CallType"] == "client-hangup"


def test_the_stop_applet_ends_the_listening_once_the_agent_has_hung_up(
    world: FlowWorld, kept: Path, baresip: str, tmp_path: Path
) -> None:
    for path in ("/stream-started", "/stream-ended"):
        world.webhooks.on(path, Reply(200))
    with alice(baresip, tmp_path, world, seconds=10):
        phone = world.call("agent_assist", caller="carol", wav=wav_of_caller(tmp_path))
    assert phone.way[-4:] == [
        "agent after_conversation",
        "silence next",
        "told on_ok",
        "bye None",
    ]
    assert phone.events("leg.ended")[0]["by"] == "callee"
    told = world.webhooks.wait_for("/stream-ended").parameters
    assert (told["CallType"], told["Stream[Status]"]) == ("completed", "completed")
    file = kept / f"{told['Stream[StreamSID]']}.wav"
    heard, rate_hz = signals.read_wav(file)
    last = range(len(heard) - 3 * rate_hz, len(heard) - rate_hz + 1, rate_hz // 2)
    for hz in (AGENT_HZ, CALLER_HZ):
        fits = [
            signals.fit_tone(heard[at : at + rate_hz], rate_hz, hz - 80, hz + 80)
            for at in last
        ]
        # Of most seconds, not of a given one: a busy machine tears holes.
        found = median(fit.frequency_hz for fit in fits)
        assert found == pytest.approx(hz, rel=0.01)


def test_the_bot_hands_over_to_a_person_and_both_hear_each_other(
    world: FlowWorld, baresip: str, tmp_path: Path
) -> None:
    world.webhooks.on("/decide", Reply(404))
    heard = tmp_path / "heard.wav"
    with alice(baresip, tmp_path, world, seconds=14):
        phone = world.call(
            "handover", end_the_bot, caller="carol",
            wav=wav_of_caller(tmp_path), save=heard,
        )  # fmt: skip
    assert phone.way[2:] == ["decide on_other", "agent after_conversation", "bye None"]
    assert phone.events("leg.ended")[0]["by"] == "callee"
    told = world.webhooks.wait_for("/decide").parameters
    assert told["Stream[RecordingUrl]"].endswith(".mp3")
    assert_hears(AGENT_HZ, *signals.read_wav(heard))
    assert_agent_heard_the_caller(tmp_path)


def test_a_trunk_that_refuses_is_an_attempt_that_nobody_answered(
    world: FlowWorld,
) -> None:
    world.webhooks.on("/decide", Reply(404))
    # Alice has no phone; nobody listens where the trunk leads.
    phone = world.call("handover", end_the_bot, caller="carol")
    assert phone.way[2:] == ["decide on_other", "agent no_answer", "bye None"]


def test_without_a_phone_and_a_trunk_there_is_nobody_to_dial(
    world: FlowWorld, tmp_path: Path
) -> None:
    """As a first user has it, whose settings declare no trunk ``pbx``."""
    world.webhooks.on("/decide", Reply(404))
    number = world.numbers["handover"]
    config = f'numbers: [{{number: "{number}", flow: handover}}]\n'
    env = {
        "WEBHOOK_URL": world.webhooks.url,
        "BOT_URL": f"{world.bots['tone']}/media?sample-rate=8000",
    }
    with emulator(tmp_path, config=config, env=env) as running:
        alone = replace(world, running=running)
        phone = alone.call("handover", end_the_bot, caller="carol")
    assert phone.way[2:] == ["decide on_other", "agent not_dialled", "bye None"]


def test_no_person_is_rung_when_the_webhook_is_content(world: FlowWorld) -> None:
    world.webhooks.on("/decide", Reply(200))
    phone = world.call("handover", end_the_bot)
    assert phone.way[2:] == ["decide on_ok", "bye None"]


@pytest.mark.parametrize(
    ("select", "way"),
    [
        ("escalate", ["way cases.escalate", "agent after_conversation", "bye None"]),
        ("done", ["way cases.done", "bye None"]),
        ("what", ["way default", "bye None"]),
    ],
)
def test_the_webhooks_answer_escalates_over_the_trunk_or_ends(
    world: FlowWorld,
    baresip: str,
    tmp_path: Path,
    pbx_port: int,
    select: str,
    way: list[str],
) -> None:
    answer = Reply(200, "text/plain", json.dumps({"select": select}))
    world.webhooks.on("/escalate", answer)

    # The platform rings a trunk with the ExoPhone as the user of the URI.
    user = f"+91{world.numbers['escalate'][1:]}"
    with phone_of(baresip, tmp_path, user, 8, transport="tcp", listen=pbx_port):
        phone = world.call("escalate", end_the_bot)
    assert phone.way[3:] == way


# --- the manual's chapter 1.7 ------------------------------------------------------


def whom(*numbers: str) -> Reply:
    body = json.dumps({"destination": {"numbers": numbers}})
    return Reply(200, "application/json", body)


@pytest.fixture
def omni(world: FlowWorld) -> FlowWorld:
    for path in ("/call_coming", "/talked", "/missed", "/nobody"):
        world.webhooks.on(path, Reply(200))
    world.webhooks.on("/decide", Reply(302, headers={"Location": "/"}))
    return world


@pytest.mark.parametrize(
    ("number", "path", "exit_", "call_type"),
    [
        ("09910000001", "/talked", "after_conversation", "completed"),
        ("09910000002", "/missed", "no_answer", "incomplete"),
        (None, "/nobody", "not_dialled", "call-attempt"),
    ],
)
def test_each_end_of_the_conversation_is_told_to_its_own_webhook(
    omni: FlowWorld, number: str | None, path: str, exit_: str, call_type: str
) -> None:
    omni.webhooks.on("/whom", whom(*([number] if number else [])))
    phone = omni.call("omnidimension", end_the_bot)
    node = {"/talked": "talked", "/missed": "missed", "/nobody": "nobody"}[path]
    assert phone.way == [
        "greet next",
        "coming on_ok",
        "bot next",
        "decide on_other",
        f"person {exit_}",
        f"{node} on_ok",
        "bye None",
    ]
    told = omni.webhooks.wait_for(path).parameters
    assert told["CallType"] == call_type
    decided = omni.webhooks.wait_for("/decide").parameters
    assert decided["Stream[RecordingUrl]"].endswith(".mp3")
    assert decided["Stream[DisconnectedBy]"] == "bot"


def test_the_bots_caller_and_the_named_person_hear_each_other(
    omni: FlowWorld, baresip: str, tmp_path: Path
) -> None:
    omni.webhooks.on("/whom", whom("+919900000001"))
    heard = tmp_path / "heard.wav"
    with alice(baresip, tmp_path, omni, seconds=14):
        phone = omni.call(
            "omnidimension", end_the_bot, caller="carol",
            wav=wav_of_caller(tmp_path), save=heard,
        )  # fmt: skip
    assert phone.way[4:] == ["person after_conversation", "talked on_ok", "bye None"]
    assert_hears(AGENT_HZ, *signals.read_wav(heard))
    assert_agent_heard_the_caller(tmp_path)


def test_a_phone_that_is_not_answered_is_missed_after_max_ringing_duration(
    omni: FlowWorld, baresip: str, tmp_path: Path
) -> None:
    rule = {"destination": {"numbers": ["+919900000001"]}, "max_ringing_duration": 3}
    omni.webhooks.on("/whom", Reply(200, "application/json", json.dumps(rule)))
    with alice(baresip, tmp_path, omni, seconds=20, answer="manual"):
        phone = omni.call("omnidimension", end_the_bot, caller="carol")
    assert phone.way[4:] == ["person no_answer", "missed on_ok", "bye None"]
    told = omni.webhooks.wait_for("/missed").parameters
    assert (told["CallType"], told["DialCallStatus"]) == ("incomplete", "no-answer")


def test_a_person_whose_phone_is_not_registered_is_not_dialled(
    omni: FlowWorld,
) -> None:
    omni.webhooks.on("/whom", whom("+919900000001"))
    phone = omni.call("omnidimension", end_the_bot, caller="carol")
    assert phone.way[4:] == ["person not_dialled", "nobody on_ok", "bye None"]


def test_the_call_is_over_when_the_webhook_says_so(omni: FlowWorld) -> None:
    omni.webhooks.on("/decide", Reply(200))
    phone = omni.call("omnidimension", end_the_bot)
    assert phone.way[3:] == ["decide on_ok", "bye None"]
