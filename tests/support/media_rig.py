"""An engine on a manual clock, a UDP peer, and bots that are plain objects."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TypeVar

from emulator.events import JsonValue
from emulator.ids import IdSource
from emulator.rtp.packet import RtpPacket, pack_packet, unpack_packet
from emulator.rtp.ports import RtpPorts
from emulator.worker.engine import Engine
from emulator.worker.messages import (
    AddLeg,
    Happened,
    LegAdded,
    MediaParams,
    OpenStream,
    Report,
    StartLeg,
)
from emulator.worker.surroundings import (
    Background,
    BotStream,
    EngineOptions,
    StreamSink,
    Surroundings,
)

R = TypeVar("R")
T = TypeVar("T")
SILENT_FRAME = b"\xff" * 160


class ManualClock:
    """Stands still until told."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s

    def utc(self) -> datetime:
        return datetime.fromtimestamp(self.now_s, UTC)


class InlineBackground:
    """Runs a job at once, or when ``release`` is called, or in real threads."""

    def __init__(self) -> None:
        self.is_holding = False
        self.threads: Background | None = None
        self._held: list[Callable[[], None]] = []

    def run(self, job: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
        def work() -> None:
            result: T | Exception
            try:
                result = job()
            except Exception as error:
                result = error
            done(result)

        if self.threads is not None:
            self.threads.run(job, done)
        elif self.is_holding:
            self._held.append(work)
        else:
            work()

    def release(self, index: int = 0) -> None:
        self._held.pop(index)()


@dataclass(frozen=True)
class Outcome:
    status: str = "completed"
    disconnected_by: str = "bot"
    error: str | None = None
    duration_s: float = 1.0
    close_code: int | None = 1000
    close_reason: str = ""
    closed_first: str | None = "bot"
    stats: Mapping[str, JsonValue] = field(default_factory=dict)


class FakeBot:
    """The stream side of a joint; a test plays the bot through ``sink``."""

    def __init__(self, request: OpenStream, sink: StreamSink) -> None:
        self.request = request
        self.sink = sink
        self.is_started = False
        self.audio: list[bytes] = []
        self.digits: list[tuple[str, int]] = []
        self.marks: list[str] = []
        self.closed_for: str | None = None
        self.ends_when_closed = True

    @property
    def sample_rate_hz(self) -> int:
        return self.request.sample_rate_hz

    @property
    def chunk_bytes(self) -> int:
        sample_bytes = 1 if self.request.codec == "mulaw" else 2
        return sample_bytes * self.sample_rate_hz // 50

    def start(self) -> None:
        self.is_started = True

    def send_audio(self, audio: bytes) -> None:
        self.audio.append(audio)

    def send_digit(self, digit: str, duration_ms: int) -> None:
        self.digits.append((digit, duration_ms))

    def mark_played(self, name: str) -> None:
        self.marks.append(name)

    def close(self, reason: str) -> None:
        self.closed_for = reason
        if self.ends_when_closed:
            self.sink.stream_ended(Outcome(closed_first="platform"))


class Peer:
    """A phone's RTP socket."""

    def __init__(self, port: int, ip: str = "127.0.0.1") -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.setblocking(False)
        self._sock.bind((ip, 0))
        self._to = ("127.0.0.1", port)
        self.number = 0

    @property
    def port(self) -> int:
        return int(self._sock.getsockname()[1])

    @property
    def remote_port(self) -> int:
        """The leg's port."""
        return self._to[1]

    def send(
        self, payload: bytes = b"\x20" * 160, payload_type: int = 0, ssrc: int = 7
    ) -> None:
        packet = RtpPacket(payload_type, self.number, 160 * self.number, ssrc, payload)
        self.number += 1
        self.send_bytes(pack_packet(packet))

    def send_event(self, payload: bytes, rtp_timestamp: int, *, is_first: bool) -> None:
        """Send a telephone-event packet in the place of a frame."""
        packet = RtpPacket(101, self.number, rtp_timestamp, 7, payload, marker=is_first)
        self.number += 1
        self.send_bytes(pack_packet(packet))

    def send_bytes(self, data: bytes) -> None:
        self._sock.sendto(data, self._to)

    def receive(self) -> list[RtpPacket]:
        return [unpack_packet(data) for data in self.receive_bytes()]

    def receive_bytes(self) -> list[bytes]:
        packets = []
        while True:
            try:
                packets.append(self._sock.recv(2048))
            except BlockingIOError:
                return packets

    def close(self) -> None:
        self._sock.close()


class Rig:
    """One engine and what happens to it."""

    def __init__(self, *, low: int = 32000, high: int = 32099, **options: object):
        self.clock = ManualClock()
        self.background = InlineBackground()
        self.reports: list[Report] = []
        self.bots: list[FakeBot] = []
        self.peers: list[Peer] = []
        self.wakes = 0
        ids = IdSource(1)
        around = Surroundings(
            self.clock,
            ids,
            self.reports.append,
            self.background,
            self._dial,
            EngineOptions(**options),  # type: ignore[arg-type]
        )
        self.engine = Engine(
            RtpPorts("127.0.0.1", low, high, ids), around, wake=self._wake
        )

    def __enter__(self) -> Rig:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.engine.close()
        for peer in self.peers:
            peer.close()

    def _wake(self) -> None:
        self.wakes += 1

    def _dial(self, request: OpenStream, sink: StreamSink) -> BotStream:
        self.bots.append(FakeBot(request, sink))
        return self.bots[-1]

    def add_leg(self, leg_id: str = "L1", media: MediaParams | None = None) -> Peer:
        self.engine.handle(AddLeg(leg_id, "C1", media))
        added = self.reports[-1]
        assert isinstance(added, LegAdded)
        peer = Peer(added.rtp_port)
        self.peers.append(peer)
        return peer

    def talking_leg(self, leg_id: str = "L1", **changes: object) -> Peer:
        """A leg that is answered and whose peer has sent one packet."""
        peer = self.add_leg(leg_id, media(**changes))
        self.engine.handle(StartLeg(leg_id))
        peer.send()
        self.run(20)
        peer.receive()
        return peer

    def stranger(self, leg_id: str = "L1") -> Peer:
        """Another RTP socket on the peer's host that sends to the same leg."""
        port = next(r.rtp_port for r in self.of(LegAdded) if r.leg_id == leg_id)
        self.peers.append(Peer(port))
        return self.peers[-1]

    def stats(self, leg_id: str = "L1") -> Mapping[str, Any]:
        """The counters of a leg that is there."""
        leg = self.engine.leg(leg_id)
        assert leg is not None
        return leg.stats()

    def open_bot(self, leg_id: str = "L1", **changes: object) -> FakeBot:
        fields: dict[str, object] = {
            "leg_id": leg_id,
            "stream_sid": f"S{len(self.bots) + 1}",
            "call_sid": "C1",
            "account_sid": "A1",
            "url": "ws://127.0.0.1:1/",
            "from_": "1",
            "to": "2",
        }
        self.engine.handle(OpenStream(**{**fields, **changes}))  # type: ignore[arg-type]
        bot = self.bots[-1]
        bot.sink.stream_opened()
        return bot

    def run(self, duration_ms: int) -> bool:
        """Let time pass, tick by tick; return whether there is more to do."""
        wanted = 0
        for _ in range(duration_ms // 5):
            self.clock.now_s += 0.005
            wanted = self.engine.tick(1, self.clock.now_s)
        return wanted > 0

    def ticks_wanted_over_a_cycle(self) -> list[int]:
        """Follow the engine's wish for 20 ms, from its next packet on."""
        while (wanted := self.engine.tick(1, self.clock.now_s)) not in (1, 4):
            pass
        wishes: list[int] = []
        while sum(wishes) < 4:
            wishes.append(wanted)
            self.clock.now_s += 0.005 * wanted
            wanted = self.engine.tick(wanted, self.clock.now_s)
        return wishes

    def run_talking(self, peer: Peer, frames: list[bytes]) -> None:
        """Let the peer send one frame every 20 ms."""
        for frame in frames:
            peer.send(frame)
            self.run(20)

    def heard(self, peer: Peer) -> str:
        """What the peer heard: a letter per frame, ``.`` for silence."""
        return "".join(
            "." if packet.payload == SILENT_FRAME else chr(packet.payload[0])
            for packet in peer.receive()
        )

    def of(self, kind: type[R]) -> list[R]:
        return [report for report in self.reports if isinstance(report, kind)]

    def happened(self, kind: str) -> list[Mapping[str, JsonValue]]:
        return [report.data for report in self.of(Happened) if report.kind == kind]


def media(**changes: object) -> MediaParams:
    fields: dict[str, object] = {
        "codec": "PCMU",
        "payload_type": 0,
        "telephone_event_payload_type": 101,
        "remote_ip": "127.0.0.1",
        "remote_port": 9,
        "allowed_source_ips": ("127.0.0.1",),
    }
    return MediaParams(**{**fields, **changes})  # type: ignore[arg-type]
