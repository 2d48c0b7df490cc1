"""G.711 (ITU-T): the two laws as values that carry their conversions."""

from __future__ import annotations

import audioop
from collections.abc import Callable
from dataclasses import dataclass, field

SAMPLE_RATE_HZ = 8000
BYTES_PER_MS = SAMPLE_RATE_HZ // 1000
PCM_SAMPLE_BYTES = 2

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True)
class Law:
    """One companding law.

    Attributes:
        name: ``PCMU`` or ``PCMA``, as SDP names it.
        silence: The byte that decodes to the smallest amplitude.
        decode: G.711 bytes to int16 little-endian PCM of twice the length.
        encode: The inverse, rounding to the nearest code.
    """

    name: str
    silence: int
    decode: Callable[[Buffer], bytes] = field(repr=False)
    encode: Callable[[Buffer], bytes] = field(repr=False)

    def quiet(self, n_bytes: int) -> bytes:
        """Return ``n_bytes`` of silence."""
        return bytes((self.silence,)) * n_bytes


def _decode_ulaw(audio: Buffer) -> bytes:
    return audioop.ulaw2lin(audio, PCM_SAMPLE_BYTES)


def _encode_ulaw(pcm: Buffer) -> bytes:
    return audioop.lin2ulaw(pcm, PCM_SAMPLE_BYTES)


def _decode_alaw(audio: Buffer) -> bytes:
    return audioop.alaw2lin(audio, PCM_SAMPLE_BYTES)


def _encode_alaw(pcm: Buffer) -> bytes:
    return audioop.lin2alaw(pcm, PCM_SAMPLE_BYTES)


PCMU = Law("PCMU", 0xFF, _decode_ulaw, _encode_ulaw)
PCMA = Law("PCMA", 0xD5, _decode_alaw, _encode_alaw)
LAWS = {law.name: law for law in (PCMU, PCMA)}

_ALL_CODES = bytes(range(256))
_TRANSCODING = {
    (source.name, target.name): target.encode(source.decode(_ALL_CODES))
    for source in LAWS.values()
    for target in LAWS.values()
    if source is not target
}


def transcode(audio: Buffer, source: Law, target: Law) -> bytes:
    """Return G.711 ``audio`` of one law in another."""
    if source is target:
        return bytes(audio)
    return bytes(audio).translate(_TRANSCODING[source.name, target.name])


def mix(one: Buffer, other: Buffer, law: Law) -> bytes:
    """Return both voices at once, of equal length; what is too loud is clipped."""
    pcm = audioop.add(law.decode(one), law.decode(other), PCM_SAMPLE_BYTES)
    return law.encode(pcm)


def peak(audio: Buffer, law: Law) -> int:
    """Return the largest absolute sample value in ``audio``, as PCM."""
    return audioop.max(law.decode(audio), PCM_SAMPLE_BYTES)
