"""A neighbour's pacing, judged by what the machine did to a probe in the same time.

The project's tests assert loss, order and content, never pacing. This keeps to it: the
figures are written down, and the verdict is on gross harm alone, and only as far as it
goes beyond what an innocent thread of the test saw meanwhile, and beyond the time for
which the kernel let the neighbour's worker wait for a processor: a thread that mostly
sleeps is let in sooner than a worker that works. A busy machine is not blamed; what
stalls the neighbour alone, long or again and again, is.
"""

from __future__ import annotations

import asyncio
import socket
import statistics
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from emulator.clock import SystemClock
from emulator.ids import IdSource
from emulator.rtp.packet import unpack_packet
from emulator.sdp.description import format_description
from emulator.sdp.negotiation import LocalAudio, make_offer
from emulator.sip.endpoint import SipEndpoint
from emulator.sip.events import Answered, SessionEnded
from emulator.sip.options import SipOptions
from emulator.sip.session import CallSession, IncomingInvite, OutgoingInvite
from emulator.sip.uri import NameAddr
from tests.support.processes import Emulator, eventually

PTIME_MS = 20.0
MEDIAN_OFF_MS = 2.0
LONG_GAP_MS = 200.0
# Beyond the probe's: the scheduler may hit the one and spare the other.
MORE_LONG_GAPS = 2
LONGER_GAP_MS = 1000.0
DEADLINE_S = 20.0
# Linux's number; the socket module has no name for it.
_SO_TIMESTAMPNS = 35
_RECEIVE_BUFFER_BYTES = 1 << 20


@dataclass(frozen=True)
class Figures:
    """The distances between moments."""

    p50_ms: float
    p99_ms: float
    max_ms: float
    long_gaps: int

    def __str__(self) -> str:
        return (
            f"p50 {self.p50_ms:.1f} ms, p99 {self.p99_ms:.1f} ms, "
            f"max {self.max_ms:.1f} ms, {self.long_gaps} over {LONG_GAP_MS:g} ms"
        )


def figures(moments_s: Sequence[float]) -> Figures:
    """Return the figures of three moments or more."""
    pairs = zip(moments_s, moments_s[1:], strict=False)
    gaps_ms = sorted((after - before) * 1000 for before, after in pairs)
    return Figures(
        statistics.median(gaps_ms),
        statistics.quantiles(gaps_ms, n=100, method="inclusive")[98],
        gaps_ms[-1],
        sum(gap > LONG_GAP_MS for gap in gaps_ms),
    )


@dataclass(frozen=True)
class Watched:
    """What a neighbour's phone received, and what the probe saw meanwhile.

    Attributes:
        numbers: Sequence numbers in the order of arrival.
        starved_ms: How long the worker was ready to run and got no processor.
    """

    numbers: Sequence[int]
    neighbour: Figures
    probe: Figures
    starved_ms: float = 0.0

    def harm(self) -> list[str]:
        """Return what no noise of the machine explains; the docstring says why."""
        pairs = zip(self.numbers, self.numbers[1:], strict=False)
        steps = [(after - before) & 0xFFFF for before, after in pairs]
        strays = [step for step in steps if step != 1]
        # Each wait makes many packets late, which then come at once: with a tenth of
        # the time gone so, the median says nothing, and only long gaps are judged.
        is_starved = self.starved_ms > 0.1 * PTIME_MS * len(self.numbers)
        allowed_ms = MEDIAN_OFF_MS + abs(self.probe.p50_ms - PTIME_MS)
        median_off_ms = abs(self.neighbour.p50_ms - PTIME_MS)
        more_gaps = self.neighbour.long_gaps - self.probe.long_gaps
        more_gaps -= int(self.starved_ms / LONG_GAP_MS)
        longer_ms = self.neighbour.max_ms - self.probe.max_ms - self.starved_ms
        found = {
            f"packets are missing or out of order: steps {strays}": bool(strays),
            "the median is off": median_off_ms > allowed_ms and not is_starved,
            "long gaps again and again": more_gaps > MORE_LONG_GAPS,
            "a gap that is very long": longer_ms > LONGER_GAP_MS,
        }
        return [text for text, is_so in found.items() if is_so]

    def check(self, record: Callable[[str, object], None]) -> None:
        """Write the figures down; fail for gross harm."""
        record("neighbour", str(self.neighbour))
        record("probe", str(self.probe))
        record("starved_ms", round(self.starved_ms, 1))
        harm = "; ".join(self.harm())
        seen = f"neighbour: {self.neighbour}; probe: {self.probe}"
        assert not harm, f"{harm} ({seen}; starved for {self.starved_ms:.0f} ms)"


