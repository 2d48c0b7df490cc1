"""RTCP (RFC 3550 §6): sender and receiver reports, CNAME, goodbye.

    |V=2|P|   RC    |      PT       |     length (words - 1)        |

Packets travel in compounds: a report first, then the CNAME (§6.1). Types that are not
listed here are skipped when read.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TypeAlias

from emulator.errors import RemoteProtocolError

VERSION = 2
SENDER_REPORT, RECEIVER_REPORT, SOURCE_DESCRIPTION, GOODBYE = 200, 201, 202, 203
# Seconds from 1900, where NTP begins, to 1970.
NTP_EPOCH_OFFSET_S = 2_208_988_800

_HEADER = struct.Struct("!BBH")
_SSRC = struct.Struct("!I")
_SENDER_INFO = struct.Struct("!IIIII")
_REPORT = struct.Struct("!IIIIII")
_COUNT_MASK = 0x1F
_CNAME = 1
_WORD_BYTES = 4


class RtcpParseError(RemoteProtocolError):
    """Bytes that are no RTCP compound; ``reason`` says what is wrong with them."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"no RTCP packet: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ReceptionReport:
    """What one side says about a source that it receives (§6.4.1).

    Attributes:
        fraction_lost: Since the last report, in 256ths.
        cumulative_lost: Since the beginning; 24 bits, signed.
        highest_number: Extended sequence number.
        last_report: Middle 32 bits of the NTP time of the source's last report; 0:
            none has come.
        delay_ticks: Since that report came, in 1/65536 s.
    """

    ssrc: int
    fraction_lost: int
    cumulative_lost: int
    highest_number: int
    jitter_ticks: int
    last_report: int = 0
    delay_ticks: int = 0


@dataclass(frozen=True, slots=True)
class SenderReport:
    """SR: the sender's clocks and counters.

    Attributes:
        ntp_time: 64-bit NTP timestamp: seconds since 1900, times 2³².
    """

    ssrc: int
    ntp_time: int
    rtp_timestamp: int
    packets: int
    payload_bytes: int
    reports: tuple[ReceptionReport, ...] = ()


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """RR: from a side that sends no audio."""

    ssrc: int
    reports: tuple[ReceptionReport, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """SDES with the one item that everybody must send."""

    ssrc: int
    cname: str


@dataclass(frozen=True, slots=True)
class Goodbye:
    """BYE: the source has ended."""

    ssrc: int


RtcpPacket: TypeAlias = SenderReport | ReceiverReport | SourceDescription | Goodbye


def ntp_time(unix_s: float) -> int:
    """Return the NTP timestamp of a wall-clock time."""
    return int((unix_s + NTP_EPOCH_OFFSET_S) * (1 << 32))


def middle_bits(ntp: int) -> int:
    """Return the 32 bits of an NTP timestamp that reports echo: units of 1/65536 s."""
    return ntp >> 16 & 0xFFFFFFFF


def pack_compound(packets: list[RtcpPacket]) -> bytes:
    """Return the datagram of ``packets``."""
    return b"".join(map(_pack, packets))


def unpack_compound(data: bytes) -> list[RtcpPacket]:
    """Parse one datagram; the inverse of ``pack_compound``.

    Raises:
        RtcpParseError: A packet is cut off, or of another version.
    """
    packets: list[RtcpPacket] = []
    at = 0
    while at < len(data):
        if len(data) - at < _HEADER.size:
            raise RtcpParseError(f"{len(data) - at} bytes left, less than a header")
        first, kind, words = _HEADER.unpack_from(data, at)
        end = at + _HEADER.size + _WORD_BYTES * words
        if first >> 6 != VERSION:
            raise RtcpParseError(f"version {first >> 6}")
        if end > len(data):
            raise RtcpParseError(f"type {kind} runs past the end")
        body = data[at + _HEADER.size : end]
        try:
            packet = _unpack(kind, first & _COUNT_MASK, body)
        except struct.error as error:
            raise RtcpParseError(f"type {kind} is too short") from error
        if packet is not None:
            packets.append(packet)
        at = end
    return packets


def _pack(packet: RtcpPacket) -> bytes:
    match packet:
        case SenderReport():
            info = _SENDER_INFO.pack(
                packet.ntp_time >> 32,
                packet.ntp_time & 0xFFFFFFFF,
                packet.rtp_timestamp,
                packet.packets & 0xFFFFFFFF,
                packet.payload_bytes & 0xFFFFFFFF,
            )
            body = info + _pack_reports(packet.reports)
            kind, count = SENDER_REPORT, len(packet.reports)
        case ReceiverReport():
            body = _pack_reports(packet.reports)
            kind, count = RECEIVER_REPORT, len(packet.reports)
        case SourceDescription():
            name = packet.cname.encode()
            item = bytes((_CNAME, len(name))) + name
            # At least one zero octet ends the list; the chunk fills whole words.
            body = item + bytes(_WORD_BYTES - len(item) % _WORD_BYTES)
            kind, count = SOURCE_DESCRIPTION, 1
        case Goodbye():
            body, kind, count = b"", GOODBYE, 1
    words = (_SSRC.size + len(body)) // _WORD_BYTES
    header = _HEADER.pack(VERSION << 6 | count, kind, words)
    return header + _SSRC.pack(packet.ssrc) + body


def _pack_reports(reports: tuple[ReceptionReport, ...]) -> bytes:
    return b"".join(
        _REPORT.pack(
            report.ssrc,
            report.fraction_lost << 24 | report.cumulative_lost & 0xFFFFFF,
            report.highest_number & 0xFFFFFFFF,
            report.jitter_ticks,
            report.last_report,
            report.delay_ticks,
        )
        for report in reports
    )


def _unpack(kind: int, count: int, body: bytes) -> RtcpPacket | None:
    if kind == SENDER_REPORT:
        (ssrc,) = _SSRC.unpack_from(body)
        high, low, timestamp, packets, size = _SENDER_INFO.unpack_from(body, 4)
        reports = _unpack_reports(body, 4 + _SENDER_INFO.size, count)
        return SenderReport(ssrc, high << 32 | low, timestamp, packets, size, reports)
    if kind == RECEIVER_REPORT:
        (ssrc,) = _SSRC.unpack_from(body)
        return ReceiverReport(ssrc, _unpack_reports(body, 4, count))
    if kind == SOURCE_DESCRIPTION and count:
        return _unpack_description(body)
    if kind == GOODBYE and count:
        return Goodbye(*_SSRC.unpack_from(body))
    return None


def _unpack_reports(body: bytes, start: int, count: int) -> tuple[ReceptionReport, ...]:
    reports = []
    for index in range(count):
        ssrc, loss, highest, jitter, last, delay = _REPORT.unpack_from(
            body, start + index * _REPORT.size
        )
        lost = loss & 0xFFFFFF
        signed = lost - (1 << 24) if lost & 0x800000 else lost
        reports.append(
            ReceptionReport(ssrc, loss >> 24, signed, highest, jitter, last, delay)
        )
    return tuple(reports)


def _unpack_description(body: bytes) -> SourceDescription | None:
    """Read the CNAME of the first chunk; other items and chunks say nothing to us."""
    (ssrc,) = _SSRC.unpack_from(body)
    at = _SSRC.size
    while at + 2 <= len(body) and body[at]:
        kind, length = body[at], body[at + 1]
        if kind == _CNAME:
            text = body[at + 2 : at + 2 + length]
            return SourceDescription(ssrc, text.decode("utf-8", "replace"))
        at += 2 + length
    return None
