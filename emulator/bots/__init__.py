"""Reference bots: what a customer's bot may look like, each in a few lines.

They stand on ``websockets`` and share nothing with the emulator's own client, so that
two implementations of the protocol meet whenever one calls the other. ``BOTS`` names
them, and the first line of each one's docstring says what it does; importing this loads
no library. ``server.serve_bot`` runs one.
"""

from __future__ import annotations

from collections.abc import Mapping

from emulator.bots.barge_in import BargeInBot
from emulator.bots.base import Bot
from emulator.bots.broken import BROKEN_BOTS
from emulator.bots.echo import EchoBot
from emulator.bots.goodbye import GoodbyeBot
from emulator.bots.recorder import RecorderBot
from emulator.bots.tone import ToneBot

BOTS: Mapping[str, type[Bot]] = {
    "echo": EchoBot,
    "tone": ToneBot,
    "recorder": RecorderBot,
    "barge-in": BargeInBot,
    "goodbye": GoodbyeBot,
    **BROKEN_BOTS,
}

__all__ = ["BOTS", "Bot"]
