"""Whether the peer of a leg is there: since when, and for how long it was silent."""

from __future__ import annotations


class Presence:
    """What one leg knows of its peer's coming and going.

    Attributes:
        started_s: When the call was up; None: it is not.
        sign_s: The last RTP that was no audio, or what stands for one: the start, a new
            offer. Any RTP tells that the peer is there; audio is timed elsewhere.
    """

    __slots__ = ("_first_audio_s", "_is_reported", "sign_s", "started_s")

    def __init__(self, now_s: float) -> None:
        self.started_s: float | None = None
        self.sign_s = now_s
        self._first_audio_s: float | None = None
        self._is_reported = False

    def start(self, now_s: float) -> None:
        """The call is up."""
        self.started_s = self.sign_s = now_s

    def is_first_audio(self, now_s: float) -> bool:
        """Take note of audio; True for the first."""
        if self._first_audio_s is not None:
            return False
        self._first_audio_s = now_s
        return True

    def is_newly_absent(self, silent_s: float, timeout_s: float) -> bool:
        """Whether the silence has just become too long: each time is told once."""
        is_absent = silent_s >= timeout_s
        is_news = is_absent and not self._is_reported
        self._is_reported = is_absent
        return is_news

    @property
    def first_audio_ms(self) -> int | None:
        """From the start to the first audio, 0 when it came before; None: none yet."""
        if self.started_s is None or self._first_audio_s is None:
            return None
        return max(0, round((self._first_audio_s - self.started_s) * 1000))
