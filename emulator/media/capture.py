"""What one side heard, as a WAV in true time."""

from __future__ import annotations

import wave

from emulator.media.g711 import SAMPLE_RATE_HZ, Buffer, Law, peak, transcode

# An hour of G.711 is 29 MB; what comes later is not kept.
MAX_CAPTURE_S = 3600
# A frame that comes later than the audio before it explains is put at its time; less
# than this is network jitter, which a phone's own buffer would hide.
MAX_DRIFT_S = 0.06
# Louder than this is sound; the silence codes of both laws are far below.
QUIET_PEAK = 64


class Capture:
    """Collects received frames; gaps of arrival become silence."""

    def __init__(self, law: Law, start_s: float) -> None:
        self._law = law
        self._start_s = start_s
        self._audio = bytearray()
        self.first_sound_s: float | None = None

    @property
    def duration_s(self) -> float:
        """How much was kept."""
        return len(self._audio) / SAMPLE_RATE_HZ

    def use_law(self, law: Law) -> None:
        """What comes from now on is in ``law``."""
        self._audio[:] = transcode(self._audio, self._law, law)
        self._law = law

    def hear(self, frame: Buffer, arrival_s: float) -> None:
        """Add one frame that arrived at ``arrival_s``."""
        late_s = arrival_s - self._start_s - self.duration_s
        if self.duration_s + late_s > MAX_CAPTURE_S:
            return
        if late_s > MAX_DRIFT_S:
            self._audio += self._law.quiet(int(late_s * SAMPLE_RATE_HZ))
        if self.first_sound_s is None and peak(frame, self._law) > QUIET_PEAK:
            self.first_sound_s = arrival_s
        self._audio += frame

    def pcm(self) -> bytes:
        """Return what was heard: int16 little-endian mono, 8 kHz."""
        return self._law.decode(self._audio)

    def save(self, path: str) -> None:
        """Write a WAV file."""
        with wave.open(path, "wb") as writer:
            writer.setnchannels(1)
            writer.setsampwidth(2)
            writer.setframerate(SAMPLE_RATE_HZ)
            writer.writeframes(self.pcm())
