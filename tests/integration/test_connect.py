"""Connect through real calls: who is rung, who talks, and by which exit it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from emulator.cli import signals
from tests.support.phone import calling
from tests.support.processes import Emulator, emulator
from tests.support.webhooks import Reply, WebhookServer, webhook_server

# Whole processes, in real time.
pytestmark = pytest.mark.slow

AGENT_HZ, CALLER_HZ = 660.0, 400.0
CONFIG = """\
calls: {{ring_ms: 0}}
flow: {{directory: flows}}
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
    "strange": 'dial: ["09910000099", "user:alice"]',
    "limit": 'dial: ["09910000001"], max_talk_s: 0.5',
    "dynamic": 'url: "${HOOKS}/connect"',
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


def number_of(name: str) -> str:
    return f"0801000{list(FLOWS).index(name):04}"


@pytest.fixture(scope="module")
def hooks() -> Iterator[WebhookServer]:
    with webhook_server() as server:
        yield server


@pytest.fixture(scope="module")
def connecting(
    tmp_path_factory: pytest.TempPathFactory, hooks: WebhookServer
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
    with emulator(directory, config=CONFIG.format(numbers=numbers), env=env) as running:
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
