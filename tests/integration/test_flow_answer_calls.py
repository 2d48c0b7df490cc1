"""What customers' servers answer and callers do to it, through real calls."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from emulator.ids import IST
from tests.support.flow_world import FlowWorld, flow_world
from tests.support.phone import Phone
from tests.support.webhooks import Reply

pytestmark = pytest.mark.slow

TELL = """\
  tell: {type: passthru, url: "${WEBHOOKS}/tell", on_ok: bye, on_other: bye}
  bye: {type: hangup}
"""
CONNECT = "after_conversation: tell, no_answer: tell, not_dialled: tell"
FLOWS = {
    "whom": f"""\
start: c
applets:
  c: {{type: connect, url: "${{WEBHOOKS}}/whom", {CONNECT}}}
{TELL}""",
    "greet": f"""\
start: g
applets:
  g: {{type: greeting, url: "${{WEBHOOKS}}/greet", next: tell}}
{TELL}""",
    "forked": f"""\
start: s
applets:
  s: {{type: stream, action: start, url: "${{ECHO_BOT}}/media", next: p1}}
  p1: {{type: passthru, url: "${{WEBHOOKS}}/p1", on_ok: b, on_other: b}}
  b: {{type: voicebot, url: "${{ECHO_BOT}}/media", next: tell}}
{TELL}""",
}
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
OTHER_DAY = DAYS[(datetime.now(IST).weekday() + 3) % 7]
FLOWS["shut"] = f"""\
start: t
applets:
  t: {{type: timing, hours: {{{OTHER_DAY}: "00:00-24:00"}}, open: bye, closed: tell}}
{TELL}"""
SETTINGS = """\
passthru: {timeout_s: 4}
subscribers:
  - {number: "09910000001", answers_after_s: 0.1, hangs_up_after_s: 0.5}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlowWorld]:
    directory = tmp_path_factory.mktemp("answers")
    with flow_world(directory, FLOWS, settings=SETTINGS) as started:
        yield started


@pytest.fixture(autouse=True)
def forget(world: FlowWorld) -> None:
    world.webhooks.forget()
    world.webhooks.on("/tell", Reply(200))


def whom(**more: Any) -> Reply:
    body = {"destination": {"numbers": ["09910000001"]}, **more}
    return Reply(200, "application/json", json.dumps(body))


@pytest.mark.parametrize(
    "more",
    [
        {"outgoing_phone_number": "\ud800"},
        {"outgoing_phone_number": "\x1b[31m\r\nX: 1"},
        {"custom_params": "a=\ud800"},
        {"start_call_playback": {"type": "audio_url", "value": "http://[::1/a.wav"}},
        {"start_call_playback": {"type": "text", "value": "Hello \ud800."}},
    ],
    ids=["surrogate", "control", "parameter", "url", "speech"],
)
def test_strange_text_in_an_answer_does_not_end_the_call(
    world: FlowWorld, more: dict[str, Any]
) -> None:
    world.webhooks.on("/whom", whom(**more))
    phone = world.call("whom")
    assert phone.way[0] == "c after_conversation"
    assert phone.events("call.ended")[0]["cause"] == "flow-ended"
    for note in phone.events("note"):
        assert note["text"].isprintable()
    told = world.webhooks.wait_for("/tell").parameters
    assert "\x1b" not in told["OutgoingPhoneNumber"]


def test_a_broken_url_in_a_greeting_is_noted_and_passed(world: FlowWorld) -> None:
    world.webhooks.on("/greet", Reply(200, body="http://[::1/a.wav"))
    phone = world.call("greet")
    assert phone.way[0] == "g next"
    assert world.webhooks.wait_for("/tell")


async def hang_up_while_asked(phone: Phone) -> None:
    await phone.until("webhook.sent")
    phone.hang_up()


def test_a_caller_who_leaves_during_a_passthru_is_told_of_by_the_next_one(
    world: FlowWorld,
) -> None:
    world.webhooks.on("/p1", Reply(200, delay_s=3))
    phone = world.call("forked", hang_up_while_asked)
    assert len(world.webhooks.asked("/p1")) == 1
    (asked,) = world.webhooks.asked("/tell")
    assert asked.parameters["CallStatus"] == "completed"
    kinds = [entry["kind"] for entry in phone.story]
    # The caller's end is not noticed by the end of the request only.
    assert kinds.index("flow.ended") < len(kinds) - 1 - kinds[::-1].index(
        "webhook.answered"
    )
    ended = datetime.fromisoformat(world.running.finished_call()["ended_at"])
    assert asked.parameters["EndTime"] == f"{ended.astimezone(IST):%Y-%m-%d %H:%M:%S}"


def test_the_end_of_a_call_waits_for_no_webhook(world: FlowWorld) -> None:
    world.webhooks.on("/p1", Reply(200))
    world.webhooks.on("/tell", Reply(200, delay_s=3))
    phone = world.call("forked", hang_up_while_asked)
    told = {e["kind"]: e["offset_ms"] for e in phone.story}
    assert told["call.ended"] < told["webhook.answered"] - 1000
    assert len(phone.events("call.ended")) == 1
    assert len(world.webhooks.asked("/tell")) == 1
    assert phone.way[-1].startswith("tell ")
    assert world.running.finished_call()["applet"] is None


def test_on_a_day_without_hours_the_exit_is_closed(world: FlowWorld) -> None:
    phone = world.call("shut")
    assert phone.way == ["t closed", "tell on_ok", "bye None"]


def test_the_custom_field_of_a_placed_call_is_told(world: FlowWorld) -> None:
    call = {"to": "09910000001", "flow": "shut", "custom_field": "order 7\x1b"}
    placed = world.running.api.post("/calls", json=call)
    assert placed.status_code == 201
    told = world.webhooks.wait_for("/tell").parameters
    assert told["CustomField"] == "order 7\N{REPLACEMENT CHARACTER}"
