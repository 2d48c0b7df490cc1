"""RTCP packets: parse, serialise, refuse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.rtp.rtcp import (
    Goodbye,
    ReceiverReport,
    ReceptionReport,
    RtcpPacket,
    RtcpParseError,
    SenderReport,
    SourceDescription,
    middle_bits,
    ntp_time,
    pack_compound,
    unpack_compound,
)

uint32 = st.integers(0, 2**32 - 1)
reports = st.lists(
    st.builds(
        ReceptionReport,
        uint32,
        st.integers(0, 255),
        st.integers(-(2**23), 2**23 - 1),
        uint32,
        uint32,
        uint32,
        uint32,
    ),
    max_size=3,
).map(tuple)
packets = st.one_of(
    st.builds(
        SenderReport, uint32, st.integers(0, 2**64 - 1), uint32, uint32, uint32, reports
    ),
    st.builds(ReceiverReport, uint32, reports),
    st.builds(
        SourceDescription, uint32, st.text(st.characters(codec="ascii"), max_size=60)
    ),
    st.builds(Goodbye, uint32),
)

# SR with one report block and SDES, as a phone sends them.
COMPOUND = bytes.fromhex(
    "81c8000c 11223344 e0000000 80000000 00000640 0000000a 00000640"
    "55667788 00000000 0001000a 00000005 00000000 00000000"
    "81ca0003 11223344 01046140 78790000".replace(" ", "")
)


def test_a_phones_compound_is_read() -> None:
    report, description = unpack_compound(COMPOUND)
    assert report == SenderReport(
        0x11223344, 0xE000000080000000, 1600, 10, 1600,
        (ReceptionReport(0x55667788, 0, 0, 0x0001000A, 5),),
    )  # fmt: skip
    assert description == SourceDescription(0x11223344, "a@xy")
    assert pack_compound([report, description]) == COMPOUND


@given(st.lists(packets, max_size=4))
def test_unpacking_inverts_packing(compound: list[RtcpPacket]) -> None:
    assert unpack_compound(pack_compound(compound)) == compound


@given(st.binary(max_size=80))
def test_any_bytes_are_packets_or_a_parse_error(data: bytes) -> None:
    try:
        unpack_compound(data)
    except RtcpParseError:
        pass


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x80\xc9", "2 bytes left, less than a header"),
        (b"\x40\xc9\x00\x00", "version 1"),
        (b"\x80\xc9\x00\x01", "type 201 runs past the end"),
        (b"\x81\xc9\x00\x01\x00\x00\x00\x01", "type 201 is too short"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, reason: str) -> None:
    with pytest.raises(RtcpParseError) as caught:
        unpack_compound(data)
    assert str(caught.value) == f"no RTCP packet: {reason}"


def test_unknown_types_are_skipped() -> None:
    assert unpack_compound(b"\x80\xcc\x00\x01abcd" + pack_compound([Goodbye(7)])) == [
        Goodbye(7)
    ]


def test_ntp_counts_from_1900() -> None:
    assert ntp_time(0.5) == (2_208_988_800 << 32) + (1 << 31)
    assert middle_bits(0x1122334455667788) == 0x33445566
