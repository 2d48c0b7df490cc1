"""Reference bots: what a customer's bot may look like, each in a few lines.

They stand on ``websockets`` and share nothing with the emulator's own client, so that
two implementations of the protocol meet whenever one calls the other. ``BOTS`` names
them; ``server.serve_bot`` runs one.
"""

from __future__ import annotations

from collections.abc import Mapping

from emulator.bots.base import Bot, BotFactory
from emulator.bots.echo import EchoBot

BOTS: Mapping[str, BotFactory] = {
    "echo": EchoBot,
}

__all__ = ["BOTS", "Bot", "BotFactory"]
