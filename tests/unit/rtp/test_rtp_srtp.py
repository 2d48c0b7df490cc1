"""SRTP of one leg: sealed, opened, forged, replayed (RFC 3711)."""

from __future__ import annotations

import pytest

from emulator.rtp.packet import RtpPacket, pack_packet
from emulator.rtp.srtp import MAX_SOURCES, SrtpOpener, SrtpSealer

SUITES = ["AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"]
TAGGED = list(zip(SUITES, (10, 4), strict=True))
KEY, OTHER_KEY = bytes(range(30)), bytes(range(1, 31))
COMPOUND = bytes((0x80, 201, 0, 1, 0, 0, 0, 7))


def packet(number: int, ssrc: int = 7) -> bytes:
    return pack_packet(RtpPacket(0, number, 160 * number, ssrc, b"\x55" * 160))


@pytest.mark.parametrize(("suite", "tag_bytes"), TAGGED)
def test_what_is_sealed_opens_and_is_not_readable_in_between(
    suite: str, tag_bytes: int
) -> None:
    sealed = SrtpSealer(suite, KEY).seal(packet(1))
    assert len(sealed) == len(packet(1)) + tag_bytes
    assert sealed[:12] == packet(1)[:12] and b"\x55" * 8 not in sealed
    assert SrtpOpener(suite, KEY).open(sealed) == packet(1)


@pytest.mark.parametrize("suite", SUITES)
def test_rtcp_is_sealed_too(suite: str) -> None:
    sealed = SrtpSealer(suite, KEY).seal_rtcp(COMPOUND)
    opener = SrtpOpener(suite, KEY)
    assert opener.open_rtcp(sealed) == COMPOUND
    assert opener.open_rtcp(sealed) is None
    assert opener.open_rtcp(COMPOUND) is None


def test_a_packet_that_was_changed_is_no_packet() -> None:
    sealed = bytearray(SrtpSealer(SUITES[0], KEY).seal(packet(1)))
    opener = SrtpOpener(SUITES[0], KEY)
    for at in (1, 20, len(sealed) - 1):
        damaged = bytes(sealed[:at]) + bytes([sealed[at] ^ 1]) + bytes(sealed[at + 1 :])
        assert opener.open(damaged) is None
    assert opener.open(SrtpSealer(SUITES[0], OTHER_KEY).seal(packet(2))) is None
    assert opener.open(packet(3)) is None
    assert (opener.forged, opener.replayed) == (5, 0)
    assert opener.open(bytes(sealed)) == packet(1)


def test_a_packet_opens_once() -> None:
    sealer, opener = SrtpSealer(SUITES[0], KEY), SrtpOpener(SUITES[0], KEY)
    sealed = [sealer.seal(packet(n)) for n in range(300)]
    assert opener.open(sealed[1]) and opener.open(sealed[0])
    assert opener.open(sealed[0]) is None
    assert opener.open(sealed[299]) is not None
    assert opener.open(sealed[2]) is None  # Too old to tell.
    assert (opener.forged, opener.replayed) == (0, 2)


def test_order_loss_and_a_number_that_wraps_do_not_matter() -> None:
    sealer, opener = SrtpSealer(SUITES[0], KEY), SrtpOpener(SUITES[0], KEY)
    numbers = [n & 0xFFFF for n in range(0xFFF0, 0x10010)]
    sealed = [sealer.seal(packet(n)) for n in numbers]
    sealed[14], sealed[18] = sealed[18], sealed[14]
    del sealed[20]
    assert all(opener.open(data) for data in sealed)


@pytest.mark.parametrize("data", [b"", b"\x80" * 12, b"\x80" * 13, b"\xff" * 2048])
def test_bytes_that_are_no_srtp_are_counted(data: bytes) -> None:
    opener = SrtpOpener(SUITES[0], KEY)
    assert opener.open(data) is None
    assert opener.forged == 1
    assert opener.open_rtcp(data) is None


@pytest.mark.parametrize(("suite", "tag_bytes"), TAGGED)
def test_the_name_of_the_key_is_cut_out(suite: str, tag_bytes: int) -> None:
    sealer, opener = SrtpSealer(suite, KEY), SrtpOpener(suite, KEY, mki_bytes=3)
    sealed = sealer.seal(packet(1))
    named = sealed[:-tag_bytes] + b"\0\0\1" + sealed[-tag_bytes:]
    assert opener.open(named) == packet(1)
    report = sealer.seal_rtcp(COMPOUND)
    assert opener.open_rtcp(report[:-10] + b"\0\0\1" + report[-10:]) == COMPOUND


def test_sources_without_end_are_forgotten_one_by_one() -> None:
    sealer, opener = SrtpSealer(SUITES[0], KEY), SrtpOpener(SUITES[0], KEY)
    for ssrc in range(3 * MAX_SOURCES):
        assert opener.open(sealer.seal(packet(1, ssrc))) == packet(1, ssrc)
