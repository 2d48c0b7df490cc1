"""Whole emulators for whole calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import Emulator, echo_bot, emulator
from tests.support.programs import find

# No ringing, and no greeting before the bot; or a flow that hangs up soon.
AT_ONCE = """\
calls: {ring_ms: 0}
flow: {directory: flows, silent_greeting_ms: 300}
numbers:
  - {number: "08010000001", flow: direct}
  - {number: "08010000002", flow: brief}
subscribers: [{number: "09910000009", hangs_up_after_s: 5}]
"""
FLOWS = """\
flow: direct
app_id: "1"
start: bot
applets:
  bot: {type: voicebot, url: "${BOT_URL}", next: bye}
  bye: {type: hangup}
""", """\
flow: brief
app_id: "2"
start: wait
applets:
  wait: {type: greeting, text: "...", next: bye}
  bye: {type: hangup}
"""  # fmt: skip


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """Yield an emulator with the default flows and an echo bot behind both numbers."""
    directory = tmp_path_factory.mktemp("emulator")
    with echo_bot(directory) as (_, port):
        url = f"ws://127.0.0.1:{port}/media?sample-rate=8000"
        env = {"BOT_URL": url, "ECHO_BOT_URL": url}
        with emulator(directory, env=env) as started:
            yield started


@pytest.fixture(scope="session")
def at_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """Yield an emulator that answers without ringing."""
    directory = tmp_path_factory.mktemp("at_once")
    flows = directory / "flows"
    flows.mkdir()
    for number, text in enumerate(FLOWS):
        (flows / f"{number}.yaml").write_text(text)
    with echo_bot(directory) as (_, port):
        env = {
            "BOT_URL": f"ws://127.0.0.1:{port}/media?sample-rate=8000",
            "EXOTEL_EMULATOR_FLOW__DIRECTORY": str(flows),
        }
        with emulator(directory, config=AT_ONCE, env=env) as started:
            yield started


@pytest.fixture
def sipp() -> str:
    return find("sipp")


@pytest.fixture
def baresip() -> str:
    return find("baresip")


@pytest.fixture
def linphonec() -> str:
    return find("linphonec")


@pytest.fixture
def kamailio() -> str:
    return find("kamailio")


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A directory for what a program writes."""
    return tmp_path
