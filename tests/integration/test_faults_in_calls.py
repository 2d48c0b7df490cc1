"""Faults in whole calls: put in force while the emulator runs, seen on timelines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emulator.faults import KINDS
from tests.support.processes import Emulator, echo_bot, emulator, run
from tests.support.webhooks import Reply, webhook_server

# Whole processes, in real time.
pytestmark = pytest.mark.slow

JSON = {"Content-Type": "application/json"}
DIRECT = "08010000001"


@pytest.fixture
def faulty(at_once: Emulator) -> Iterator[Emulator]:
    """Yield an emulator whose faults are cleared afterwards."""
    yield at_once
    assert at_once.api.delete("/faults").status_code == 204


def put(faulty: Emulator, *rules: dict[str, Any], seed: int = 0) -> dict[str, Any]:
    answer = faulty.api.put("/faults", json={"seed": seed, "rules": list(rules)})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def call(running: Emulator, cwd: Path, *arguments: str) -> list[dict[str, Any]]:
    """Place a call of about a second or two; return its timeline."""
    done = run(
        sys.executable, "-m", "emulator", "call", DIRECT,
        "--target", f"127.0.0.1:{running.sip_port}", *(arguments or ("--seconds", "2")),
        cwd=cwd,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return running.timeline(running.finished_call()["sid"])


def of(story: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [entry["data"] for entry in story if entry["kind"] == kind]


def test_every_kind_is_shown_with_what_it_stands_for(faulty: Emulator) -> None:
    body = faulty.api.get("/faults").json()
    assert body["rules"] == []
    shown = {kind["kind"]: kind["stands_for"] for kind in body["kinds"]}
    assert shown == {kind.name: kind.stands_for for kind in KINDS}


def test_a_rule_that_makes_no_sense_is_refused_and_changes_nothing(
    faulty: Emulator,
) -> None:
    put(faulty, {"kind": "no_answer"})
    for rule in ({"kind": "nonsense"}, {"kind": "drop", "how": "bang"}, 7):
        answer = faulty.api.put("/faults", json={"rules": [rule]})
        assert answer.status_code == 422
        assert answer.json()["error"]["code"] == "bad-request"
    assert [r["kind"] for r in faulty.api.get("/faults").json()["rules"]] == [
        "no_answer"
    ]


def test_what_is_wrong_with_a_request_says_where(faulty: Emulator) -> None:
    broken = faulty.api.put("/faults", content=b"{", headers=JSON)
    assert "the body is no JSON: " in broken.json()["error"]["message"]
    scalar = faulty.api.put("/faults", content=b"7", headers=JSON)
    assert scalar.json()["error"]["message"].startswith("the body: Input should be")


def test_one_call_meets_its_fault_and_the_next_one_none(
    faulty: Emulator, workplace: Path
) -> None:
    put(faulty, {"kind": "refuse", "status": 503, "calls": 1, "number": DIRECT})
    story = call(faulty, workplace)
    (chosen,) = of(story, "fault.chosen")
    assert chosen["fault"] == "refuse"
    assert "load balancer" in chosen["stands_for"]
    assert of(story, "stream.failed")[0]["http_status"] == 503
    (acted,) = of(story, "fault.acted")
    assert acted["fault"] == "refuse"
    assert of(story, "applet.left")[0]["next"] == "bye"
    assert faulty.api.get("/faults").json()["rules"][0]["chosen"] == 1

    story = call(faulty, workplace)
    assert of(story, "fault.chosen") == []
    assert of(story, "stream.opened")


def test_a_drop_ends_the_stream_and_the_flow_goes_on(
    faulty: Emulator, workplace: Path
) -> None:
    put(faulty, {"kind": "drop", "after_s": 0.5, "how": "rst"})
    story = call(faulty, workplace, "--wait", "5")
    (closed,) = of(story, "stream.closed")
    assert (closed["close_code"], closed["closed_first"]) == (1006, "network")
    assert of(story, "call.ended")[0]["by"] == "platform"


def test_a_call_that_the_api_places_may_bring_its_fault(faulty: Emulator) -> None:
    asked = {"to": "09910000009", "flow": "direct", "faults": [{"kind": "refuse"}]}
    placed = faulty.api.post("/calls", json=asked)
    assert placed.status_code == 201, placed.text
    story = faulty.timeline(faulty.finished_call()["sid"])
    assert of(story, "fault.chosen")[0]["fault"] == "refuse"
    assert of(story, "stream.failed")[0]["http_status"] == 503
    wrong = {**asked, "faults": [{"kind": "refus"}]}
    assert faulty.api.post("/calls", json=wrong).status_code == 422


@pytest.mark.parametrize("direction", ["from_caller", "to_caller"])
def test_rtp_is_lost_in_the_direction_that_was_asked_for(
    faulty: Emulator, workplace: Path, direction: str
) -> None:
    put(faulty, {"kind": "rtp", "direction": direction, "loss": 0.5}, seed=3)
    story = call(faulty, workplace, "--seconds", "3")
    assert of(story, "fault.chosen")[0]["loss"] == 0.5
    (acted,) = of(story, "fault.acted")
    assert acted.keys() == {"fault", direction}
    assert acted[direction]["lost"] > 20
    (stats,) = of(story, "media.stats")
    assert (stats["received"]["lost"] > 20) is (direction == "from_caller")


def test_each_direction_of_rtp_may_have_its_own_damage(
    faulty: Emulator, workplace: Path
) -> None:
    put(
        faulty,
        {"kind": "rtp", "direction": "from_caller", "loss": 0.5},
        {"kind": "rtp", "direction": "to_caller", "duplicate": 0.5},
    )
    (acted,) = of(call(faulty, workplace, "--seconds", "4"), "fault.acted")
    assert acted["from_caller"]["lost"] > 20
    assert acted["to_caller"]["duplicated"] > 20
    assert acted["from_caller"]["duplicated"] == acted["to_caller"]["lost"] == 0


TOLD = """\
flow: told
app_id: "1"
start: bot
applets:
  bot: {type: voicebot, url: "${BOT_URL}", next: tell}
  tell: {type: passthru, url: "${TELL_URL}", on_ok: bye, on_other: bye}
  bye: {type: hangup}
