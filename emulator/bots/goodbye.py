"""A bot that ends the call, but not before it was heard."""

from __future__ import annotations

from emulator.bots.base import Bot
from emulator.bots.sound import jingle

LAST_MARK = "goodbye"


class GoodbyeBot(Bot):
    """Says one sentence, waits until it was heard, and closes."""

    async def on_start(self) -> None:
        """Say it, and mark its end."""
        await self.speak(jingle(self.sample_rate_hz))
        await self.mark(LAST_MARK)

    async def on_mark(self, name: str) -> None:
        """It was heard: close."""
        if name == LAST_MARK:
            await self.hang_up(1000, "goodbye")
