"""Passthru through real calls: its exits, its failures, and all that it tells."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from emulator.cli import signals
from emulator.flow.applets.connect import MAX_ROUNDS
from emulator.ids import IST
from tests.support.flow_world import FlowWorld, flow_world
from tests.support.phone import Phone
from tests.support.processes import free_port
from tests.support.webhooks import Asked, Reply

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).resolve().parents[1] / "data" / "flows" / "golden"

ASK = """\
start: ask
applets:
  ask: {type: passthru, url: "URL", on_ok: yes, on_other: no}
  "yes": {type: hangup}
  "no": {type: hangup}
"""


def told(first: str) -> str:
    """Return a flow of ``first`` and a Passthru behind it."""
    return f"""\
start: first
applets:
  first: {first}
  tell: {{type: passthru, url: "${{WEBHOOKS}}/tell?mine=1", on_ok: bye, on_other: bye}}
  bye: {{type: hangup}}
"""


FLOWS = {
    "ask": ASK.replace("URL", "${WEBHOOKS}/ask"),
    "dead": ASK.replace("URL", "http://127.0.0.1:${DEAD_PORT}/x"),
    "secret": ASK.replace("URL", "http://user:pass%20word@${WEBHOOK_HOST}/ask"),
    "https": ASK.replace("URL", "https://${WEBHOOK_HOST}/ask"),
    "beside": """\
start: ask
applets:
  ask: {type: passthru, url: "${WEBHOOKS}/ask", async: true, next: bye}
  bye: {type: hangup}
""",
    "open": """\
start: ask
applets:
  ask: {type: passthru, url: "${WEBHOOKS}/ask", on_other: bye}
  bye: {type: hangup}
""",
    "completed": told('{type: voicebot, url: "${GOODBYE_BOT}/media?q=1", next: tell}'),
    "failed": told('{type: voicebot, url: "ws://127.0.0.1:${DEAD_PORT}/", next: tell}'),
    "hung_up_in_stream": told('{type: voicebot, url: "${ECHO_BOT}/media", next: tell}'),
    "hung_up_in_set_up": told(
        '{type: voicebot, url: "ws://k:s@127.0.0.1:${MUTE_PORT}/media", next: tell}'
    ),
    "hung_up_in_resolver": told(
        '{type: voicebot, url: "${WEBHOOKS}/resolve", next: tell}'
    ),
    "throttled": """\
start: first
applets:
  first: {type: stream, action: start, url: "${ECHO_BOT}/media", next: bot}
  bot: {type: voicebot, url: "${ECHO_BOT}/media", next: tell}
  tell: {type: passthru, url: "${WEBHOOKS}/tell?mine=1", on_ok: bye, on_other: bye}
  bye: {type: hangup}
""",
    "connected": told(
        '{type: connect, dial: ["09910000001"], no_answer: bye, '
        "after_conversation: tell}"
    ),
    "nobody": told('{type: connect, dial: ["09910000002"], no_answer: tell}'),
    "hung_up_in_connect": told(
        '{type: connect, dial: ["09910000003"], after_conversation: tell}'
    ),
    "hung_up_while_ringing": told(
        '{type: connect, dial: ["09910000004"], no_answer: tell}'
    ),
    "asked_for_ever": told('{type: connect, url: "${WEBHOOKS}/whom", no_answer: tell}'),
    "nobody_registered": told('{type: connect, dial: ["user:bob"], no_answer: tell}'),
    "trunk_without_destination": told(
        '{type: connect, dial: ["sip:trmum1pbx"], no_answer: tell}'
    ),
    "hung_up_in_greeting": """\
start: greet
applets:
  greet: {type: greeting, file: long.wav, next: bot}
  bot: {type: voicebot, url: "${ECHO_BOT}/media", next: tell}
  tell: {type: passthru, url: "${WEBHOOKS}/tell?mine=1", on_ok: bye, on_other: bye}
  bye: {type: hangup}
""",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlowWorld]:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        ports = {"DEAD_PORT": free_port(), "MUTE_PORT": mute.getsockname()[1]}
        flows = dict(FLOWS)
        for name, port in ports.items():
            flows = {f: t.replace(f"${{{name}}}", str(port)) for f, t in flows.items()}
        settings = """\
passthru: {timeout_s: 4}
sip: {custom_headers: [X-UUI]}
stream: {max_streams: 1}
subscribers:
  - {number: "09910000001", answers_after_s: 0.1, hangs_up_after_s: 1}
  - {number: "09910000002", busy: true}
  - {number: "09910000003", answers_after_s: 0.1}
  - {number: "09910000004", no_answer: true}
