"""One-way streams beside the flow, the account's limit, and quirks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.cli import signals
from tests.support.flow_world import FlowWorld, flow_world
from tests.support.phone import Phone
from tests.support.processes import ROOT, eventually, free_port
from tests.support.webhooks import Reply

pytestmark = pytest.mark.slow

TELL = '{type: passthru, url: "${WEBHOOKS}/tell", on_ok: NEXT, on_other: NEXT}'

FLOWS = {
    "start_stop": f"""\
start: start
applets:
  start: {{type: stream, action: start, url: "${{ECHO_BOT}}/one?a=1", next: running}}
  running: {TELL.replace("tell", "running").replace("NEXT", "greet")}
  greet: {{type: greeting, file: some.wav, next: stop}}
  stop: {{type: stream, action: stop, next: tell}}
  tell: {TELL.replace("NEXT", "bye")}
  bye: {{type: hangup}}
""",
    "two": """\
start: first
applets:
  first: {type: stream, action: start, url: "${ECHO_BOT}/one", next: second}
  second: {type: stream, action: start, url: "${ECHO_BOT}/two", next: greet}
  greet: {type: greeting, file: some.wav, next: stop}
  stop: {type: stream, action: stop, next: again}
  again: {type: greeting, file: short.wav, next: bye}
  bye: {type: hangup}
""",
    "fails": f"""\
start: start
applets:
  start: {{type: stream, action: start, url: "ws://127.0.0.1:DEAD/", next: greet}}
  greet: {{type: greeting, file: some.wav, next: tell}}
  tell: {TELL.replace("NEXT", "bye")}
  bye: {{type: hangup}}
""",
    "left": f"""\
start: start
applets:
  start: {{type: stream, action: start, url: "${{ECHO_BOT}}/one", next: greet}}
  greet: {{type: greeting, file: long.wav, next: tell}}
  tell: {TELL.replace("NEXT", "bye")}
  bye: {{type: hangup}}
""",
    "monitored": f"""\
start: start
applets:
  start: {{type: stream, action: start, url: "${{ECHO_BOT}}/one", next: bot}}
  bot: {{type: voicebot, url: "${{GOODBYE_BOT}}/two", next: tell}}
  tell: {TELL.replace("NEXT", "bye")}
  bye: {{type: hangup}}
""",
    "recorded": f"""\
start: bot
applets:
  bot:
    type: voicebot
    url: "${{ECHO_BOT}}/one"
    record: {{channels: dual, format: mp3, encrypt_dtmf: true}}
    next: tell
  tell: {TELL.replace("NEXT", "bye")}
  bye: {{type: hangup}}
""",
    "recorded_in_vain": f"""\
start: bot
applets:
  bot: {{type: voicebot, url: "ws://127.0.0.1:DEAD/", record: {{}}, next: tell}}
  tell: {TELL.replace("NEXT", "bye")}
  bye: {{type: hangup}}
""",
    "voicemail": f"""\
start: mail
applets:
  mail: {{type: voicemail, prompt: {{file: short.wav}}, mailbox: desk, next: tell}}
  tell: {TELL.replace("NEXT", "bye")}
  bye: {{type: hangup}}
""",
    "dynamic": """\
start: greet
applets:
  greet: {type: greeting, url: "${WEBHOOKS}/say", next: ask}
  ask: {type: passthru, url: "${WEBHOOKS}/tell", on_other: bye}
  bye: {type: hangup}
""",
    "blank": """\
start: bot
applets:
  bot: {type: voicebot, url: "${ECHO_BOT}/a b ", next: bye}
  bye: {type: hangup}
""",
}


def prepare(directory: Path) -> dict[str, str]:
    (directory / "flows").mkdir()
    # In some of it a stream opens and brings its first media.
    for name, seconds in (("short", 0.5), ("some", 2), ("long", 30)):
        path = directory / "flows" / f"{name}.wav"
        signals.write_wav(path, [0] * int(8000 * seconds), 8000)
    return {
        name: text.replace("DEAD", str(free_port())) for name, text in FLOWS.items()
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlowWorld]:
    directory = tmp_path_factory.mktemp("streams")
    with flow_world(directory, prepare(directory)) as started:
        yield started


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlowWorld]:
    """Yield an emulator of one stream, other quirks, and Passthrus sent twice."""
    directory = tmp_path_factory.mktemp("odd")
    settings = """\
