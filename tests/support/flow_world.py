"""An emulator with flows of a test's own, a webhook server and bots, for many calls."""

from __future__ import annotations

import asyncio
import contextlib
import textwrap
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulator.bots.server import RunningBot, serve_bot
from tests.support.phone import Phone, calling
from tests.support.processes import Emulator, emulator
from tests.support.webhooks import WebhookServer, webhook_server

SETTINGS = """\
calls: {ring_ms: 0}
flow: {silent_greeting_ms: 200, directory: flows}
users:
  - {name: alice, password: alice, number: "09900000001"}
"""

Talk = Callable[[Phone], Awaitable[object]]


async def _listen(phone: Phone) -> None:
    """Wait for the platform to end the call."""


@dataclass(frozen=True)
class FlowWorld:
    """Everything that a call through a flow meets."""

    running: Emulator
    webhooks: WebhookServer
    numbers: Mapping[str, str]
    bots: Mapping[str, str]

    def call(self, flow: str, talk: Talk = _listen, **plan: Any) -> Phone:
        """Call the flow's number, do ``talk``, and return the call once it is over."""

        async def live() -> Phone:
            plan.setdefault("caller", "alice")
            async with calling(self.running, self.numbers[flow], **plan) as phone:
                await talk(phone)
                await phone.over()
                return phone

        return asyncio.run(live())


@contextlib.contextmanager
def bots(
    names: Iterable[str], directory: Path | None = None
) -> Iterator[Mapping[str, str]]:
    """Run reference bots on a thread; yields the URL of each.

    They write files to ``directory``.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(20)

    started: dict[str, RunningBot] = {
        name: run(serve_bot(name, directory=directory)) for name in names
    }
    try:
        yield {name: f"ws://127.0.0.1:{bot.port}" for name, bot in started.items()}
    finally:
        for bot in started.values():
            run(bot.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def write_flows(directory: Path, flows: Mapping[str, str]) -> Mapping[str, str]:
    """Write one file for each flow; return a number for each."""
    directory.mkdir(exist_ok=True)
    numbers = {}
    for index, (name, text) in enumerate(flows.items()):
        head = f'flow: {name}\napp_id: "{index + 1}"\n'
        (directory / f"{name}.yaml").write_text(head + textwrap.dedent(text))
        numbers[name] = f"0801100{index:04d}"
    return numbers


@contextlib.contextmanager
def flow_world(
    directory: Path,
    flows: Mapping[str, str],
    *,
    settings: str = "",
    with_bots: Iterable[str] = ("goodbye", "echo"),
    env: Mapping[str, str] | None = None,
) -> Iterator[FlowWorld]:
    """Run all that calls through ``flows`` need.

    In their text, ``${WEBHOOKS}`` is the webhook server, ``${ECHO_BOT}`` a bot's URL.
    """
    numbers = write_flows(directory / "flows", flows)
    wanted = [f'  - {{number: "{n}", flow: {flow}}}\n' for flow, n in numbers.items()]
    config = f"{SETTINGS}{settings}numbers:\n{''.join(wanted)}"
    with webhook_server() as webhooks, bots(with_bots) as urls:
        variables = {
            "WEBHOOKS": webhooks.url,
            "WEBHOOK_HOST": webhooks.host,
            "EXOTEL_EMULATOR_FLOW__DIRECTORY": str(directory / "flows"),
            **{f"{name.upper()}_BOT": url for name, url in urls.items()},
            **(env or {}),
        }
        with emulator(directory, config=config, env=variables) as running:
            yield FlowWorld(running, webhooks, numbers, urls)
