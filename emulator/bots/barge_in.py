"""A bot that falls silent when the caller speaks."""

from __future__ import annotations

from emulator.bots.base import SAMPLE_BYTES, Bot
from emulator.bots.sound import jingle, loudness

# Louder than the hiss of a line, softer than speech held at arm's length.
SPEECH_LOUDNESS = 500.0
# Shorter sounds are clicks; shorter pauses are breath.
SPEECH_MS = 60
PAUSE_MS = 500


class BargeInBot(Bot):
    """Talks without end; sends clear when the caller speaks, and waits for a pause."""

    loud_ms = 0
    quiet_ms = 0
    is_listening = False

    async def on_start(self) -> None:
        """Begin to talk."""
        await self._talk()

    async def on_mark(self, name: str) -> None:
        """Go on talking, unless the caller does."""
        if not self.is_listening:
            await self._talk()

    async def on_media(self, audio: bytes) -> None:
        """Tell speech from silence, by the clock of the audio itself."""
        heard_ms = len(audio) * 1000 // (SAMPLE_BYTES * self.sample_rate_hz)
        if loudness(audio) >= SPEECH_LOUDNESS:
            self.loud_ms, self.quiet_ms = self.loud_ms + heard_ms, 0
        else:
            self.loud_ms, self.quiet_ms = 0, self.quiet_ms + heard_ms
        if not self.is_listening and self.loud_ms >= SPEECH_MS:
            self.is_listening = True
            await self.clear()
        elif self.is_listening and self.quiet_ms >= PAUSE_MS:
            self.is_listening = False
            await self._talk()

    async def _talk(self) -> None:
        await self.speak(jingle(self.sample_rate_hz))
        await self.mark("said")
