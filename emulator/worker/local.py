"""An engine in the caller's own event loop: one party of a real call, without a worker.

The command line's caller and tests use it; it has no streams.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from emulator.clock import Clock
from emulator.errors import LocalProtocolError, TransportError
from emulator.events import JsonValue
from emulator.ids import IdSource
from emulator.media.capture import Capture
from emulator.media.g711 import Buffer, Law
from emulator.rtp.ports import RtpPorts
from emulator.worker.background import ThreadBackground
from emulator.worker.engine import Engine
from emulator.worker.messages import (
    AddLeg,
    Command,
    LegAdded,
    LegFailed,
    MediaParams,
    OpenStream,
    Report,
)
from emulator.worker.surroundings import (
    BotStream,
    EngineOptions,
    StreamSink,
    Surroundings,
)
from emulator.worker.ticker import Ticker


class LocalEngine:
    """Hosts an engine while the running loop runs; close it before the loop ends.

    Args:
        on_report: Called with every report but ``LegAdded`` and ``LegFailed``.
    """

    def __init__(
        self,
        *,
        bind_ip: str,
        rtp_port_min: int,
        rtp_port_max: int,
        clock: Clock,
        ids: IdSource,
        on_report: Callable[[Report], None],
    ) -> None:
        self._clock = clock
        self._on_report = on_report
        self._ports: dict[str, int] = {}
        self._failure: str | None = None
        around = Surroundings(
            clock, ids, self._take, ThreadBackground(), _no_streams, EngineOptions()
        )
        ports = RtpPorts(bind_ip, rtp_port_min, rtp_port_max, ids)
        self._engine = Engine(ports, around, wake=lambda: self._ticker.start())
        self._ticker = Ticker(self._engine, on_idle=lambda: None)

    def add_leg(self, leg_id: str, media: MediaParams | None = None) -> int:
        """Open a leg and return its RTP port.

        Raises:
            TransportError: There is no free port, or such a leg is there.
        """
        self._engine.handle(AddLeg(leg_id, "", media))
        if leg_id not in self._ports:
            raise TransportError(f"leg {leg_id}: {self._failure}")
        return self._ports.pop(leg_id)

    def send(self, command: Command) -> None:
        """Carry out any command for a leg: update, start, play, digits, remove."""
        self._engine.handle(command)

    def capture(self, leg_id: str) -> Capture:
        """Begin to keep what the leg hears, from now on.

        Raises:
            LocalProtocolError: There is no such leg.
        """
        leg = self._engine.leg(leg_id)
        if leg is None:
            raise LocalProtocolError(f"no leg {leg_id}")
        capture = Capture(leg.law, self._clock.monotonic_s())
        leg.audience.tap(_CaptureTap(capture, self._clock))
        return capture

    def stats(self, leg_id: str) -> Mapping[str, JsonValue]:
        """Return the counters of a leg that is there, as ``LegRemoved`` has them."""
        leg = self._engine.leg(leg_id)
        return leg.stats() if leg else {}

    def close(self) -> None:
        """Stop ticking; release every socket."""
        self._ticker.close()
        self._engine.close()

    def _take(self, report: Report) -> None:
        match report:
            case LegAdded(leg_id, rtp_port):
                self._ports[leg_id] = rtp_port
            case LegFailed(_, reason):
                self._failure = reason
            case _:
                self._on_report(report)


class _CaptureTap:
    """Tells a capture when what it hears came; what the peer is sent is known."""

    def __init__(self, capture: Capture, clock: Clock) -> None:
        self._capture = capture
        self._clock = clock

    def use_law(self, law: Law) -> None:
        self._capture.use_law(law)

    def heard(self, audio: Buffer) -> None:
        self._capture.hear(audio, self._clock.monotonic_s())

    def said(self, frame: bytes) -> None:
        pass

    def closed(self) -> None:
        pass


def _no_streams(request: OpenStream, sink: StreamSink) -> BotStream:
    raise LocalProtocolError(f"stream {request.stream_sid}: a local engine has none")
