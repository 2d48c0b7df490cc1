"""Inbound RTP of one leg, without its socket: which bytes of a datagram are audio.

The per-packet path: buffers and integers in, an integer out. What is not audio of the
negotiated codec is counted and never heard.
"""

from __future__ import annotations

from collections.abc import Callable

from emulator.rtp.packet import (
    FIXED_HEADER,
    HEADER_BYTES,
    PAYLOAD_TYPE_MASK,
    PLAIN_FIRST_BYTE,
    RTCP_TYPES,
    RtpParseError,
    payload_bounds,
)
from emulator.rtp.rtcp import ReceptionReport
from emulator.rtp.source import NO_HEAD, ReceptionCounters, Source
from emulator.rtp.srtp import SrtpOpener
from emulator.rtp.telephone_event import DigitReceiver, Press

CLOCK_RATE_HZ = 8000
# More than any negotiable packet (60 ms is 480 bytes of G.711) with room for a peer
# that sends 200 ms; beyond this the datagram is no voice.
MAX_PAYLOAD_BYTES = 1600
MAX_PLAIN_BYTES = HEADER_BYTES + MAX_PAYLOAD_BYTES
# Comfort noise (RFC 3389) is ignored: the pause that it fills is silence here.
COMFORT_NOISE_PAYLOAD_TYPE = 13

# What ``receive`` answers when the datagram holds no audio to use: RTP of another kind,
# which tells that the peer is there; and what is no RTP, which tells nothing.
NOT_AUDIO = -1
NOT_RTP = -10

_unpack_header = FIXED_HEADER.unpack_from


