"""Audio files decoded once, in the leg's own codec, shared by every call.

``read_prompt`` blocks and belongs in a thread; ``PromptCache`` belongs to the loop.
8 kHz mono 16-bit WAV takes the short way; all else (other WAV, MP3, …) goes through
``av``, which is loaded there, at first use.
"""

from __future__ import annotations

import os
import wave
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from emulator.errors import EmulatorError
from emulator.media.g711 import PCM_SAMPLE_BYTES, SAMPLE_RATE_HZ, Law

# A prompt longer than this is a mistake; the limit bounds memory (4.8 MB).
MAX_PROMPT_S = 600
# Some hundred prompts of a minute.
MAX_CACHE_BYTES = 64 << 20

_MAX_PCM_BYTES = MAX_PROMPT_S * SAMPLE_RATE_HZ * PCM_SAMPLE_BYTES


class PromptError(EmulatorError):
    """A prompt that cannot be played: which file, and why."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"prompt {path}: {reason}")
        self.path = path
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells one version of a file from another."""

    mtime_ns: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Prompt:
    """A decoded file: G.711 audio and the version that it was made of."""

    stamp: Stamp
    audio: bytes


def read_prompt(path: str, law: Law, known: Prompt | None) -> Prompt:
    """Return the prompt in ``path``; ``known`` itself when the file is unchanged.

    Raises:
        PromptError: The file cannot be read or holds no usable audio.
    """
    try:
        status = os.stat(path)
        stamp = Stamp(status.st_mtime_ns, status.st_size)
        if known is not None and known.stamp == stamp:
            return known
        pcm = _read_plain_wav(path)
    except OSError as error:
        raise PromptError(path, error.strerror or str(error)) from error
    if pcm is None:
        pcm = _decode(path)
    if len(pcm) > _MAX_PCM_BYTES:
        raise PromptError(path, f"longer than {MAX_PROMPT_S} s")
    if not pcm:
        raise PromptError(path, "no audio in it")
    return Prompt(stamp, law.encode(pcm))


def _read_plain_wav(path: str) -> bytes | None:
    """Return the PCM of an 8 kHz mono 16-bit WAV; None for any other file."""
    try:
        with wave.open(path, "rb") as reader:
            if (reader.getframerate(), reader.getnchannels()) != (SAMPLE_RATE_HZ, 1):
                return None
            if reader.getsampwidth() != PCM_SAMPLE_BYTES:
                return None
            pcm = reader.readframes(_MAX_PCM_BYTES // PCM_SAMPLE_BYTES + 1)
    except (wave.Error, EOFError):
        return None
    return pcm[: len(pcm) // PCM_SAMPLE_BYTES * PCM_SAMPLE_BYTES]


def _decode(path: str) -> bytes:
    import av

    parts: list[bytes] = []
    size_bytes = 0
    try:
        for part in _decoded_parts(path):
            parts.append(part)
            size_bytes += len(part)
            if size_bytes > _MAX_PCM_BYTES:
                break
    except (av.error.FFmpegError, ValueError) as error:
        raise PromptError(path, f"no audio that can be decoded: {error}") from error
    return b"".join(parts)


def _decoded_parts(path: str) -> Iterator[bytes]:
    import av

    # Only this file: a playlist inside it opens nothing else.
    with av.open(path, options={"protocol_whitelist": "file"}) as container:
        if not container.streams.audio:
            return
        resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE_HZ)
        for frame in container.decode(container.streams.audio[0]):
            for out in resampler.resample(frame):
                yield bytes(out.planes[0])[: out.samples * PCM_SAMPLE_BYTES]
        for out in resampler.resample(None):
            yield bytes(out.planes[0])[: out.samples * PCM_SAMPLE_BYTES]


class PromptCache:
    """The newest version of each prompt; the least used go first."""

    def __init__(self, max_bytes: int = MAX_CACHE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._prompts: OrderedDict[tuple[str, str], Prompt] = OrderedDict()
        self._size_bytes = 0

    def get(self, path: str, law: Law) -> Prompt | None:
        """Return what is known of ``path``; the file may have changed since."""
        key = (path, law.name)
        prompt = self._prompts.get(key)
        if prompt is not None:
            self._prompts.move_to_end(key)
        return prompt

    def put(self, path: str, law: Law, prompt: Prompt) -> None:
        """Keep ``prompt``."""
        key = (path, law.name)
        old = self._prompts.pop(key, None)
        self._size_bytes += len(prompt.audio) - (len(old.audio) if old else 0)
        self._prompts[key] = prompt
        while self._size_bytes > self._max_bytes:
            _, oldest = self._prompts.popitem(last=False)
            self._size_bytes -= len(oldest.audio)
