"""Every applet's exits, reached by real calls that a real webhook server steers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emulator.cli import signals
from tests.support.flow_world import FlowWorld, flow_world
from tests.support.phone import Phone
from tests.support.webhooks import Reply

pytestmark = pytest.mark.slow

SHORT_S, LONG_S = 0.2, 30
WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ALL_DAY = ", ".join(f'{day}: "00:00-24:00"' for day in WEEK)


def one(applet: str, *exits: str) -> str:
    """Return a flow of one applet whose exits each lead to a hangup."""
    ends = "".join(f"  {name}: {{type: hangup}}\n" for name in exits or ("bye",))
    return f"start: it\napplets:\n  it: {applet}\n{ends}"


FLOWS = {
    "dynamic_greeting": one('{type: greeting, url: "${WEBHOOKS}/say?v=1", next: bye}'),
    # A new URL for each call: what was fetched is kept by its URL.
    "audio_url": one('{type: greeting, url: "${WEBHOOKS}/name", next: bye}'),
    "cached": one('{type: greeting, audio_url: "${WEBHOOKS}/c.wav", next: bye}'),
    "gather": one(
        "{type: gather, prompt: {file: long.wav}, max_digits: 4, timeout_s: 2, "
        "on_digits: some, on_nothing: none}", "some", "none"),
    "gather_short": one(
        "{type: gather, prompt: {file: short.wav}, repeat: 1, timeout_s: 1.5, "
        'finish_on_key: "", on_digits: some, on_nothing: none}', "some", "none"),
    "gather_told": """\
start: it
applets:
  it: {type: gather, prompt: {file: short.wav}, max_digits: 3, on_digits: tell}
  tell: {type: passthru, url: "${WEBHOOKS}/tell", on_ok: bye, on_other: bye}
  bye: {type: hangup}
""",
    "gather_url": one(
        '{type: gather, url: "${WEBHOOKS}/first?k=v", '
        'fallback_url: "${WEBHOOKS}/second", on_digits: some, on_nothing: none}',
        "some", "none"),
    "ivr": one(
        "{type: ivr, prompt: {file: short.wav}, keys: {'1': one, '*': star}, "
        "repeat: 1, timeout_s: 1.5, invalid: wrong}", "one", "star", "wrong"),
    "switch": """\
start: ask
applets:
  ask: {type: passthru, url: "${WEBHOOKS}/select", on_ok: way, on_other: way}
  way: {type: switch, cases: {Sales: sales, none: other}, default: other}
  sales: {type: hangup}
  other: {type: hangup}
""",
    "always": one(
        f"{{type: timing, open: opened, closed: closed, hours: {{{ALL_DAY}}}}}",
        "opened", "closed"),
    "transfer": """\
start: it
applets:
  it: {type: transfer, to: told}
""",
    "told": """\
start: tell
applets:
  tell: {type: passthru, url: "${WEBHOOKS}/tell", on_ok: bye, on_other: bye}
  bye: {type: hangup}
""",
    "messages": """\
start: text
applets:
  text: {type: sms, text: "We called.", next: asked}
  asked: {type: sms, url: "${WEBHOOKS}/text", to: "09912345678", next: mail}
  mail: {type: email, to: desk@example.com, subject: Call, next: bye}
  bye: {type: hangup}
""",
    "resolved": """\
start: bot
applets:
  bot: {type: voicebot, url: "${WEBHOOKS}/resolve?team=a", next: tell}
  tell: {type: passthru, url: "${WEBHOOKS}/tell", on_ok: bye, on_other: bye}
  bye: {type: hangup}
""",
    "resolved_recorded": """\
start: bot
applets:
  bot: {type: voicebot, url: "${WEBHOOKS}/resolve?token=hidden", record: {}, next: tell}
  tell: {type: passthru, url: "${WEBHOOKS}/tell", on_ok: bye, on_other: bye}
  bye: {type: hangup}
""",
    "resolved_monitor": """\
start: bot
applets:
  bot: {type: stream, action: start, url: "${WEBHOOKS}/resolve", next: tell}
  tell: {type: passthru, url: "${WEBHOOKS}/tell", on_ok: bye, on_other: bye}
  bye: {type: hangup}
