"""Bots that are broken on purpose, in exactly one way each.

Most are an echo bot otherwise, so that the fault is the only thing to see.
"""

from __future__ import annotations

import base64
import io
import socket
import struct
import wave
from collections.abc import Mapping

from emulator.bots.base import SAMPLE_BYTES, Bot
from emulator.bots.echo import EchoBot
from emulator.bots.sound import jingle


class SilentBot(Bot):
    """Listens and never says anything."""


class GarbageBot(Bot):
    """Answers with text that is no JSON."""

    async def on_media(self, audio: bytes) -> None:
        """Send what looks like JSON and is none."""
        await self.socket.send('{"event": "media", "media": {"payload": ')


class BinaryBot(Bot):
    """Answers with bare samples in binary messages."""

    async def on_media(self, audio: bytes) -> None:
        """Send the samples as they are."""
        await self.socket.send(audio)


class CamelCaseBot(EchoBot):
    """Writes streamSid instead of stream_sid."""

    async def play(self, audio: bytes) -> None:
        """Send the samples under the other spelling."""
        payload = base64.b64encode(audio).decode("ascii")
        await self.send_json(
            event="media", streamSid=self.stream_sid, media={"payload": payload}
        )


class ForeignBot(EchoBot):
    """Names a stream that is not the caller's."""

    async def on_start(self) -> None:
        """Forget whose call this is."""
        self.stream_sid = "0" * 32


class NumberBot(EchoBot):
    """Counts its messages in JSON numbers."""

    count = 0

    async def play(self, audio: bytes) -> None:
        """Send the samples with counters nobody asked for."""
        self.count += 1
        payload = base64.b64encode(audio).decode("ascii")
        await self.send_event(
            "media",
            sequence_number=self.count,
            media={"chunk": self.count, "timestamp": 0, "payload": payload},
        )


class OddBot(EchoBot):
    """Cuts its audio in the middle of samples."""

    async def play(self, audio: bytes) -> None:
        """Send the samples in two messages of odd length."""
        await super().play(audio[:161])
        await super().play(audio[161:])


class WavBot(Bot):
    """Sends a WAV file, header and all."""

    async def on_start(self) -> None:
        """Send the file in one message."""
        file = io.BytesIO()
        with wave.open(file, "wb") as recording:
            recording.setnchannels(1)
            recording.setsampwidth(SAMPLE_BYTES)
            recording.setframerate(self.sample_rate_hz)
            recording.writeframes(jingle(self.sample_rate_hz))
        await self.play(file.getvalue())


class HugeBot(Bot):
    """Sends a minute of audio in one message, and three seconds of it too much."""

    async def on_start(self) -> None:
        """Send more than the 2 MiB that a message may have."""
        await self.play(bytes(2 * 1024 * 1024))


class MarkLoopBot(Bot):
    """Answers every mark with a mark, for ever."""

    async def on_start(self) -> None:
        """Begin the loop."""
        await self.mark("0")

    async def on_mark(self, name: str) -> None:
        """Go round."""
        await self.mark(str(int(name) + 1))


class CrashBot(Bot):
    """Dies of its own error upon the first audio; the close code is 1011."""

    async def on_media(self, audio: bytes) -> None:
        """Fail."""
        raise RuntimeError("this bot crashes on purpose")


class VanishBot(Bot):
    """Resets the connection upon the first audio, without a close."""

    async def on_media(self, audio: bytes) -> None:
        """Be gone: a linger of zero seconds turns the close into a reset."""
        sock = self.socket.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.transport.abort()


class DeafBot(Bot):
    """Stops reading after start."""

    async def on_start(self) -> None:
        """Read no further, until the other side gives up."""
        await self.socket.wait_closed()


class StopBot(EchoBot):
    """Sends stop upon the first key, and does not close."""

    async def on_dtmf(self, digit: str) -> None:
        """Say what only the platform says."""
        await self.send_event("stop")


class RefusingBot(Bot):
    """Answers the upgrade with 401."""

    refuses_with = 401


class SlowBot(EchoBot):
    """Answers the upgrade after 11 seconds, one too many."""

    answers_after_s = 11.0


BROKEN_BOTS: Mapping[str, type[Bot]] = {
    "broken-binary": BinaryBot,
    "broken-camel-case": CamelCaseBot,
    "broken-crash": CrashBot,
    "broken-deaf": DeafBot,
    "broken-foreign": ForeignBot,
    "broken-garbage": GarbageBot,
    "broken-huge": HugeBot,
    "broken-mark-loop": MarkLoopBot,
    "broken-numbers": NumberBot,
    "broken-odd": OddBot,
    "broken-refusing": RefusingBot,
    "broken-silent": SilentBot,
    "broken-slow": SlowBot,
    "broken-stop": StopBot,
    "broken-vanish": VanishBot,
    "broken-wav": WavBot,
}
