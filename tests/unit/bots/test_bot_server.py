"""The bots' server: ports, lines, and callers that talk nonsense."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from emulator.bots import BOTS
from emulator.bots.server import serve_bot
from emulator.errors import ExitStatus, ListenError


def test_a_taken_port_is_told_with_the_option_that_changes_it() -> None:
    async def run() -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            with pytest.raises(ListenError, match=f"port {port} .* --port") as caught:
                await serve_bot("echo", "127.0.0.1", port)
            assert caught.value.exit_status is ExitStatus.USAGE

    asyncio.run(run())


def test_an_address_that_is_not_ours_is_told() -> None:
    async def run() -> None:
        with pytest.raises(
            ListenError, match=r"cannot listen on 192\.0\.2\.1 .*--host"
        ):
            await serve_bot("echo", "192.0.2.1", 0)

    asyncio.run(run())


def talk_to(name: str, *messages: Any) -> tuple[list[str], list[Any]]:
    """Send messages to a bot; return its lines and its answers."""
    lines: list[str] = []
    answers: list[Any] = []

    async def run() -> None:
        async with await serve_bot(name, report=lines.append) as bot:
            async with connect(f"ws://127.0.0.1:{bot.port}/") as caller:
                for message in messages:
                    raw = isinstance(message, (str, bytes))
                    await caller.send(message if raw else json.dumps(message))
                # A ping is answered after all that came before it was taken in.
                await (await caller.ping())
                await asyncio.sleep(0.02)
            async for answer in caller:
                answers.append(json.loads(answer))  # noqa: PERF401 (async)

    asyncio.run(run())
    return lines, answers


@pytest.mark.parametrize(
    "nonsense",
    [
        "hello",
        "",
        "42",
        "[]",
        "[" * 5000,
        "{}",
        b"\xff\x00",
        {"event": []},
        {"event": "media"},
        {"event": "media", "media": {"payload": "!"}},
        {"event": "media", "media": {"payload": 7}},
        {"event": "dtmf", "dtmf": {}},
        {"event": "mark"},
        {"event": "stop"},
        {"event": "start", "start": {}},
        {"event": "start", "start": "x"},
        {
            "event": "start",
            "start": {"stream_sid": "x", "media_format": {"sample_rate": "x"}},
        },
    ],
)
@pytest.mark.parametrize("name", ["echo", "tone", "recorder", "barge-in", "goodbye"])
def test_a_bot_survives_nonsense(
    name: str, nonsense: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    lines, _ = talk_to(name, nonsense)
    assert lines[-1] == "(no start) closed 1000" or lines[-1] == "x closed 1000"


def test_a_line_holds_nothing_that_a_terminal_would_obey() -> None:
    start = {
        "stream_sid": "\x1b[2J",
        "from": "a\nb" + "x" * 9999,
        "media_format": {"sample_rate": "8000"},
    }
    lines, _ = talk_to("echo", {"event": "start", "start": start})
    assert lines[0].startswith("\\x1b[2J start from a\\nbxxx")
    assert len(lines[0]) < 1100


def test_a_refusing_bot_answers_the_upgrade_with_its_status() -> None:
    lines: list[str] = []

    async def run() -> None:
        async with await serve_bot("broken-refusing", report=lines.append) as bot:
            with pytest.raises(InvalidStatus) as caught:
                async with connect(f"ws://127.0.0.1:{bot.port}/media"):
                    pass
            assert caught.value.response.status_code == 401

    asyncio.run(run())
    assert lines == ["refused /media with 401"]


def test_closing_a_bot_ends_its_streams_with_1001() -> None:
    async def run() -> None:
        bot = await serve_bot("echo")
        async with connect(f"ws://127.0.0.1:{bot.port}/") as caller:
            await bot.close()
            await caller.wait_closed()
            assert caller.close_code == 1001

    asyncio.run(run())


def test_every_bot_can_be_served() -> None:
    async def run() -> None:
        for name in BOTS:
            async with await serve_bot(name):
                pass

    asyncio.run(run())