"""


def told_call(
    directory: Path, settings: str, bot_url: str
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Place a call on a Voicebot with a Passthru behind it; return what both say."""
    flows = directory / "flows"
    flows.mkdir()
    (flows / "told.yaml").write_text(TOLD)
    config = (
        f"calls: {{ring_ms: 0}}\n{settings}\n"
        f'numbers: [{{number: "{DIRECT}", flow: told}}]\n'
    )
    with webhook_server() as server:
        server.on("/tell", Reply(200))
        env = {
            "BOT_URL": bot_url,
            "TELL_URL": f"{server.url}/tell",
            "EXOTEL_EMULATOR_FLOW__DIRECTORY": str(flows),
        }
        with emulator(directory, config=config, env=env) as running:
            story = call(running, directory, "--wait", "5")
        return story, [asked.parameters for asked in server.asked("/tell")]


def test_a_stream_too_many_is_throttled_and_passthru_is_told(tmp_path: Path) -> None:
    with echo_bot(tmp_path) as (_, port):
        story, told = told_call(
            tmp_path, "stream: {max_streams: 0}", f"ws://127.0.0.1:{port}/media"
        )
    (failed,) = of(story, "stream.failed")
    assert failed["detailed_status"] == "Streaming_call_throttled"
    assert any("stream.max_streams" in note["text"] for note in of(story, "note"))
    (asked,) = told
    assert asked["Stream[Status]"] == "failed"
    assert asked["Stream[DetailedStatus]"] == "Streaming_call_throttled"
    assert asked["Stream[DisconnectedBy]"] == "NA"
    assert asked["Stream[Duration]"] == "0"


@pytest.mark.parametrize(
    "rule", ["{kind: throttle, bytes_per_s: 1000}", "{kind: latency, delay_ms: 60000}"]
)
def test_a_line_that_holds_audio_back_leaves_the_outcome_alone(
    tmp_path: Path, rule: str
) -> None:
    with echo_bot(tmp_path) as (_, port):
        story, told = told_call(
            tmp_path, f"faults: {{rules: [{rule}]}}", f"ws://127.0.0.1:{port}/media"
        )
    (closed,) = of(story, "stream.closed")
    assert (closed["status"], closed["disconnected_by"]) == ("completed", "user")
    assert closed["error"] is None
    assert closed["media_to_bot"] > 0
    assert of(story, "fault.acted")[-1]["never_left"] > 0
    (asked,) = told
    assert asked["Stream[Status]"] == "completed"
    assert asked["Stream[DisconnectedBy]"] == "user"
    assert int(asked["Stream[Duration]"]) >= 4


def test_a_webhook_that_comes_twice_is_the_same_twice(tmp_path: Path) -> None:
    story, told = told_call(
        tmp_path, "faults: {rules: [{kind: webhook_twice}]}", "ws://127.0.0.1:1/media"
    )
    assert of(story, "fault.chosen")[0]["fault"] == "webhook_twice"
    assert of(story, "fault.acted") == [{"fault": "webhook_twice"}]
    first, second = told
    assert first["Stream[Error]"] == (
        "3009 failed to establish ws conn dial tcp 127.0.0.1:1: "
        "connect: connection refused"
    )
    assert first == second
    assert len(of(story, "webhook.sent")) == 2