trunks: [{name: pbx, sid: trmum1pbx}]
"""
        directory = tmp_path_factory.mktemp("passthru")
        # A greeting that lasts until the caller hangs up.
        (directory / "flows").mkdir()
        signals.write_wav(directory / "flows" / "long.wav", [0] * 8000 * 30, 8000)
        with flow_world(directory, flows, settings=settings) as started:
            yield started


@pytest.fixture(autouse=True)
def forget(world: FlowWorld) -> None:
    world.webhooks.forget()


def exit_of(phone: Phone) -> tuple[str, str]:
    """Return the exit that the Passthru took, and why."""
    left = phone.events("applet.left")[0]
    return left["exit"], left["why"]


@pytest.mark.parametrize(
    ("reply", "exit_", "why"),
    [
        (Reply(200), "on_ok", "the answer was 200"),
        (Reply(200, None, "{not json"), "on_ok", "the answer was 200"),
        (Reply(200, body="x" * 10_000_000), "on_ok", "the answer was 200"),
        (Reply(204, None), "on_other", "the answer was 204"),
        (
            Reply(302, headers={"Location": "/elsewhere"}),
            "on_other",
            "the answer was 302",
        ),
        (Reply(404), "on_other", "the answer was 404"),
        (Reply(500), "on_other", "the answer was 500"),
        (Reply(drops=True), "on_other", "no answer: Server disconnected"),
        (Reply(delay_s=60), "on_other", "no answer: no answer within 4 s"),
        (Reply(body="drip by drip", delay_s=1, drips=True), "on_other", "no answer"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Reply) else "",
)
def test_200_is_the_first_exit_and_anything_else_the_second(
    world: FlowWorld, reply: Reply, exit_: str, why: str
) -> None:
    world.webhooks.on("/ask", reply)
    phone = world.call("ask")
    taken, said = exit_of(phone)
    assert taken == exit_
    assert why in said
    (answered,) = phone.events("webhook.answered")
    assert answered["status"] == (None if "no answer" in why else reply.status)
    assert len(str(answered["body"])) < 1100
    assert not world.webhooks.asked("/elsewhere")


def test_a_server_that_is_not_there_is_the_second_exit(world: FlowWorld) -> None:
    phone = world.call("dead")
    assert exit_of(phone) == ("on_other", "no answer: Connection refused")


def test_tls_towards_a_plain_server_is_the_second_exit(world: FlowWorld) -> None:
    assert exit_of(world.call("https"))[0] == "on_other"


def test_credentials_in_the_url_become_a_header_and_are_shown_nowhere(
    world: FlowWorld,
) -> None:
    world.webhooks.on("/ask", Reply(200))
    phone = world.call("secret")
    (asked,) = world.webhooks.asked("/ask")
    assert asked.headers["authorization"] == "Basic dXNlcjpwYXNzIHdvcmQ="
    assert "pass" not in asked.query
    assert "pass%20word" not in str(phone.story)
    assert "dXNl" not in str(phone.story)
    assert phone.events("webhook.sent")[0]["url"].startswith("http://***@127.0.0.1")


def test_an_async_passthru_does_not_wait_but_its_answer_is_told(
    world: FlowWorld,
) -> None:
    world.webhooks.on("/ask", Reply(200, delay_s=0.5))
    phone = world.call("beside")
    kinds = [entry["kind"] for entry in phone.story]
    assert kinds.index("applet.left") < kinds.index("webhook.answered")
    assert phone.events("webhook.answered")[0]["status"] == 200
    assert exit_of(phone) == ("next", "sent, without waiting for the answer")


def test_an_empty_exit_leaves_the_call_open_until_the_caller_hangs_up(
    world: FlowWorld,
) -> None:
    world.webhooks.on("/ask", Reply(200))

    async def talk(phone: Phone) -> None:
        note = await phone.until(
            "note",
            text=("the call stays open and silent: nothing follows 'ask' at 'on_ok'"),
        )
        assert note
        phone.hang_up()

    phone = world.call("open", talk)
    assert phone.events("call.ended")[0]["by"] == "caller"


def test_the_callers_headers_and_number_are_told(world: FlowWorld) -> None:
    world.webhooks.on("/ask", Reply(200))
    world.call("ask", headers=(("X-UUI", "7"), ("X-Other", "no")))
    asked = world.webhooks.wait_for("/ask").parameters
    assert asked["SIPCustomHeader"] == '{"UUI": "7"}'
    assert (asked["CallFrom"], asked["From"]) == ("09900000001", "09900000001")
    assert asked["CallTo"] == asked["To"] == world.numbers["ask"]


# --- what it tells, parameter by parameter ---------------------------------------


PLACEHOLDERS = {
    "<SID>": r"\b[0-9a-f]{28}[0-9a-z]{4}\b",
    "<PORT>": r"(?<=127\.0\.0\.1:)\d+",
    "<TIME>": r"^20\d\d(-\d\d){2} \d\d(:\d\d){2}$",
    "<DATE>": r"^\w{3}, \d\d \w{3} 20\d\d \d\d(:\d\d){2}$",
}


def transcript(asked: Asked, number: str) -> str:
    """Return the parameters, one a line, with what differs from call to call named."""
    lines = []
    for name, value in asked.parameters.items():
        for placeholder, pattern in PLACEHOLDERS.items():
            value = re.sub(pattern, placeholder, value)
        if (
            name == "Stream[Duration]"
            and asked.parameters["Stream[Status]"] != "failed"
        ):
            value = re.sub(r"^\d$", "<SECONDS>", value)
        if name == "Legs[0][OnCallDuration]" or (
            name == "DialCallDuration" and "DialCallStatus" in asked.parameters
        ):
            value = re.sub(r"^\d$", "<SECONDS>", value)
        if name == "flow_id":
            value = re.sub(r"^\d+$", "<APP ID>", value)
        lines.append(f"{name}={value.replace(number, '<EXOPHONE>')}\n")
    return "".join(lines)


async def hang_up_in_greeting(phone: Phone) -> None:
    await phone.until("prompt.started")
    phone.hang_up()


async def hang_up_in_set_up(phone: Phone) -> None:
    await phone.until("stream.connecting")
    phone.hang_up()


async def hang_up_in_resolver(phone: Phone) -> None:
    await phone.until("webhook.sent")
    phone.hang_up()


async def hang_up_in_stream(phone: Phone) -> None:
    await phone.until("stream.media_from_bot")
    phone.hang_up()


async def listen(phone: Phone) -> None:
    pass


async def hang_up_in_talk(phone: Phone) -> None:
    await phone.until("call.bridged")
    phone.hang_up()


async def hang_up_in_ringing(phone: Phone) -> None:
    await phone.until("leg.ringing")
    phone.hang_up()


CASES = {
    "completed": listen,
    "failed": listen,
    "throttled": listen,
    "connected": listen,
    "nobody": listen,
    "hung_up_in_connect": hang_up_in_talk,
    "hung_up_while_ringing": hang_up_in_ringing,
    "hung_up_in_greeting": hang_up_in_greeting,
    "hung_up_in_set_up": hang_up_in_set_up,
    "hung_up_in_resolver": hang_up_in_resolver,
    "hung_up_in_stream": hang_up_in_stream,
}


@pytest.mark.parametrize("case", CASES)
def test_a_passthru_tells_what_the_manual_says(world: FlowWorld, case: str) -> None:
    world.webhooks.on("/tell", Reply(200))
    world.webhooks.on("/resolve", Reply(200, delay_s=2))
    phone = world.call(case, CASES[case])
    (asked,) = world.webhooks.asked("/tell")
    assert asked.query.startswith("mine=1&CallSid=")
    found = transcript(asked, world.numbers[case])
    assert found == (GOLDEN / f"{case}.txt").read_text()
    is_gone = case.startswith("hung_up")
    assert phone.events("call.ended")[0]["by"] == ("caller" if is_gone else "platform")
    # Its answer leads nowhere: nothing follows it.
    if is_gone:
        ended = datetime.fromisoformat(world.running.finished_call()["ended_at"])
        assert (
            asked.parameters["EndTime"] == f"{ended.astimezone(IST):%Y-%m-%d %H:%M:%S}"
        )
        assert phone.way[-1] == "tell on_ok"


# --- nobody to connect -------------------------------------------------------------


def test_a_url_that_wants_to_be_asked_for_ever_is_given_up(world: FlowWorld) -> None:
    body = {"fetch_after_attempt": True, "destination": {"numbers": ["09910000002"]}}
    answer = Reply(200, "application/json", json.dumps(body))
    world.webhooks.on("/whom", answer)
    world.webhooks.on("/tell", Reply(200))
    phone = world.call("asked_for_ever")
    assert phone.way[0] == "first no_answer"
    assert len(world.webhooks.asked("/whom")) == MAX_ROUNDS
    asked = world.webhooks.wait_for("/tell").parameters
    assert f"Legs[{MAX_ROUNDS - 1}][Cause]" in asked


@pytest.mark.parametrize("flow", ["nobody_registered", "trunk_without_destination"])
def test_whom_nobody_can_reach_is_not_dialled_and_the_timeline_says_why(
    world: FlowWorld, flow: str
) -> None:
    world.webhooks.on("/tell", Reply(200))
    phone = world.call(flow)
    left = phone.events("applet.left")[0]
    assert (left["exit"], left["next"]) == ("not_dialled", "tell")
    notes = " ".join(note["text"] for note in phone.events("note"))
    assert "bob" in notes if flow == "nobody_registered" else "trmum1pbx" in notes
    assert world.webhooks.wait_for("/tell").parameters["CallType"] == "call-attempt"


def test_an_answer_that_nobody_waits_for_does_not_hold_up_the_shutdown(
    tmp_path: Path,
) -> None:
    flows = {"beside": FLOWS["beside"]}
    env = {"EXOTEL_EMULATOR_CALLS__SHUTDOWN_DEADLINE_S": "1"}
    with flow_world(tmp_path, flows, with_bots=(), env=env) as world:
        world.webhooks.on("/ask", Reply(200, delay_s=60))

        async def talk(phone: Phone) -> None:
            await phone.until("webhook.sent")
            world.running.process.send_signal(signal.SIGTERM)
            world.running.process.wait_for("calls did not end in time and were cut")

        with pytest.raises((httpx.HTTPError, TimeoutError)):
            world.call("beside", talk)
        assert world.running.process.wait() == 0
        assert "Traceback" not in world.running.process.output
