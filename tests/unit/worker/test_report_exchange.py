"""RTCP of a leg: to the port above the peer's, from it, and a goodbye."""

from __future__ import annotations

import socket

from emulator.rtp.rtcp import (
    Goodbye,
    ReceptionReport,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    pack_compound,
    unpack_compound,
)
from emulator.worker.messages import LegAdded, LegRemoved, RemoveLeg, StartLeg
from tests.support.media_rig import Peer, Rig, media


class PairedPeer:
    """A phone with an RTP and an RTCP port, one above the other."""

    def __init__(self, rig: Rig) -> None:
        rig.engine.handle(StartLeg("L1"))
        port = rig.of(LegAdded)[0].rtp_port
        while True:
            self.rtp = Peer(port)
            rig.peers.append(self.rtp)
            self.rtcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.rtcp.setblocking(False)
            try:
                self.rtcp.bind(("127.0.0.1", self.rtp.port + 1))
                break
            except OSError:
                self.rtcp.close()
        self.to = ("127.0.0.1", port + 1)
        self.rtp.send()
        rig.run(20)

    def send(self, *packets: RtcpPacket) -> None:
        self.rtcp.sendto(pack_compound(list(packets)), self.to)

    def receive(self) -> list[RtcpPacket]:
        packets: list[RtcpPacket] = []
        while True:
            try:
                packets += unpack_compound(self.rtcp.recv(2048))
            except BlockingIOError:
                return packets


def test_reports_go_to_the_port_above_the_peers() -> None:
    with Rig() as rig:
        rig.add_leg(media=media())
        peer = PairedPeer(rig)
        rig.run(12_000)
        packets = peer.receive()
        reports = [p for p in packets if isinstance(p, SenderReport)]
        assert 1 <= len(reports) <= 5
        assert reports[0].reports[0].ssrc == 7
        assert reports[-1].packets > 0
        assert SourceDescription(reports[0].ssrc, "L1@emulator") in packets
        peer.rtcp.close()


def test_what_the_peer_reports_is_in_the_counters_and_goodbye_is_said() -> None:
    with Rig() as rig:
        rig.add_leg(media=media())
        peer = PairedPeer(rig)
        rig.run(9_000)
        ours = next(p for p in peer.receive() if isinstance(p, SenderReport))
        peer.send(
            SenderReport(7, 1, 0, 1, 160, (ReceptionReport(ours.ssrc, 0, 3, 9, 80),))
        )
        rig.run(20)
        rig.engine.handle(RemoveLeg("L1"))
        rtcp = rig.of(LegRemoved)[0].stats["rtcp"]
        assert isinstance(rtcp, dict)
        assert (rtcp["received"], rtcp["peer_lost"]) == (1, 3)
        assert rtcp["peer_jitter_ms"] == 10.0
        assert Goodbye(ours.ssrc) in peer.receive()
        peer.rtcp.close()


def test_rtcp_of_a_stranger_and_garbage_are_not_believed() -> None:
    with Rig() as rig:
        rig.add_leg(media=media())
        peer = PairedPeer(rig)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.0.0.2", 0))
            stranger.sendto(pack_compound([SenderReport(7, 1, 0, 1, 160)]), peer.to)
            rig.run(20)
        peer.rtcp.sendto(b"no rtcp at all, but long", peer.to)
        rig.run(20)
        rig.engine.handle(RemoveLeg("L1"))
        rtcp = rig.of(LegRemoved)[0].stats["rtcp"]
        assert isinstance(rtcp, dict)
        assert rtcp["received"] == 0
        peer.rtcp.close()


def test_a_peer_that_was_never_heard_gets_no_report() -> None:
    with Rig() as rig:
        rig.add_leg(media=media())
        rig.engine.handle(StartLeg("L1"))
        rig.run(9_000)
        rig.engine.handle(RemoveLeg("L1"))
        rtcp = rig.of(LegRemoved)[0].stats["rtcp"]
        assert isinstance(rtcp, dict)
        assert rtcp["sent"] == 0
