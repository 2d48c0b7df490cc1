"""``bot``: run a reference bot until a signal."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

from emulator.bots import BOTS
from emulator.documents import did_you_mean
from emulator.errors import ConfigError, ExitStatus


def show() -> ExitStatus:
    """Print what bots there are."""
    width = max(map(len, BOTS))
    for name, bot in BOTS.items():
        print(f"{name:<{width}}  {(bot.__doc__ or '').partition(chr(10))[0]}")
    return ExitStatus.OK


def run(*, name: str, host: str, port: int, with_parent: bool) -> ExitStatus:
    """Serve; return after SIGINT or SIGTERM.

    Args:
        with_parent: Also return when standard input is closed, as it is when the
            process at its other end has died.
    """
    if name not in BOTS:
        raise ConfigError(f"there is no bot {name!r}{did_you_mean(name, BOTS)}")
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
    from emulator.bots.server import serve_bot

    prefix = f"bot {name} {port}:"
    bot = await serve_bot(
        name, host, port, report=lambda line: print(prefix, line, flush=True)
    )
    async with bot:
        print(f"{prefix} listens on ws://{host}:{bot.port}/media", flush=True)
        await stopping.wait()
    return ExitStatus.OK
