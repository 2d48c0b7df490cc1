"""The caller hears himself: what comes in goes out, message by message."""

from __future__ import annotations

from emulator.bots.base import Bot


class EchoBot(Bot):
    """Returns the caller's audio as it is."""

    async def on_media(self, audio: bytes) -> None:
        """Send the samples back."""
        await self.play(audio)
