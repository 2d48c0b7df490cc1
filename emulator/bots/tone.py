"""A tone that marks pace and keys change."""

from __future__ import annotations

from emulator.bots.base import Bot
from emulator.bots.sound import tone

DEFAULT_HZ = 440


class ToneBot(Bot):
    """Plays a tone without end; keys 1-9 choose 100-900 Hz, # hangs up.

    It never runs more than two seconds ahead: each second ends in a mark, whose echo
    asks for the next one.
    """

    frequency_hz = DEFAULT_HZ
    seconds_sent = 0
    # The first second of the tone that plays now; what came before was cleared.
    first_second = 0

    async def on_start(self) -> None:
        """Send two seconds, so that the second covers the way of the first mark."""
        await self._send_second()
        await self._send_second()

    async def on_mark(self, name: str) -> None:
        """A second was heard, unless its mark is one of before a clear."""
        if int(name) >= self.first_second:
            await self._send_second()

    async def on_dtmf(self, digit: str) -> None:
        """Change the tone at once, or hang up."""
        if digit == "#":
            await self.hang_up(1000, "# was pressed")
        elif digit in "123456789":
            self.frequency_hz = 100 * int(digit)
            self.first_second = self.seconds_sent
            await self.clear()
            await self.on_start()

    async def _send_second(self) -> None:
        await self.speak(tone(self.frequency_hz, 1.0, self.sample_rate_hz))
        await self.mark(str(self.seconds_sent))
        self.seconds_sent += 1
