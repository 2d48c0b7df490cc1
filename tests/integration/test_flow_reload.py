"""Flows read again while the emulator runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.cli import signals
from tests.support.flow_world import FlowWorld, flow_world
from tests.support.phone import Phone

pytestmark = pytest.mark.slow

FIRST = """\
start: greet
applets:
  greet: {type: greeting, file: long.wav, next: bye}
  bye: {type: transfer, to: last}
"""
LAST = """\
start: bye
applets:
  bye: {type: hangup}
"""
CHANGED = """\
flow: last
app_id: "2"
start: other
applets:
  other: {type: greeting, text: "...", next: bye}
  bye: {type: hangup}
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    flows = tmp_path / "flows"
    flows.mkdir()
    signals.write_wav(flows / "long.wav", [0] * 8000 * 2, 8000)
    return flows


@pytest.fixture
def world(directory: Path) -> Iterator[FlowWorld]:
    flows = {"first": FIRST, "last": LAST}
    with flow_world(directory.parent, flows, with_bots=()) as started:
        yield started


def test_a_running_call_keeps_its_flows_and_the_next_one_has_the_new(
    world: FlowWorld, directory: Path
) -> None:
    async def talk(phone: Phone) -> None:
        await phone.until("prompt.started")
        (directory / "last.yaml").write_text(CHANGED)
        answer = world.running.api.post("/flows/reload")
        assert answer.status_code == 200
        assert [flow["flow"] for flow in answer.json()["flows"]] == ["first", "last"]

    assert world.call("first", talk).way == ["greet next", "bye None", "bye None"]
    assert world.call("last").way == ["other next", "bye None"]


def test_a_bad_file_leaves_all_flows_as_they_were_and_is_reported_in_full(
    world: FlowWorld, directory: Path
) -> None:
    (directory / "last.yaml").write_text(
        'flow: last\napp_id: "2"\nstart: bye\napplets:\n'
        "  bye: {type: hangupp, reson: x}\n"
        "  more: {type: greeting, txt: Hi, next: bey}\n"
    )
    answer = world.running.api.post("/flows/reload")
    assert answer.status_code == 422
    body = answer.json()
    assert body["error"]["code"] == "flows"
    problems = "\n".join(body["problems"])
    assert "last.yaml:5" in problems and "hangup" in problems
    assert "last.yaml:6" in problems and "'text'" in problems and "'bye'" in problems
    assert world.call("last").way == ["bye None"]


def test_a_flow_that_a_number_needs_cannot_be_taken_away(
    world: FlowWorld, directory: Path
) -> None:
    (directory / "last.yaml").unlink()
    (directory / "first.yaml").write_text(
        (directory / "first.yaml").read_text().replace("transfer, to: last", "hangup")
    )
    answer = world.running.api.post("/flows/reload")
    assert answer.status_code == 422
    problems = answer.json()["problems"]
    assert any("wants flow 'last'" in problem for problem in problems)


def test_flows_can_be_listed(world: FlowWorld) -> None:
    flows = world.running.api.get("/flows").json()["flows"]
    assert flows == [
        {"flow": "first", "app_id": "1", "applets": 2},
        {"flow": "last", "app_id": "2", "applets": 1},
    ]
