"""RTP packets: parse, serialise, refuse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.rtp.packet import (
    RtpPacket,
    RtpParseError,
    pack_packet,
    payload_bounds,
    unpack_packet,
)

# As a phone sent it: PCMU, marker, 4 bytes of payload.
PLAIN = bytes.fromhex("8080 1234 000000a0 deadbeef ffffffff".replace(" ", ""))
# One CSRC, an extension of one word, 4 bytes of padding behind 2 of payload.
FULL = bytes.fromhex(
    "b1e5 0001 00000002 00000003 00000004 bede0001 11223344 d5d5 00000004".replace(
        " ", ""
    )
)

packets = st.builds(
    RtpPacket,
    payload_type=st.integers(0, 127),
    sequence_number=st.integers(0, 2**16 - 1),
    rtp_timestamp=st.integers(0, 2**32 - 1),
    ssrc=st.integers(0, 2**32 - 1),
    payload=st.binary(max_size=320),
    marker=st.booleans(),
    csrcs=st.lists(st.integers(0, 2**32 - 1), max_size=15).map(tuple),
    extension=st.none()
    | st.tuples(
        st.integers(0, 2**16 - 1),
        st.integers(0, 8).flatmap(lambda n: st.binary(min_size=4 * n, max_size=4 * n)),
    ),
    padding_bytes=st.integers(0, 255),
)


def test_a_plain_packet_is_read() -> None:
    packet = unpack_packet(PLAIN)
    assert packet == RtpPacket(0, 0x1234, 160, 0xDEADBEEF, b"\xff" * 4, marker=True)


def test_csrc_extension_and_padding_are_no_payload() -> None:
    packet = unpack_packet(FULL)
    assert packet.payload == b"\xd5\xd5"
    assert packet.csrcs == (4,)
    assert packet.extension == (0xBEDE, bytes.fromhex("11223344"))
    assert packet.padding_bytes == 4
    assert pack_packet(packet) == FULL


@given(packets)
def test_unpacking_inverts_packing(packet: RtpPacket) -> None:
    assert unpack_packet(pack_packet(packet)) == packet


@given(st.binary(max_size=64))
def test_any_bytes_are_a_packet_or_a_parse_error(data: bytes) -> None:
    try:
        start, end = payload_bounds(data, len(data))
    except RtpParseError:
        return
    assert 12 <= start <= end <= len(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "0 bytes, shorter than the header"),
        (PLAIN[:11], "11 bytes, shorter than the header"),
        (b"\x00" + PLAIN[1:], "version 0"),
        (b"\x90" + PLAIN[1:12], "extension header past the end"),
        (b"\x8f" + PLAIN[1:], "header and padding longer than the packet"),
        (b"\xa0" + PLAIN[1:15] + b"\x00", "padding of 0 bytes"),
        (b"\xa0" + PLAIN[1:15] + b"\x09", "header and padding longer than the packet"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, reason: str) -> None:
    with pytest.raises(RtpParseError) as caught:
        unpack_packet(data)
    assert str(caught.value) == f"no RTP packet: {reason}"
