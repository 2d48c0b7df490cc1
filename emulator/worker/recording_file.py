"""The file of one recording: made, written and ended outside the tick.

The file has its final name from the start and can be played at any moment: whoever
kills this process loses what had not been handed over yet.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from emulator.media.digit_silence import DigitSilencer
from emulator.media.g711 import BYTES_PER_MS, Law
from emulator.media.recording import Encoder, arrange, make_encoder
from emulator.worker.messages import StartRecording

# Silence for audio that was dropped is written in pieces of a second.
_GAP_BYTES = 1000 * BYTES_PER_MS


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of both sides in G.711: the same length of each.

    Attributes:
        gap_bytes: Instead of audio: so much was dropped here.
    """

    law: Law
    peer: bytes = b""
    ours: bytes = b""
    gap_bytes: int = 0

    def cut_to(self, size: int) -> Stretch:
        """Return its first ``size`` bytes; itself when it has no more."""
        if len(self.ours) <= size:
            return self
        return Stretch(self.law, self.peer[:size], self.ours[:size])


class RecordingFile:
    """Writes one recording; used by one thread at a time.

    Attributes:
        duration_ms: Audio taken in, silence for dropped audio included.
        size_bytes: Length of the file.
    """

    def __init__(self, command: StartRecording) -> None:
        self._command = command
        self._fd = -1
        self._encoder: Encoder | None = None
        silences = command.hide_digits
        self._silencers = (DigitSilencer(), DigitSilencer()) if silences else None
        self._header = b""
        self._taken_bytes = 0
        self.size_bytes = 0

    @property
    def duration_ms(self) -> int:
        return self._taken_bytes // BYTES_PER_MS

    def write(self, stretches: list[Stretch], *, is_last: bool) -> None:
        """Append stretches; with ``is_last`` complete and close the file.

        Raises:
            OSError, ValueError, ImportError: The file is closed as it is by then.
        """
        try:
            self._write(stretches, is_last=is_last)
        except BaseException:
            self.close()
            raise
        if is_last:
            self.close()

    def close(self) -> None:
        """Give the file back as it is."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _write(self, stretches: list[Stretch], *, is_last: bool) -> None:
        encoder = self._encoder or self._open()
        for stretch in stretches:
            self._take(encoder, stretch)
        if is_last:
            if self._silencers is not None:
                peer, ours = (silencer.finish() for silencer in self._silencers)
                self._append(encoder.encode(self._arranged(peer, ours)))
            self._append(encoder.finish())
        header = encoder.header(self.size_bytes - len(self._header))
        if header != self._header:
            os.pwrite(self._fd, header, 0)
            self._header = header

    def _open(self) -> Encoder:
        command = self._command
        self._encoder = encoder = make_encoder(command.format, command.channels)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self._fd = os.open(command.path, flags, 0o644)
        self._header = encoder.header(0)
        self._append(self._header)
        return encoder

    def _take(self, encoder: Encoder, stretch: Stretch) -> None:
        if stretch.gap_bytes:
            self._take_gap(encoder, stretch)
            return
        self._taken_bytes += len(stretch.ours)
        peer, ours = stretch.law.decode(stretch.peer), stretch.law.decode(stretch.ours)
        if self._silencers is not None:
            peer = self._silencers[0].pass_through(peer)
            ours = self._silencers[1].pass_through(ours)
        self._append(encoder.encode(self._arranged(peer, ours)))

    def _take_gap(self, encoder: Encoder, gap: Stretch) -> None:
        left = gap.gap_bytes
        while left:
            part = min(left, _GAP_BYTES)
            quiet = gap.law.quiet(part)
            self._take(encoder, Stretch(gap.law, quiet, quiet))
            left -= part

    def _arranged(self, peer: bytes, ours: bytes) -> bytes:
        if self._command.parties == "caller":
            ours = bytes(len(peer))
        return arrange(peer, ours, self._command.channels)

    def _append(self, data: bytes) -> None:
        """Write all of ``data`` at the end, however the system cuts it up."""
        view = memoryview(data)
        while view:
            written = os.write(self._fd, view)
            self.size_bytes += written
            view = view[written:]