stream: {max_streams: 1}
faults: {rules: [{kind: webhook_twice}]}
passthru:
  {method: POST, stream_fields_encoding: json, direction_word: inbound,
   disconnected_by_vocab: caller, empty_exit: hangup, after_hangup: never}
quirks:
  {no_greeting_disconnect: true, no_greeting_disconnect_s: 0.7, epoch_end_time: false,
   blank_in_url_hangs_up: false, head_before_get: false, strict_content_type: false}
"""
    with flow_world(directory, prepare(directory), settings=settings) as started:
        yield started


@pytest.fixture(autouse=True)
def forget(world: FlowWorld) -> None:
    world.webhooks.forget()


def test_a_one_way_stream_runs_beside_the_flow_until_it_is_stopped(
    world: FlowWorld,
) -> None:
    world.webhooks.on("/running", Reply(200))
    world.webhooks.on("/tell", Reply(200))
    phone = world.call("start_stop")
    assert phone.way == [
        "start next",
        "running on_ok",
        "greet next",
        "stop next",
        "tell on_ok",
        "bye None",
    ]
    running = world.webhooks.wait_for("/running").parameters
    stream = {name: v for name, v in running.items() if name.startswith("Stream")}
    url = f"{world.bots['echo']}/one?a=1"
    assert stream == {
        "Stream[StreamSID]": stream["Stream[StreamSID]"],
        "Stream[StreamUrl]": url,
    }
    told = world.webhooks.wait_for("/tell").parameters
    assert told["Stream[StreamSID]"] == stream["Stream[StreamSID]"]
    assert told["Stream[Status]"] == "completed"
    assert told["Stream[StreamUrl]"] == url
    stop = next(e for e in phone.events("stream.sent") if e["event"] == "stop")
    assert stop["reason"] == "stopped"
    kinds = [entry["kind"] for entry in phone.story]
    assert kinds.index("stream.media_to_bot") < kinds.index("prompt.ended")


def test_of_two_streams_the_latest_is_stopped_and_the_other_lives_on(
    world: FlowWorld,
) -> None:
    phone = world.call("two")
    opened = [entry["stream_sid"] for entry in phone.events("stream.opened")]
    stops = [
        (entry["stream_sid"], entry["reason"])
        for entry in phone.events("stream.sent")
        if entry["event"] == "stop"
    ]
    urls = {e["stream_sid"]: e["url"] for e in phone.events("stream.connecting")}
    assert len(set(opened)) == 2
    (second, first) = stops
    assert urls[second[0]].endswith("/two") and second[1] == "stopped"
    assert urls[first[0]].endswith("/one") and first[1] == "callended"


def test_a_one_way_stream_that_fails_does_not_stop_the_flow(world: FlowWorld) -> None:
    world.webhooks.on("/tell", Reply(200))
    phone = world.call("fails")
    assert phone.way == ["start next", "greet next", "tell on_ok", "bye None"]
    told = world.webhooks.wait_for("/tell").parameters
    assert told["Stream[Status]"] == "failed"
    assert "connection refused" in told["Stream[Error]"]


def test_a_caller_who_hangs_up_ends_a_one_way_stream_before_the_passthru_is_sent(
    world: FlowWorld,
) -> None:
    world.webhooks.on("/tell", Reply(200))

    async def talk(phone: Phone) -> None:
        await phone.until("stream.media_to_bot")
        phone.hang_up()

    world.call("left", talk)
    (asked,) = world.webhooks.asked("/tell")
    told = asked.parameters
    assert told["Stream[Status]"] == "completed"
    assert told["Stream[DisconnectedBy]"] == "user"


def test_the_last_finished_stream_is_told_while_another_one_runs(
    world: FlowWorld,
) -> None:
    world.webhooks.on("/tell", Reply(200))
    phone = world.call("monitored")
    told = world.webhooks.wait_for("/tell").parameters
    assert told["Stream[StreamUrl]"].endswith("/two")
    assert told["Stream[DisconnectedBy]"] == "bot"
    assert len(phone.events("stream.opened")) == 2


# --- recordings --------------------------------------------------------------------


def kept(url: str) -> int:
    """Return the size of the file that a RecordingUrl names."""
    name = url.partition("/exotelrecordings/")[2]
    path = ROOT / ".emulator" / "recordings" / name

    def size() -> int:
        return path.stat().st_size if path.is_file() else 0

    found: int = eventually(size, f"something is in {path}")
    return found


def test_a_recorded_bot_has_a_url_and_encrypted_keys_are_shown_nowhere(
    world: FlowWorld,
) -> None:
    world.webhooks.on("/tell", Reply(200))

    async def talk(phone: Phone) -> None:
        await phone.until("stream.media_from_bot")
        phone.press("7319")
        await phone.until("stream.sent", event="dtmf")
        phone.hang_up()

    phone = world.call("recorded", talk)
    told = world.webhooks.wait_for("/tell").parameters
    url = told["Stream[RecordingUrl]"]
    assert url.endswith(f"/{told['Stream[StreamSID]']}.mp3")
    assert kept(url) > 0
    assert {entry["digit"] for entry in phone.events("digit")} == {"hidden"}
    dtmf = [e for e in phone.events("stream.sent") if e["event"] == "dtmf"]
    assert dtmf and {entry["digit"] for entry in dtmf} == {"hidden"}


def test_a_recorded_bot_that_failed_has_a_url_all_the_same(world: FlowWorld) -> None:
    world.webhooks.on("/tell", Reply(200))
    world.call("recorded_in_vain")
    told = world.webhooks.wait_for("/tell").parameters
    assert told["Stream[Status]"] == "failed"
    assert told["Stream[RecordingUrl]"].endswith(".mp3")


@pytest.mark.parametrize("ends_by", ["key", "hanging up"])
def test_a_voicemail_keeps_what_the_caller_said(world: FlowWorld, ends_by: str) -> None:
    world.webhooks.on("/tell", Reply(200))

    async def talk(phone: Phone) -> None:
        await phone.until("recording.started")
        await asyncio.sleep(0.5)
        phone.press("#") if ends_by == "key" else phone.hang_up()

    phone = world.call("voicemail", talk)
    assert phone.way[0] == "mail next"
    told = world.webhooks.wait_for("/tell").parameters
    assert told["CallType"] == "voicemail"
    assert kept(told["RecordingUrl"]) > 0


# --- settings ----------------------------------------------------------------------


def test_beyond_the_accounts_streams_one_fails_at_once_and_the_passthru_tells_it(
    odd: FlowWorld,
) -> None:
    odd.webhooks.forget()
    odd.webhooks.on("/tell", Reply(200))
    phone = odd.call("monitored")
    assert phone.events("stream.failed")[0]["detailed_status"] == (
        "Streaming_call_throttled"
    )
    told = odd.webhooks.wait_for("/tell", count=2)
    assert told.method == "POST"
    assert told.query == ""
    assert '"DetailedStatus": "Streaming_call_throttled"' in told.parameters["Stream"]
    assert '"DisconnectedBy": "system"' in told.parameters["Stream"]
    assert told.parameters["Direction"] == "inbound"
    assert "EndTime" not in told.parameters


def test_a_passthru_that_is_delivered_twice_counts_once(odd: FlowWorld) -> None:
    odd.webhooks.forget()
    odd.webhooks.on("/tell", Reply(200))
    phone = odd.call("fails")
    assert len(phone.events("webhook.answered")) == 2
    assert phone.way.count("tell on_ok") == 1


def test_a_voicebot_without_a_greeting_is_dropped_when_the_quirk_is_on(
    odd: FlowWorld,
) -> None:
    phone = odd.call("blank")
    (connecting,) = phone.events("stream.connecting")
    assert connecting["url"].endswith("/a%20b")
    ended = phone.events("call.ended")[0]
    assert ended["cause"] == "no-greeting"
    assert "quirks.no_greeting_disconnect" in ended["reason"]


def test_no_passthru_follows_a_caller_who_left_when_the_setting_says_so(
    odd: FlowWorld,
) -> None:
    odd.webhooks.forget()

    async def talk(phone: Phone) -> None:
        await phone.until("stream.media_to_bot")
        phone.hang_up()

    odd.call("left", talk)
    assert not odd.webhooks.asked("/tell")


def test_each_quirk_of_greetings_and_of_an_empty_exit_can_be_switched_off(
    odd: FlowWorld,
) -> None:
    odd.webhooks.forget()
    odd.webhooks.on("/say", Reply(200, "text/html; charset=utf-8", "..."))
    odd.webhooks.on("/tell", Reply(200))
    phone = odd.call("dynamic")
    assert [asked.method for asked in odd.webhooks.asked("/say")] == ["GET"]
    assert phone.way == ["greet next", "ask on_ok"]
    assert phone.events("prompt.started")
    assert phone.events("call.ended")[0]["by"] == "platform"
