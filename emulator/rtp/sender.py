"""Outbound RTP of one leg, without its socket: numbers, clock and packets."""

from __future__ import annotations

from emulator.rtp.packet import (
    FIXED_HEADER,
    MARKER_BIT,
    PLAIN_FIRST_BYTE,
    SEQUENCE_MASK,
    TIMESTAMP_MASK,
)
from emulator.rtp.srtp import SrtpSealer
from emulator.rtp.telephone_event import EventPacket

_pack_header = FIXED_HEADER.pack


class RtpSender:
    """Builds packets.

    Call exactly one of its methods per packet slot: the RTP clock runs with the slots,
    also while nothing is sent, so that a pause on the wire is a pause in time.

    Attributes:
        sealer: Encrypts each packet; None: they leave plain.
    """

    __slots__ = (
        "_frame_bytes", "_marker", "_number", "_payload_type", "_timestamp", "packets",
        "payload_bytes", "sealer", "ssrc",
    )  # fmt: skip

    def __init__(
        self,
        payload_type: int,
        frame_bytes: int,
        ssrc: int,
        number: int,
        timestamp: int,
    ) -> None:
        self.ssrc = ssrc
        self.sealer: SrtpSealer | None = None
        self.packets = 0
        self.payload_bytes = 0
        self._number = number
        self._timestamp = timestamp
        # RFC 3551 §4.1: the first packet after a silence carries the marker.
        self._marker = MARKER_BIT
        self.update(payload_type, frame_bytes)

    def update(self, payload_type: int, frame_bytes: int) -> None:
        """Send another payload type or packet duration from now on."""
        self._payload_type = payload_type
        self._frame_bytes = frame_bytes

    @property
    def rtp_timestamp(self) -> int:
        """The timestamp of the slot that comes next."""
        return self._timestamp

    def audio(self, frame: bytes) -> bytes:
        """Return the packet of one frame of ``frame_bytes`` G.711 bytes."""
        number, timestamp = self._number, self._timestamp
        frame_bytes = self._frame_bytes
        second = self._payload_type | self._marker
        packet = _pack_header(PLAIN_FIRST_BYTE, second, number, timestamp, self.ssrc)
        packet += frame
        self._marker = 0
        self._number = (number + 1) & SEQUENCE_MASK
        self._timestamp = (timestamp + frame_bytes) & TIMESTAMP_MASK
        self.packets += 1
        self.payload_bytes += frame_bytes
        return packet if self.sealer is None else self.sealer.seal(packet)

    def event(self, event: EventPacket, payload_type: int) -> bytes:
        """Return the packet of one telephone-event (RFC 4733 §2.5.1)."""
        header = FIXED_HEADER.pack(
            PLAIN_FIRST_BYTE,
            payload_type | (MARKER_BIT if event.marker else 0),
            self._number,
            (self._timestamp - event.offset_ticks) & TIMESTAMP_MASK,
            self.ssrc,
        )
        self._number = (self._number + 1) & SEQUENCE_MASK
        self._timestamp = (self._timestamp + self._frame_bytes) & TIMESTAMP_MASK
        self.packets += 1
        self.payload_bytes += len(event.payload)
        packet = header + event.payload
        return packet if self.sealer is None else self.sealer.seal(packet)

    def pause(self) -> None:
        """Let one slot pass without a packet."""
        self._timestamp = (self._timestamp + self._frame_bytes) & TIMESTAMP_MASK
        self._marker = MARKER_BIT
