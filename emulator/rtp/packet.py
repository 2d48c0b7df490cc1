"""The RTP packet (RFC 3550 §5.1).

     0                   1                   2                   3
    |V=2|P|X|  CC   |M|     PT      |       sequence number         |
    |                           timestamp                           |
    |                             SSRC                              |
    |                       CSRC (CC times) ...                     |
    |     extension profile         |    extension length (words)   |

``payload_bounds`` and ``FIXED_HEADER`` serve the per-packet path, which reads buffers
in place; ``RtpPacket`` is the same packet as a value.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from emulator.errors import RemoteProtocolError

FIXED_HEADER = struct.Struct("!BBHII")
# The same, its first two bytes as one number: what is equal in nearly all packets.
HEAD_AND_NUMBERS = struct.Struct("!HHII")
HEADER_BYTES = FIXED_HEADER.size
VERSION = 2
# First byte of a packet without padding, extension or CSRC: nearly all of them.
PLAIN_FIRST_BYTE = VERSION << 6
MARKER_BIT = 0x80
PAYLOAD_TYPE_MASK = 0x7F
SEQUENCE_MASK = 0xFFFF
TIMESTAMP_MASK = 0xFFFFFFFF
# RFC 5761 §4: a second byte of 192-223 is RTCP that shares the port.
RTCP_TYPES = range(192, 224)

_PADDING_BIT = 0x20
_EXTENSION_BIT = 0x10
_CSRC_COUNT_MASK = 0x0F
_WORD_BYTES = 4
_EXTENSION_HEADER = struct.Struct("!HH")


class RtpParseError(RemoteProtocolError):
    """Bytes that are no RTP packet; ``reason`` says what is wrong with them."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"no RTP packet: {reason}")
        self.reason = reason


def payload_bounds(packet: bytes | bytearray, length: int) -> tuple[int, int]:
    """Return start and end of the payload in the first ``length`` bytes.

    This is the slow path: it walks CSRCs, extension and padding.

    Raises:
        RtpParseError: Another version than 2, or a field that runs past the end.
    """
    if length < HEADER_BYTES:
        raise RtpParseError(f"{length} bytes, shorter than the header")
    first = packet[0]
    if first >> 6 != VERSION:
        raise RtpParseError(f"version {first >> 6}")
    start = HEADER_BYTES + _WORD_BYTES * (first & _CSRC_COUNT_MASK)
    if first & _EXTENSION_BIT:
        if start + _EXTENSION_HEADER.size > length:
            raise RtpParseError("extension header past the end")
        _, words = _EXTENSION_HEADER.unpack_from(packet, start)
        start += _EXTENSION_HEADER.size + _WORD_BYTES * words
    end = length
    if first & _PADDING_BIT:
        end -= _padding_bytes(packet, length)
    if start > end:
        raise RtpParseError("header and padding longer than the packet")
    return start, end


def _padding_bytes(packet: bytes | bytearray, length: int) -> int:
    count = packet[length - 1]
    if count == 0:
        raise RtpParseError("padding of 0 bytes")
    return count


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One RTP packet as a value.

    Attributes:
        extension: Profile number and content, whose length is a multiple of 4.
        padding_bytes: Padding at the end, its count byte included; 0 for none.
    """

    payload_type: int
    sequence_number: int
    rtp_timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False
    csrcs: tuple[int, ...] = ()
    extension: tuple[int, bytes] | None = None
    padding_bytes: int = 0


def unpack_packet(data: bytes) -> RtpPacket:
    """Parse one datagram.

    Raises:
        RtpParseError: The bytes are no RTP packet.
    """
    start, end = payload_bounds(data, len(data))
    first, second, sequence_number, rtp_timestamp, ssrc = FIXED_HEADER.unpack_from(data)
    csrc_count = first & _CSRC_COUNT_MASK
    csrcs = struct.unpack_from(f"!{csrc_count}I", data, HEADER_BYTES)
    extension = None
    if first & _EXTENSION_BIT:
        at = HEADER_BYTES + _WORD_BYTES * csrc_count
        (profile, _) = _EXTENSION_HEADER.unpack_from(data, at)
        extension = (profile, data[at + _EXTENSION_HEADER.size : start])
    return RtpPacket(
        payload_type=second & PAYLOAD_TYPE_MASK,
        sequence_number=sequence_number,
        rtp_timestamp=rtp_timestamp,
        ssrc=ssrc,
        payload=data[start:end],
        marker=bool(second & MARKER_BIT),
        csrcs=csrcs,
        extension=extension,
        padding_bytes=len(data) - end,
    )


def pack_packet(packet: RtpPacket) -> bytes:
    """Return the datagram of ``packet``; the inverse of ``unpack_packet``."""
    first = PLAIN_FIRST_BYTE | len(packet.csrcs)
    parts = [struct.pack(f"!{len(packet.csrcs)}I", *packet.csrcs)]
    if packet.extension is not None:
        first |= _EXTENSION_BIT
        profile, content = packet.extension
        parts += [_EXTENSION_HEADER.pack(profile, len(content) // _WORD_BYTES), content]
    parts.append(packet.payload)
    if packet.padding_bytes:
        first |= _PADDING_BIT
        parts.append(bytes(packet.padding_bytes - 1) + bytes([packet.padding_bytes]))
    second = packet.payload_type | (MARKER_BIT if packet.marker else 0)
    fixed = FIXED_HEADER.pack(
        first, second, packet.sequence_number, packet.rtp_timestamp, packet.ssrc
    )
    return b"".join([fixed, *parts])
