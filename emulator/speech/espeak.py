"""eSpeak NG through ctypes; only ever loaded in the rendering child.

Synchronous retrieval (output mode 2) and plain text: mode 1 crashes, and SSML would
make markup of what people type.
"""

from __future__ import annotations

import ctypes
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_OUTPUT_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_POSITION_CHARACTER = 1
_BUFFER_MS = 200
# The library copies the data path into a small fixed buffer (160 bytes).
MAX_DATA_PATH_BYTES = 100

_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class SpeechError(Exception):
    """Why there is no speech."""


@contextmanager
def short_path(data: Path) -> Iterator[Path]:
    """Give a path to the directory ``data`` that fits into the library's buffer."""
    if len(str(data).encode()) <= MAX_DATA_PATH_BYTES:
        yield data
        return
    with tempfile.TemporaryDirectory(prefix="tts", dir="/tmp") as directory:
        link = Path(directory) / data.name
        try:
            link.symlink_to(data)
        except OSError:
            shutil.copytree(data, link)
        yield link


class Espeak:
    """The loaded library with one voice.

    Raises:
        SpeechError: The data or the voice cannot be had.
    """

    def __init__(self, library: str, data: Path, voice: str) -> None:
        try:
            self._library = ctypes.CDLL(library)
        except OSError as error:
            raise SpeechError(f"eSpeak NG does not load: {error}") from error
        self.rate_hz: int = self._library.espeak_Initialize(
            _OUTPUT_SYNCHRONOUS, _BUFFER_MS, str(data).encode(), _DONT_EXIT
        )
        if self.rate_hz <= 0:
            raise SpeechError(f"eSpeak NG finds no data in {data}")
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise SpeechError(f"eSpeak NG has no voice {voice!r}")

    def speak(self, text: str) -> bytes:
        """Return ``text`` as int16 mono samples in this machine's byte order.

        Raises:
            SpeechError: The library refused the text, or there is nothing to hear.
        """
        samples = bytearray()
        callback = self._collector(samples)
        self._library.espeak_SetSynthCallback(callback)
        encoded = text.encode("utf-8", "replace") + b"\0"
        status = self._library.espeak_Synth(
            encoded, len(encoded), 0, _POSITION_CHARACTER, 0, _CHARS_UTF8, None, None
        )
        if status != 0:
            raise SpeechError(f"eSpeak NG refused the text (status {status})")
        if not any(samples):
            raise SpeechError("there is no word to speak in the text")
        return bytes(samples)

    @staticmethod
    def _collector(samples: bytearray) -> Callable[..., int]:
        def collect(wave: object, count: int, events: object) -> int:
            if wave and count > 0:
                samples.extend(ctypes.string_at(wave, 2 * count))  # type: ignore[arg-type]
            return 0

        return _Callback(collect)