""",
    "connect_url": one(
        '{type: connect, url: "${WEBHOOKS}/whom?k=v", '
        'fallback_url: "${WEBHOOKS}/else", after_conversation: talked, '
        "no_answer: missed, not_dialled: nobody}",
        "talked", "missed", "nobody"),
    "connect_numbers": one(
        '{type: connect, numbers_url: "${WEBHOOKS}/numbers", '
        "after_conversation: talked, no_answer: missed, not_dialled: nobody}",
        "talked", "missed", "nobody"),
    "blank": one('{type: voicebot, url: "${ECHO_BOT}/a b", next: bye}'),
    "endless": """\
start: again
applets:
  again: {type: passthru, url: "${WEBHOOKS}/tell", async: true, next: again}
""",
}  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlowWorld]:
    directory = tmp_path_factory.mktemp("applets")
    (directory / "flows").mkdir()
    for name, seconds in (("short", SHORT_S), ("long", LONG_S)):
        path = directory / "flows" / f"{name}.wav"
        signals.write_wav(path, [0] * int(8000 * seconds), 8000)
    settings = """\
webhooks: {max_audio_bytes: 20000}
subscribers:
  - {number: "09910000001", answers_after_s: 0.1, hangs_up_after_s: 0.5}
  - {number: "09910000002", busy: true}
