"""G.711: every code of both laws."""

import pytest

from emulator.media.g711 import LAWS, PCMA, PCMU, Law, peak, transcode

ALL_CODES = bytes(range(256))


def sample(pcm: bytes, index: int) -> int:
    return int.from_bytes(pcm[2 * index : 2 * index + 2], "little", signed=True)


def ulaw_by_the_book(code: int) -> int:
    """ITU-T G.711 table 2, scaled to 16 bits."""
    code = ~code & 0xFF
    exponent, mantissa = code >> 4 & 7, code & 15
    magnitude = (((mantissa << 3) + 0x84) << exponent) - 0x84
    return -magnitude if code & 0x80 else magnitude


def alaw_by_the_book(code: int) -> int:
    """ITU-T G.711 table 1, scaled to 16 bits."""
    code ^= 0x55
    exponent, mantissa = code >> 4 & 7, code & 15
    magnitude = (mantissa << 4) + 8
    if exponent:
        magnitude = (magnitude + 0x100) << (exponent - 1)
    return magnitude if code & 0x80 else -magnitude


def test_every_mulaw_code_decodes_as_the_standard_says() -> None:
    pcm = PCMU.decode(ALL_CODES)
    assert [sample(pcm, n) for n in range(256)] == [
        ulaw_by_the_book(n) for n in range(256)
    ]


def test_every_alaw_code_decodes_as_the_standard_says() -> None:
    pcm = PCMA.decode(ALL_CODES)
    assert [sample(pcm, n) for n in range(256)] == [
        alaw_by_the_book(n) for n in range(256)
    ]


@pytest.mark.parametrize("law", LAWS.values(), ids=str)
def test_encoding_inverts_decoding(law: Law) -> None:
    # Both zeros of µ-law are one value; the positive code stands for it.
    expected = ALL_CODES.replace(b"\x7f", b"\xff") if law is PCMU else ALL_CODES
    assert law.encode(law.decode(ALL_CODES)) == expected


@pytest.mark.parametrize(
    ("law", "value", "code"),
    [
        (PCMU, 0, 0xFF), (PCMU, 32635, 0x80), (PCMU, -32635, 0x00), (PCMU, 1000, 0xCE),
        (PCMA, 0, 0xD5), (PCMA, 32767, 0xAA), (PCMA, -32768, 0x2A), (PCMA, 1000, 0xFA),
    ],
)  # fmt: skip
def test_reference_pairs(law: Law, value: int, code: int) -> None:
    assert law.encode(value.to_bytes(2, "little", signed=True)) == bytes([code])


@pytest.mark.parametrize("law", LAWS.values(), ids=str)
def test_silence_is_the_quietest_code(law: Law) -> None:
    assert peak(law.quiet(160), law) == min(
        peak(bytes([code]), law) for code in range(256)
    )


def test_transcoding_is_decoding_and_encoding() -> None:
    assert transcode(ALL_CODES, PCMU, PCMA) == PCMA.encode(PCMU.decode(ALL_CODES))
    assert transcode(ALL_CODES, PCMU, PCMU) == ALL_CODES
