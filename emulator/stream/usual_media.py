"""The short way of a bot's media: what its messages look like, all but the audio.

A bot repeats one text around payloads of one length, 50 times a second and call. Once
such a text has been read in full, a message that repeats it around other base64 needs
no JSON: between two quotes no base64 can end a string, so the same text around it means
the same message. What is left to look at is the audio itself.

The short way touches one small object per message. Most of its cost is memory that the
other calls have pushed out of the processor's caches meanwhile, so it counts in one
place and tells in sums.
"""

from __future__ import annotations

from collections.abc import Callable

import pybase64

_NEVER = -1
_WAV_START = b"RIFF"
_decode = pybase64.b64decode

# Takes the sum: how many messages, bytes of audio in each, the rules each has broken.
Settle = Callable[[int, int, tuple[str, ...]], None]


def _nobody(audio: bytes) -> None:
    pass


def _untold(messages: int, audio_bytes: int, rules: tuple[str, ...]) -> None:
    pass


class UsualMedia:
    """The media message of one bot that needs no more reading, if there is one.

    Attributes:
        text_bytes: How long such a message is; no message has this length when none is
            known.
        hear: Gets its audio.
    """

    __slots__ = (
        "_audio_bytes", "_head", "_messages", "_payload_end", "_rules", "_settle",
        "_tail", "hear", "text_bytes",
    )  # fmt: skip

    def __init__(self, settle: Settle) -> None:
        self._settle = settle
        self.hear: Callable[[bytes], None] = _nobody
        self.text_bytes = _NEVER
        self._head = self._tail = b""
        self._payload_end = 0
        self._audio_bytes = 0
        self._rules: tuple[str, ...] = ()
        self._messages = 0

    def take(self, text: bytes) -> bool:
        """Hand on the audio of a message of ``text_bytes``, if it is a usual one.

        Otherwise nothing has happened.
        """
        head = self._head
        if not (text.startswith(head) and text.endswith(self._tail)):
            return False
        try:
            # Strictly, as in the full reading: nothing but base64 passes.
            audio = _decode(text[len(head) : self._payload_end], None, True)
        except ValueError:
            return False
        # Another length is other padding; RIFF may be the start of a WAV file.
        if len(audio) != self._audio_bytes or audio.startswith(_WAV_START):
            return False
        self._messages += 1
        hear = self.hear
        hear(audio)
        return True

    def learn(
        self, head: bytes, tail: bytes, text_bytes: int, audio_bytes: int,
        rules: tuple[str, ...],
    ) -> None:  # fmt: skip
        """Know a message from now on; ``rules`` are those that its size breaks."""
        self.forget()
        self._head, self._tail = head, tail
        self._payload_end = text_bytes - len(tail)
        self._audio_bytes = audio_bytes
        self._rules = rules
        self.text_bytes = text_bytes

    def forget(self) -> None:
        """Know none, until the next is learnt."""
        self.settle()
        self.text_bytes = _NEVER

    def let_go(self) -> None:
        """Know none any more, and hold nobody: the stream is over."""
        self.forget()
        self.hear, self._settle = _nobody, _untold

    def settle(self) -> None:
        """Tell what was taken since the last time."""
        messages, self._messages = self._messages, 0
        if messages:
            self._settle(messages, self._audio_bytes, self._rules)


def no_usual_media() -> UsualMedia:
    """Return one that never learns: every message takes the long way."""
    return UsualMedia(_untold)