class RtpReceiver:
    """Checks, counts and orders what one peer sends.

    Attributes:
        start, end: Bounds of the payload after ``receive`` returned 0 or more.
        receive_next: Takes a datagram of at most ``MAX_PLAIN_BYTES`` in if it is the
            very next audio packet; False: ``receive`` must look (``Source``).
        other_ssrc: Packets of another sender, which were not heard.
        key_is_down: A key was pressed and its release has not been seen.
        opener: Decrypts each packet first; None: they are plain.
    """

    __slots__ = (
        "_candidate_ssrc", "_digits", "_event_payload_type", "_on_press", "_past",
        "_past_forged", "_past_lost", "_past_replayed", "_payload_type", "receive_next",
        "_source", "_ssrc", "comfort_noise", "digit_packets", "end", "key_is_down",
        "malformed", "opener", "other_ssrc", "rtcp", "ssrc_changes", "start",
        "wrong_payload_type",
    )  # fmt: skip

    def __init__(
        self,
        payload_type: int,
        event_payload_type: int | None,
        on_press: Callable[[Press], None],
    ) -> None:
        self.start = self.end = 0
        self.key_is_down = False
        self.opener: SrtpOpener | None = None
        self._on_press = on_press
        self._digits = DigitReceiver()
        self._use_source()
        self._ssrc: int | None = None
        self._candidate_ssrc: int | None = None
        # Sums over the sources before a change of SSRC.
        self._past = ReceptionCounters()
        self._past_lost = 0
        # Of the keys before the last change.
        self._past_forged = self._past_replayed = 0
        self.malformed = self.wrong_payload_type = self.comfort_noise = 0
        self.rtcp = self.ssrc_changes = self.other_ssrc = self.digit_packets = 0
        self.update(payload_type, event_payload_type)

    def update(self, payload_type: int, event_payload_type: int | None) -> None:
        """Expect other payload types from now on (a re-INVITE)."""
        self._payload_type = payload_type
        self._event_payload_type = event_payload_type
        self._open_short_way()

    def use_opener(self, opener: SrtpOpener) -> None:
        """Decrypt with another key from now on."""
        if self.opener is not None:
            self._past_forged += self.opener.forged
            self._past_replayed += self.opener.replayed
        self.opener = opener

    @property
    def has_only_forgeries(self) -> bool:
        """Whether nothing that came so far was encrypted with the peer's key."""
        return self.opener is not None and self._ssrc is None

    def open(self, packet: bytearray, length: int) -> int:
        """Decrypt a datagram in its place, with ``opener``.

        Returns:
            Its new length; 0 when it is none of the peer's, which is counted.
        """
        assert self.opener is not None
        plain = self.opener.open(bytes(packet[:length]))
        if plain is None:
            return 0
        packet[: len(plain)] = plain
        return len(plain)

    def receive(
        self,
        packet: bytes | bytearray,
        length: int,
        now_s: float,
        arrived_s: float = 0.0,
    ) -> int:
        """Take one plain datagram in.

        Args:
            arrived_s: When it came, if that was before now: it was held. 0: now.

        Returns:
            The number of packets missing directly before this one when it holds audio
            to use, at ``start`` to ``end``; else a negative number: ``NOT_RTP``, or
            any other for RTP that is no audio or that comes too late.
        """
        if length <= HEADER_BYTES:
            self.malformed += 1
            return NOT_RTP
        at_s = arrived_s or now_s
        if length <= MAX_PLAIN_BYTES and self.receive_next(packet, at_s):
            self.start, self.end = HEADER_BYTES, length
            return 0
        first, second, number, timestamp, ssrc = _unpack_header(packet)
        if first == PLAIN_FIRST_BYTE:
            self.start, self.end = HEADER_BYTES, length
        elif not self._find_payload(packet, length):
            return NOT_RTP
        if second & PAYLOAD_TYPE_MASK != self._payload_type:
            return self._receive_other(packet, second, number, timestamp, ssrc, now_s)
        if not 0 < self.end - self.start <= MAX_PAYLOAD_BYTES:
            self.malformed += 1
            return NOT_RTP
        if ssrc != self._ssrc:
            if not self._accept_ssrc(ssrc):
                return NOT_AUDIO
        elif self._candidate_ssrc is not None:
            self._candidate_ssrc = None
            self._open_short_way()
        source = self._source
        gap = source.receive(number)
        if gap >= 0:
            source.measure(timestamp, at_s)
        return gap

    def expire_digit(self, now_s: float) -> None:
        """Report a key whose end packets were lost; needed while ``key_is_down``."""
        for press in self._digits.expire(now_s):
            self._on_press(press)
        self.key_is_down = self._digits.is_down

    def _find_payload(self, packet: bytes | bytearray, length: int) -> bool:
        try:
            self.start, self.end = payload_bounds(packet, length)
        except RtpParseError:
            self.malformed += 1
            return False
        return True

    def _receive_other(
        self,
        packet: bytes | bytearray,
        second: int,
        number: int,
        timestamp: int,
        ssrc: int,
        now_s: float,
    ) -> int:
        payload_type = second & PAYLOAD_TYPE_MASK
        if second in RTCP_TYPES:
            self.rtcp += 1
            return NOT_RTP
        if payload_type == self._event_payload_type:
            self._receive_event(packet, number, timestamp, ssrc, now_s)
        elif payload_type == COMFORT_NOISE_PAYLOAD_TYPE:
            self.comfort_noise += 1
            if ssrc == self._ssrc:
                self._source.receive(number)
        else:
            self.wrong_payload_type += 1
        return NOT_AUDIO

    def _receive_event(
        self,
        packet: bytes | bytearray,
        number: int,
        timestamp: int,
        ssrc: int,
        now_s: float,
    ) -> None:
        """Events are de-duplicated by timestamp: late packets count as well."""
        if ssrc != self._ssrc and not self._accept_ssrc(ssrc):
            return
        self.digit_packets += 1
        self._source.receive(number)
        payload = bytes(packet[self.start : self.end])
        for press in self._digits.receive(payload, timestamp, now_s):
            self._on_press(press)
        self.key_is_down = self._digits.is_down

    def _accept_ssrc(self, ssrc: int) -> bool:
        """Change the source after two packets in a row from the new one.

        Of two senders that alternate (RFC 3550 §8.2 calls it a collision or loop), the
        first stays the only one that is heard.
        """
        if self._ssrc is None:
            self._ssrc = ssrc
            self._open_short_way()
            return True
        if ssrc != self._candidate_ssrc:
            self._candidate_ssrc = ssrc
            self.other_ssrc += 1
            # Until the first one is heard again, which refutes the candidate.
            self._source.expect(NO_HEAD, ssrc)
            return False
        self._past_lost += self._source.lost
        self._past.add(self._source.counters)
        self._use_source()
        self._ssrc, self._candidate_ssrc = ssrc, None
        self._open_short_way()
        self.ssrc_changes += 1
        return True

    def _open_short_way(self) -> None:
        """Let audio of the codec, without marker and extras, take ``receive_next``."""
        if self._ssrc is not None:
            head = PLAIN_FIRST_BYTE << 8 | self._payload_type
            self._source.expect(head, self._ssrc)

    def _use_source(self) -> None:
        self._source = source = Source(CLOCK_RATE_HZ)
        self.receive_next = source.receive_next

    def take_reports(self) -> tuple[ReceptionReport, ...]:
        """Return what RTCP says about the source, once per interval; none before it."""
        source = self._source
        if self._ssrc is None or source.max_seq is None:
            return ()
        return (
            ReceptionReport(
                ssrc=self._ssrc,
                fraction_lost=source.take_fraction_lost(),
                cumulative_lost=source.lost,
                highest_number=source.extended_max,
                jitter_ticks=int(source.jitter_ticks),
            ),
        )

    @property
    def jitter_ms(self) -> float:
        """Interarrival jitter of the newest source."""
        return self._source.jitter_ms

    @property
    def lost(self) -> int:
        """Packets that never came, over every source."""
        return self._past_lost + self._source.lost

    def counters(self) -> dict[str, int | float]:
        """Return everything that was counted, by names that carry their units."""
        sums = ReceptionCounters()
        sums.add(self._past)
        sums.add(self._source.counters)
        return {
            "packets": sums.received,
            "lost": self.lost,
            "late": sums.late,
            "duplicates": sums.duplicates,
            "restarts": sums.restarts,
            "jitter_ms": round(self.jitter_ms, 2),
            "ssrc_changes": self.ssrc_changes,
            "other_ssrc": self.other_ssrc,
            "digit_packets": self.digit_packets,
            "malformed": self.malformed,
            "wrong_payload_type": self.wrong_payload_type,
            "comfort_noise": self.comfort_noise,
            "rtcp": self.rtcp,
            **self._srtp_counters(),
        }

    def _srtp_counters(self) -> dict[str, int | float]:
        if self.opener is None:
            return {}
        return {
            "srtp_forged": self._past_forged + self.opener.forged,
            "srtp_replayed": self._past_replayed + self.opener.replayed,
        }