class Probe:
    """A thread that wants to wake every 20 ms, while its ``with`` lasts."""

    def __init__(self) -> None:
        self.moments_s: list[float] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Probe:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._is_over.wait(max(0.0, due_s - time.monotonic())):
            self.moments_s.append(time.monotonic())
            due_s += PTIME_MS / 1000
        self.moments_s.append(time.monotonic())


class Ears:
    """A phone's RTP socket: the kernel says when each packet came.

    So the test's own slowness is not taken for the neighbour's.
    """

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._sock.setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES
        )
        self._sock.setblocking(False)
        self._sock.bind(("127.0.0.1", 0))
        self.port: int = self._sock.getsockname()[1]
        self.numbers: list[int] = []
        self.moments_s: list[float] = []

    def fileno(self) -> int:
        return self._sock.fileno()

    def drain(self) -> None:
        """Take what has come, and answer each packet with itself."""
        while True:
            try:
                data, extra, _, peer = self._sock.recvmsg(2048, 64)
            except BlockingIOError:
                return
            seconds, nanoseconds = struct.unpack("@qq", extra[0][2])
            self.moments_s.append(seconds + nanoseconds / 1e9)
            self.numbers.append(unpack_packet(data).sequence_number)
            self._sock.sendto(data, peer)

    def forget(self) -> None:
        self.numbers.clear()
        self.moments_s.clear()

    def close(self) -> None:
        self._sock.close()


class Watch:
    """Watches one neighbour, served by process ``pid``, from now until ``result``."""

    def __init__(self, ears: Ears, probe: Probe, pid: int) -> None:
        self._ears, self._probe, self._pid = ears, probe, pid
        self._starved_before_ms = starved_ms(pid)
        ears.drain()
        ears.forget()
        self._began_s = time.time()
        self._probe_began_s = time.monotonic()

    def result(self) -> Watched:
        """Return what was seen; both ends of the watch bound a gap too."""
        ended_s, probe_ended_s = time.time(), time.monotonic()
        self._ears.drain()
        probed_s = [at for at in self._probe.moments_s if at > self._probe_began_s]
        return Watched(
            tuple(self._ears.numbers),
            figures([self._began_s, *self._ears.moments_s, ended_s]),
            figures([self._probe_began_s, *probed_s, probe_ended_s]),
            starved_ms(self._pid) - self._starved_before_ms,
        )


def starved_ms(pid: int) -> float:
    """Return how long a process's main thread has waited for a processor."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e6


@asynccontextmanager
async def neighbour(running: Emulator, number: str) -> AsyncIterator[Watch]:
    """Call ``number`` and yield the watch, once its sound comes."""
    endpoint = SipEndpoint(
        SipOptions(bind_ip="127.0.0.1", port=0, transports=("udp",)),
        SystemClock(),
        IdSource(),
        on_invite=_refuse,
    )
    (worker,) = running.worker_pids()
    ears = Ears()
    loop = asyncio.get_running_loop()
    loop.add_reader(ears, ears.drain)
    await endpoint.start()
    try:
        session = endpoint.place_call(_invite(running.sip_port, number, ears.port))
        async with asyncio.timeout(DEADLINE_S):
            await _answered(session)
            await asyncio.to_thread(eventually, lambda: ears.numbers, "sound")
        with Probe() as probe:
            yield Watch(ears, probe, worker)
        session.hang_up()
    finally:
        await endpoint.stop(3.0)
        loop.remove_reader(ears)
        ears.close()


def _invite(sip_port: int, number: str, rtp_port: int) -> OutgoingInvite:
    local = LocalAudio("127.0.0.1", rtp_port, codecs=("PCMU",))
    uri = f"sip:{number}@127.0.0.1:{sip_port}"
    return OutgoingInvite(
        target=uri,
        from_=NameAddr("sip:neighbour@127.0.0.1"),
        to=NameAddr(uri),
        sdp=format_description(make_offer(local)),
        transport="udp",
    )


async def _answered(session: CallSession) -> None:
    while not isinstance(event := await session.next_event(), Answered):
        assert not isinstance(event, SessionEnded), event


def _refuse(invite: IncomingInvite) -> None:
    invite.session.reject(486)