"""
    with flow_world(directory, FLOWS, settings=settings) as started:
        yield started


@pytest.fixture(autouse=True)
def forget(world: FlowWorld) -> None:
    world.webhooks.forget()


def wav(directory: Path, seconds: float = SHORT_S) -> bytes:
    path = directory / "made.wav"
    signals.write_wav(path, [0] * int(8000 * seconds), 8000)
    return path.read_bytes()


def why(phone: Phone) -> str:
    text: str = phone.events("applet.left")[0]["why"]
    return text


# --- greeting ----------------------------------------------------------------------


def test_a_dynamic_greeting_plays_words_and_audio_in_order(
    world: FlowWorld, tmp_path: Path
) -> None:
    lines = f"Hello.\n{world.webhooks.url}/x.wav\n...\n"
    world.webhooks.on("/say", Reply(body=lines))
    world.webhooks.on("/x.wav", Reply(200, "audio/wav", wav(tmp_path)))
    phone = world.call("dynamic_greeting")
    prompts = phone.events("prompt.started")
    assert [list(prompt)[0] for prompt in prompts] == [
        "text",
        "audio_url",
        "silence_ms",
    ]
    assert why(phone) == "the prompt was played"
    head, get = world.webhooks.asked("/say")
    assert (head.method, get.method) == ("HEAD", "GET")
    assert get.parameters == {
        "v": "1",
        "CallSid": asyncio.run(_sid_of(phone)),
        "From": "09900000001",
        "To": world.numbers["dynamic_greeting"],
        "DialWhomNumber": "",
    }


async def _sid_of(phone: Phone) -> str:
    return await phone.sid()


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(200, "text/plain; charset=utf-8", "Hi."), "not exactly text/plain"),
        (Reply(200, None, "Hi."), "no content type"),
        (Reply(404), "HEAD gave 404"),
        (Reply(302, headers={"Location": "/x"}), "HEAD gave 302"),
        (Reply(200, body=""), "the answer is empty"),
        (Reply(200, body="line\n" * 30), "more than 20 lines"),
    ],
    ids=["charset", "no-type", "404", "302", "empty", "many"],
)
def test_a_greeting_without_a_usable_answer_goes_on(
    world: FlowWorld, reply: Reply, said: str
) -> None:
    world.webhooks.on("/say", reply)
    phone = world.call("dynamic_greeting")
    assert phone.way[0] == "it next"
    assert said in why(phone)
    assert not phone.events("prompt.started")


def test_an_audio_url_is_fetched_once_and_kept(
    world: FlowWorld, tmp_path: Path
) -> None:
    world.webhooks.on("/c.wav", Reply(200, "audio/wav", wav(tmp_path)))
    for _ in range(2):
        phone = world.call("cached")
        assert phone.events("prompt.ended")[0]["outcome"] == "played"
    assert [asked.method for asked in world.webhooks.asked("/c.wav")] == ["HEAD", "GET"]


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(200, "application/octet-stream", b"RIFF"), "application/octet-stream"),
        (Reply(404), "HEAD gave 404"),
        (Reply(200, "audio/wav", b"x" * 30_000), "webhooks.max_audio_bytes"),
        (Reply(200, "audio/wav", b"no audio at all"), "no audio that can be decoded"),
        (Reply(drops=True), "Server disconnected"),
    ],
    ids=["type", "404", "big", "garbage", "drops"],
)
def test_an_audio_url_that_cannot_be_played_is_silence(
    world: FlowWorld, reply: Reply, said: str
) -> None:
    path = f"/{said.replace(' ', '-')}.wav"
    world.webhooks.on(path, reply)
    world.webhooks.on("/name", Reply(body=f"{world.webhooks.url}{path}"))
    phone = world.call("audio_url")
    assert phone.way[0] == "it next"
    assert said in why(phone)


def test_a_caller_who_hangs_up_while_audio_is_fetched_ends_the_call_at_once(
    world: FlowWorld, tmp_path: Path
) -> None:
    slow = Reply(200, "audio/wav", wav(tmp_path), delay_s=2)
    world.webhooks.on("/slow.wav", slow)
    world.webhooks.on("/name", Reply(body=f"{world.webhooks.url}/slow.wav"))

    async def talk(phone: Phone) -> None:
        await phone.until("webhook.sent", purpose="audio")
        phone.hang_up()

    phone = world.call("audio_url", talk)
    assert phone.way == ["it next"]
    assert not phone.events("prompt.started")


# --- gather, ivr -------------------------------------------------------------------


async def _press(phone: Phone, digits: str) -> None:
    await phone.until("prompt.started")
    phone.press(digits)


def test_a_key_cuts_the_prompt_and_the_last_one_ends_the_input(
    world: FlowWorld,
) -> None:
    phone = world.call("gather", lambda phone: _press(phone, "1234"))
    assert phone.events("prompt.ended")[0]["outcome"] == "stopped"
    assert phone.way[0] == "it on_digits"
    assert why(phone) == "4 digits entered"


@pytest.mark.parametrize(
    ("flow", "digits", "said"),
    [
        ("gather", "12#", "2 digits entered"),
        ("gather", "12", "2 digits entered"),
        ("gather", "#", "nothing was entered"),
        ("gather_short", "1#", "2 digits entered"),
    ],
)
def test_input_ends_by_the_finish_key_or_by_waiting(
    world: FlowWorld, flow: str, digits: str, said: str
) -> None:
    phone = world.call(flow, lambda phone: _press(phone, digits))
    assert why(phone) == said


def test_nothing_entered_is_asked_again_and_then_leaves_by_its_exit(
    world: FlowWorld,
) -> None:
    phone = world.call("gather_short")
    assert len(phone.events("prompt.started")) == 2
    assert phone.way[0] == "it on_nothing"


def test_digits_reach_the_next_passthru_in_quotes(world: FlowWorld) -> None:
    world.webhooks.on("/tell", Reply(200))
    world.call("gather_told", lambda phone: _press(phone, "40*"))
    assert world.webhooks.wait_for("/tell").parameters["digits"] == '"40*"'


def test_the_digits_of_a_caller_who_hangs_up_in_a_gather_are_told(
    world: FlowWorld,
) -> None:
    world.webhooks.on("/tell", Reply(200))

    async def talk(phone: Phone) -> None:
        await _press(phone, "4")
        await phone.until("digit", digit="4")
        phone.hang_up()

    phone = world.call("gather_told", talk)
    assert phone.way == ["it on_digits", "tell on_ok"]
    (asked,) = world.webhooks.asked("/tell")
    assert asked.parameters["digits"] == '"4"'


def gather_answer(world: FlowWorld, **more: Any) -> Reply:
    prompt = {"audio_url": f"{world.webhooks.url}/p.wav"}
    body = json.dumps({"gather_prompt": prompt, "input_timeout": 2, **more})
    return Reply(200, "application/json", body)


def test_a_gather_url_says_what_to_ask(world: FlowWorld, tmp_path: Path) -> None:
    world.webhooks.on("/p.wav", Reply(200, "audio/wav", wav(tmp_path)))
    world.webhooks.on("/first", gather_answer(world, max_input_digits=2))
    phone = world.call("gather_url", lambda phone: _press(phone, "99"))
    assert why(phone) == "2 digits entered"
    (asked,) = world.webhooks.asked("/first")
    assert asked.headers["exotel-version"] == "1.0"
    assert asked.query.startswith("k=v&CallSid=")


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(500), "500"),
        (Reply(200, "text/html", "{}"), "text/html"),
        (Reply(200, "application/json", "{"), "no valid JSON"),
        (Reply(200, "application/json", '{"gather_prompt": 7}'), "gather_prompt"),
        (Reply(200, "application/json", "[" * 5000), "no valid JSON"),
        (Reply(200, "application/json", " " * 10_000_000), "too long a body"),
    ],
    ids=["500", "html", "broken", "types", "nested", "huge"],
)
def test_a_fallback_url_is_asked_next_and_without_any_answer_the_call_is_dropped(
    world: FlowWorld, reply: Reply, said: str
) -> None:
    world.webhooks.on("/first", reply)
    phone = world.call("gather_url")
    assert said in why(phone) and "404" in why(phone)
    assert phone.events("call.ended")[0]["by"] == "platform"
    assert len(world.webhooks.asked("/second")) == 1


@pytest.mark.parametrize(
    ("digits", "exit_"), [("1", "keys.1"), ("*", "keys.*"), ("7", "invalid")]
)
def test_each_key_of_a_menu_has_its_exit(
    world: FlowWorld, digits: str, exit_: str
) -> None:
    phone = world.call("ivr", lambda phone: _press(phone, digits))
    assert phone.way[0] == f"it {exit_}"


def test_a_menu_without_a_key_is_played_again_and_left(world: FlowWorld) -> None:
    phone = world.call("ivr")
    assert len(phone.events("prompt.started")) == 2
    assert phone.way[0] == "it invalid"


# --- switch, timing, transfer, messages --------------------------------------------


@pytest.mark.parametrize(
    ("reply", "exit_"),
    [
        (Reply(200, "text/plain", '{"select": "Sales"}'), "cases.Sales"),
        (Reply(200, "text/plain", '{"select": "sales"}'), "default"),
        (Reply(200, "application/json", '{"select": "Sales"}'), "default"),
        (Reply(200, "text/plain", "escalate=true"), "default"),
        (Reply(404, "text/plain", '{"select": "Sales"}'), "default"),
    ],
    ids=["case", "other-case", "json", "pair", "404"],
)
def test_a_switch_reads_the_answer_of_the_passthru(
    world: FlowWorld, reply: Reply, exit_: str
) -> None:
    world.webhooks.on("/select", reply)
    phone = world.call("switch")
    assert phone.way[1] == f"way {exit_}"
    notes = [n["text"] for n in phone.events("note") if "a Switch reads" in n["text"]]
    is_unread = exit_ == "default" and '"sales"' not in str(reply.body)
    assert bool(notes) == is_unread


def test_a_timing_that_is_always_open_is_open(world: FlowWorld) -> None:
    assert world.call("always").way[0] == "it open"


def test_a_transfer_goes_on_in_the_other_flow_under_the_same_sid(
    world: FlowWorld,
) -> None:
    world.webhooks.on("/tell", Reply(200))
    phone = world.call("transfer")
    asked = world.webhooks.wait_for("/tell").parameters
    assert asked["CallSid"] == asyncio.run(_sid_of(phone))
    assert asked["flow_id"] == str(list(FLOWS).index("told") + 1)


def test_messages_wait_in_the_outbox(world: FlowWorld) -> None:
    world.webhooks.on("/text", Reply(200, "text/plain", "Your code is 7.\n"))
    phone = world.call("messages")
    sid = asyncio.run(_sid_of(phone))
    answer = world.running.api.get("/outbox", params={"call_sid": sid}).json()
    sms, asked, email = answer["messages"]
    assert (sms["to"], sms["body"]) == ("09900000001", "We called.")
    assert (asked["to"], asked["body"]) == ("09912345678", "Your code is 7.")
    assert (email["kind"], email["to"]) == ("email", "desk@example.com")
    assert f"CallSid: {sid}\n" in email["body"]
    assert [m["message"] for m in phone.events("message.sent")] == [
        "sms",
        "sms",
        "email",
    ]


# --- connect by URLs ---------------------------------------------------------------

AGENT, BUSY = "09910000001", "09910000002"


def whom(*numbers: str, **more: Any) -> Reply:
    body = json.dumps({"destination": {"numbers": numbers}, **more})
    return Reply(200, "application/json; charset=utf-8", body)


@pytest.mark.parametrize(
    ("reply", "exit_"),
    [
        (whom(AGENT), "after_conversation"),
        (whom(BUSY, AGENT), "after_conversation"),
        (whom(BUSY), "no_answer"),
        (whom(), "not_dialled"),
    ],
    ids=["agent", "hunt", "busy", "empty"],
)
def test_a_connect_url_names_whom_to_ring(
    world: FlowWorld, reply: Reply, exit_: str
) -> None:
    world.webhooks.on("/whom", reply)
    assert world.call("connect_url").way[0] == f"it {exit_}"
    (asked,) = world.webhooks.asked("/whom")
    assert asked.headers["exotel-version"] == "1.0"
    assert asked.query.startswith("k=v&CallSid=")
    assert not world.webhooks.asked("/else")


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(500), "500"),
        (Reply(302, headers={"Location": "/else"}), "302"),
        (Reply(200, "text/plain", "{}"), "text/plain"),
        (Reply(200, "application/json", "{"), "no valid JSON"),
        (Reply(200, "application/json", "[]"), "must be"),
        (Reply(200, "application/json", '{"destination": 7}'), "destination"),
        (Reply(200, "application/json", " " * 10_000_000), "too long a body"),
        (Reply(drops=True), "Server disconnected"),
        (Reply(delay_s=60), "no answer within 5 s"),
    ],
    ids=[
        "500", "302", "text", "broken", "list", "number", "huge", "drops", "slow",
    ],
)  # fmt: skip
def test_without_a_usable_answer_the_fallback_is_asked_and_then_nobody_is_rung(
    world: FlowWorld, reply: Reply, said: str
) -> None:
    world.webhooks.on("/whom", reply)
    phone = world.call("connect_url")
    assert phone.way[0] == "it not_dialled"
    assert said in why(phone) and "404" in why(phone)
    assert len(world.webhooks.asked("/else")) == 1


def test_fields_of_wrong_types_are_left_out_and_the_rest_is_dialled(
    world: FlowWorld,
) -> None:
    world.webhooks.on(
        "/whom",
        whom(AGENT, max_ringing_duration="soon", record="maybe", music_on_hold=7),
    )
    phone = world.call("connect_url")
    assert phone.way[0] == "it after_conversation"
    notes = " ".join(entry["text"] for entry in phone.events("note"))
    for name in ("max_ringing_duration", "record", "music_on_hold"):
        assert f"{name} is left out: must be" in notes


def test_the_fallback_may_name_somebody(world: FlowWorld) -> None:
    world.webhooks.on("/whom", Reply(503))
    world.webhooks.on("/else", whom(AGENT))
    assert world.call("connect_url").way[0] == "it after_conversation"


@pytest.mark.parametrize(
    ("reply", "exit_"),
    [
        (Reply(200, "text/plain", f"{BUSY}, {AGENT}\n"), "after_conversation"),
        (Reply(200, "text/plain", f"nobody,{AGENT}"), "after_conversation"),
        (Reply(200, "text/plain", ""), "not_dialled"),
        (Reply(200, "text/plain", "nobody"), "not_dialled"),
        (Reply(200, "text/html", AGENT), "not_dialled"),
        (Reply(404, "text/plain", AGENT), "not_dialled"),
    ],
    ids=["two", "some", "empty", "word", "html", "404"],
)
def test_a_list_of_numbers_is_rung_in_its_order(
    world: FlowWorld, reply: Reply, exit_: str
) -> None:
    world.webhooks.on("/numbers", reply)
    assert world.call("connect_numbers").way[0] == f"it {exit_}"


# --- voicebot by a dynamic URL -----------------------------------------------------


def test_a_dynamic_url_names_the_bot_and_its_parameters(world: FlowWorld) -> None:
    url = f"{world.bots['goodbye']}/media?sample-rate=16000&queue=gold"
    world.webhooks.on("/resolve", Reply(200, "text/html", json.dumps({"url": url})))
    world.webhooks.on("/tell", Reply(200))
    phone = world.call("resolved")
    start = next(e for e in phone.events("stream.sent") if e["event"] == "start")
    assert start["start"]["custom_parameters"] == {"queue": "gold"}
    assert start["start"]["media_format"]["sample_rate"] == "16000"
    (asked,) = world.webhooks.asked("/resolve")
    assert asked.query.startswith("team=a&CallSid=")
    told = world.webhooks.wait_for("/tell").parameters
    assert told["Stream[Status]"] == "completed"
    assert told["Stream[StreamUrl]"] == url


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(500), "the dynamic URL gave 500"),
        (Reply(302, headers={"Location": "/x"}), "the dynamic URL gave 302"),
        (Reply(200, body="ws://127.0.0.1/"), "gave no JSON"),
        (Reply(200, body='["ws://127.0.0.1/"]'), 'no {"url": "wss://'),
        (Reply(200, body='{"url": 7}'), 'no {"url": "wss://'),
        (Reply(200, body='{"url": ""}'), "the url of the dynamic answer"),
        (Reply(200, body='{"url": "http://127.0.0.1/"}'), "not http://"),
        (Reply(drops=True), "Server disconnected"),
    ],
    ids=["500", "302", "text", "list", "type", "empty", "http", "drops"],
)
def test_a_dynamic_url_that_names_no_bot_fails_the_stream_and_the_flow_goes_on(
    world: FlowWorld, reply: Reply, said: str
) -> None:
    world.webhooks.on("/resolve", reply)
    world.webhooks.on("/tell", Reply(200))
    phone = world.call("resolved")
    assert said in why(phone)
    told = world.webhooks.wait_for("/tell").parameters
    assert told["Stream[Status]"] == "failed"
    assert told["Stream[DisconnectedBy]"] == "NA"
    assert told["Stream[Duration]"] == "0"
    assert said in told["Stream[Error]"]
    assert "Stream[StreamUrl]" not in told
    (failed,) = phone.events("stream.failed")
    assert failed["stream_sid"] == told["Stream[StreamSID]"]
    assert failed["error"] == told["Stream[Error]"]
    assert "/resolve" in failed["url"]
    assert not phone.events("stream.connecting")


def test_a_recorded_stream_without_a_bot_has_a_recording_url(world: FlowWorld) -> None:
    world.webhooks.on("/resolve", Reply(404))
    world.webhooks.on("/tell", Reply(200))
    phone = world.call("resolved_recorded")
    (failed,) = phone.events("stream.failed")
    assert "token=***" in failed["url"] and "hidden" not in failed["url"]
    told = world.webhooks.wait_for("/tell").parameters
    assert told["Stream[StreamSID]"] in told["Stream[RecordingUrl]"]


def test_a_monitor_without_a_bot_is_a_failed_stream_too(world: FlowWorld) -> None:
    world.webhooks.on("/resolve", Reply(500))
    world.webhooks.on("/tell", Reply(200))
    phone = world.call("resolved_monitor")
    (failed,) = phone.events("stream.failed")
    told = world.webhooks.wait_for("/tell").parameters
    assert told["Stream[Status]"] == "failed"
    assert told["Stream[StreamSID]"] == failed["stream_sid"]
    assert "stream" not in phone.events("call.ended")[0]["reason"]


def test_a_blank_in_a_url_ends_the_call_as_the_platform_does(world: FlowWorld) -> None:
    phone = world.call("blank")
    assert "blank" in phone.events("call.ended")[0]["reason"]
    assert not phone.events("stream.connecting")


def test_a_flow_that_goes_round_for_ever_is_ended_and_floods_nobody(
    world: FlowWorld,
) -> None:
    world.webhooks.on("/tell", Reply(200))
    phone = world.call("endless")
    assert "flow.max_steps" in phone.events("call.ended")[0]["reason"]
