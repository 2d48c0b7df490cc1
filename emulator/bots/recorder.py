"""A bot that keeps what it hears."""

from __future__ import annotations

import wave

from emulator.bots.base import SAMPLE_BYTES, Bot


class RecorderBot(Bot):
    """Writes the caller's audio to <stream_sid>.wav and says nothing."""

    recording: wave.Wave_write | None = None

    async def on_start(self) -> None:
        """Open the file; a stream's name comes from outside, so only letters stay."""
        name = "".join(char for char in self.stream_sid if char.isalnum())[:64]
        path = self.directory / f"{name or 'stream'}.wav"
        self.recording = wave.open(str(path), "wb")  # noqa: SIM115 (on_end closes)
        self.recording.setnchannels(1)
        self.recording.setsampwidth(SAMPLE_BYTES)
        self.recording.setframerate(self.sample_rate_hz)

    async def on_media(self, audio: bytes) -> None:
        """Keep the samples."""
        if self.recording is not None:
            self.recording.writeframes(audio)

    async def on_end(self) -> None:
        """Close the file, which completes its header."""
        if self.recording is not None:
            self.recording.close()
