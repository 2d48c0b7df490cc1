"""``bot``: run a reference bot until a signal."""

from __future__ import annotations

import asyncio
import logging
import signal

from emulator.bots.server import serve_bot
from emulator.errors import ExitStatus


def run(*, name: str, host: str, port: int) -> ExitStatus:
    """Serve; return after SIGINT or SIGTERM."""
    # A port scan or a health check is no news; the bot reports its streams itself.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    return asyncio.run(_serve(name, host, port))


async def _serve(name: str, host: str, port: int) -> ExitStatus:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    prefix = f"bot {name} {port}:"
    bot = await serve_bot(
        name, host, port, report=lambda line: print(prefix, line, flush=True)
    )
    async with bot:
        print(f"{prefix} listens on ws://{host}:{bot.port}/media", flush=True)
        await stopping.wait()
    return ExitStatus.OK
