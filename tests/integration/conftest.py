"""Whole emulators for whole calls."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import Emulator, echo_bot, emulator

PEERS = {"sipp": "sip-tester", "baresip": "baresip-core"}


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """Yield an emulator with the default flows and an echo bot behind both numbers."""
    directory = tmp_path_factory.mktemp("emulator")
    with echo_bot(directory) as (_, port):
        url = f"ws://127.0.0.1:{port}/media?sample-rate=8000"
        env = {"BOT_URL": url, "ECHO_BOT_URL": url}
        with emulator(directory, env=env) as started:
            yield started


def _peer(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(
            f"{program} is not installed: this call did NOT run "
            f"(apt-get install {PEERS[program]})"
        )
    return path


@pytest.fixture
def sipp() -> str:
    return _peer("sipp")


@pytest.fixture
def baresip() -> str:
    return _peer("baresip")


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A directory for what a program writes."""
    return tmp_path
