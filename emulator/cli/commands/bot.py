"""``bot``: run a reference bot until a signal."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

from emulator.bots.server import serve_bot
from emulator.errors import ExitStatus


def run(*, name: str, host: str, port: int, with_parent: bool) -> ExitStatus:
    """Serve; return after SIGINT or SIGTERM.

    Args:
        with_parent: Also return when standard input is closed, as it is when the
            process at its other end has died.
    """
    # A port scan or a health check is no news; the bot reports its streams itself.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    return asyncio.run(_serve(name, host, port, with_parent))


async def _serve(name: str, host: str, port: int, with_parent: bool) -> ExitStatus:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    if with_parent:
        loop.add_reader(sys.stdin.fileno(), stopping.set)
    prefix = f"bot {name} {port}:"
    bot = await serve_bot(
        name, host, port, report=lambda line: print(prefix, line, flush=True)
    )
    async with bot:
        print(f"{prefix} listens on ws://{host}:{bot.port}/media", flush=True)
        await stopping.wait()
    return ExitStatus.OK
