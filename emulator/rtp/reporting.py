"""What one side of an RTP session tells and learns by RTCP, without its socket.

The interval is that of RFC 3550 §6.2 for two participants: 5 s, each time multiplied by
a random factor of 0.5 to 1.5, the first one halved.
"""

from __future__ import annotations

from dataclasses import replace

from emulator.rtp.receiver import CLOCK_RATE_HZ, RtpReceiver
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
from emulator.rtp.sender import RtpSender

INTERVAL_S = 5.0
_DELAY_UNITS_PER_S = 65536


class Reporting:
    """Makes our compounds and reads the peer's.

    Attributes:
        round_trip_ms: By the peer's last report (§6.4.1); None until there is one.
        peer_lost, peer_jitter_ms: What the peer says about our audio.
    """

    def __init__(self, sender: RtpSender, receiver: RtpReceiver, cname: str) -> None:
        self.sent = self.received = self.malformed = self.forged = 0
        self.round_trip_ms: float | None = None
        self.peer_lost: int | None = None
        self.peer_jitter_ms: float | None = None
        self.peer_has_left = False
        self._sender = sender
        self._receiver = receiver
        self._cname = cname
        self._due_s: float | None = None
        # The peer's last SR: its middle bits and when it came.
        self._last_report = 0
        self._last_report_s = 0.0

    def is_due(self, now_s: float, chance: float) -> bool:
        """Tell whether to report now; ``chance`` in 0 to 1 spreads the next time."""
        if self._due_s is None:
            self._due_s = now_s + INTERVAL_S / 2 * (0.5 + chance)
        if now_s < self._due_s:
            return False
        self._due_s = now_s + INTERVAL_S * (0.5 + chance)
        return True

    def compound(self, now_s: float, unix_s: float) -> bytes:
        """Return the next report, SR or RR, with our CNAME."""
        return self._sealed(self._report(now_s, unix_s))

    def goodbye(self, now_s: float, unix_s: float) -> bytes:
        """Return the last report of the session."""
        return self._sealed([*self._report(now_s, unix_s), Goodbye(self._sender.ssrc)])

    def receive(self, data: bytes, now_s: float, unix_s: float) -> None:
        """Take one datagram of the peer; what is no RTCP is counted."""
        opener = self._receiver.opener
        if opener is not None:
            plain = opener.open_rtcp(data)
            if plain is None:
                self.forged += 1
                return
            data = plain
        try:
            packets = unpack_compound(data)
        except RtcpParseError:
            self.malformed += 1
            return
        self.received += 1
        for packet in packets:
            self._learn(packet, now_s, unix_s)

    def counters(self) -> dict[str, int | float | None]:
        """Return what was exchanged and learnt."""
        return {
            "sent": self.sent,
            "received": self.received,
            "malformed": self.malformed,
            "forged": self.forged,
            "round_trip_ms": self.round_trip_ms,
            "peer_lost": self.peer_lost,
            "peer_jitter_ms": self.peer_jitter_ms,
        }

    def _sealed(self, packets: list[RtcpPacket]) -> bytes:
        compound = pack_compound(packets)
        sealer = self._sender.sealer
        return compound if sealer is None else sealer.seal_rtcp(compound)

    def _report(self, now_s: float, unix_s: float) -> list[RtcpPacket]:
        self.sent += 1
        ssrc = self._sender.ssrc
        reports = tuple(
            replace(report, **self._echo(now_s))
            for report in self._receiver.take_reports()
        )
        report: RtcpPacket = ReceiverReport(ssrc, reports)
        if self._sender.packets:
            report = SenderReport(
                ssrc,
                ntp_time(unix_s),
                self._sender.rtp_timestamp,
                self._sender.packets,
                self._sender.payload_bytes,
                reports,
            )
        return [report, SourceDescription(ssrc, self._cname)]

    def _echo(self, now_s: float) -> dict[str, int]:
        if not self._last_report:
            return {}
        delay = int((now_s - self._last_report_s) * _DELAY_UNITS_PER_S)
        return {"last_report": self._last_report, "delay_ticks": delay}

    def _learn(self, packet: RtcpPacket, now_s: float, unix_s: float) -> None:
        match packet:
            case SenderReport():
                self._last_report = middle_bits(packet.ntp_time)
                self._last_report_s = now_s
                self._learn_reports(packet.reports, unix_s)
            case ReceiverReport():
                self._learn_reports(packet.reports, unix_s)
            case Goodbye():
                self.peer_has_left = True
            case SourceDescription():
                pass  # A name; nobody asks for it.

    def _learn_reports(
        self, reports: tuple[ReceptionReport, ...], unix_s: float
    ) -> None:
        for report in reports:
            if report.ssrc != self._sender.ssrc:
                continue
            self.peer_lost = report.cumulative_lost
            self.peer_jitter_ms = round(report.jitter_ticks * 1000 / CLOCK_RATE_HZ, 2)
            if report.last_report:
                self._learn_round_trip(report, unix_s)

    def _learn_round_trip(self, report: ReceptionReport, unix_s: float) -> None:
        now = middle_bits(ntp_time(unix_s))
        units = (now - report.last_report - report.delay_ticks) & 0xFFFFFFFF
        # A negative figure, from a clock that was set or a rounding, is none.
        if units < 1 << 31:
            self.round_trip_ms = round(units * 1000 / _DELAY_UNITS_PER_S, 2)
