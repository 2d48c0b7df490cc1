"""Outbound RTP of one leg, without its socket: numbers, clock and packets."""

from __future__ import annotations

from emulator.rtp.packet import (
    HEAD_AND_NUMBERS,
    MARKER_BIT,
    PLAIN_FIRST_BYTE,
    SEQUENCE_MASK,
    TIMESTAMP_MASK,
)
from emulator.rtp.srtp import SrtpSealer
from emulator.rtp.telephone_event import EventPacket

_pack_header = HEAD_AND_NUMBERS.pack


class RtpSender:
    """Builds packets.

    Call exactly one of its methods per packet slot: the RTP clock runs with the slots,
    also while nothing is sent, so that a pause on the wire is a pause in time.

    Attributes:
        sealer: Encrypts each packet; None: they leave plain.
    """

    __slots__ = (
        "_first_number", "_first_timestamp", "_frame_bytes", "_head", "_number",
        "_other_ticks", "_plain_head", "_timestamp", "sealer", "ssrc",
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
        # Both run on without a wrap: what was sent is read off them.
        self._number = self._first_number = number
        self._timestamp = self._first_timestamp = timestamp
        # Of the timestamps passed, those that no audio byte went with.
        self._other_ticks = 0
        # RFC 3551 §4.1: the first packet after a silence carries the marker.
        self._head = MARKER_BIT
        self.update(payload_type, frame_bytes)

    def update(self, payload_type: int, frame_bytes: int) -> None:
        """Send another payload type or packet duration from now on."""
        self._frame_bytes = frame_bytes
        self._plain_head = PLAIN_FIRST_BYTE << 8 | payload_type
        self._head = self._plain_head | self._head & MARKER_BIT

    @property
    def rtp_timestamp(self) -> int:
        """The timestamp of the slot that comes next."""
        return self._timestamp & TIMESTAMP_MASK

    @property
    def packets(self) -> int:
        """How many have been built."""
        return self._number - self._first_number

    @property
    def payload_bytes(self) -> int:
        """What they carried."""
        return self._timestamp - self._first_timestamp - self._other_ticks

    def audio(self, frame: bytes) -> bytes:
        """Return the packet of one frame of ``frame_bytes`` G.711 bytes."""
        number, timestamp = self._number, self._timestamp
        packet = _pack_header(
            self._head, number & SEQUENCE_MASK, timestamp & TIMESTAMP_MASK, self.ssrc
        )
        packet += frame
        self._head = self._plain_head
        self._number = number + 1
        self._timestamp = timestamp + self._frame_bytes
        return packet if self.sealer is None else self.sealer.seal(packet)

    def event(self, event: EventPacket, payload_type: int) -> bytes:
        """Return the packet of one telephone-event (RFC 4733 §2.5.1)."""
        header = _pack_header(
            PLAIN_FIRST_BYTE << 8 | payload_type | MARKER_BIT * event.marker,
            self._number & SEQUENCE_MASK,
            (self._timestamp - event.offset_ticks) & TIMESTAMP_MASK,
            self.ssrc,
        )
        self._number += 1
        self._timestamp += self._frame_bytes
        self._other_ticks += self._frame_bytes - len(event.payload)
        packet = header + event.payload
        return packet if self.sealer is None else self.sealer.seal(packet)

    def pause(self) -> None:
        """Let one slot pass without a packet."""
        self._timestamp += self._frame_bytes
        self._other_ticks += self._frame_bytes
        self._head = self._plain_head | MARKER_BIT
