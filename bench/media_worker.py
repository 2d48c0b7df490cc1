"""Calls on a media worker, ours or the prototype, for the load to talk to."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.machine import child, cores, memory_kb
from bench.rtp_load import SRTP_SUITE
from emulator.clock import SystemClock
from emulator.worker.host import WorkerPool
from emulator.worker.messages import (
    LegRemoved,
    MediaParams,
    OpenStream,
    Report,
    SrtpParams,
    StartLeg,
)


def _free_tcp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


# Two benches may run on one machine.
BOT_PORT = _free_tcp_port()
RTP_PORT_MIN, RTP_PORT_MAX = 20000, 21999
PROTOTYPE_RTP_BASE = 23000
# Phones have the ports that their SDP names, as real ones: the first free run of them.
_PHONE_PORTS = range(25000, 32000, 500)

# Streams open one after the other, as calls come: a crowd at once is another bench.
OPENINGS_PER_S = 200

# One for every phone and direction: this is a bench.
SRTP_KEY = bytes(range(30))


@dataclass(frozen=True)
class Shape:
    """What is run."""

    calls: int
    chunk_ms: int
    sample_rate_hz: int
    seconds: float
    srtp: bool = False
    tls: bool = False

    @property
    def name(self) -> str:
        """In the table."""
        extras = [
            *(["SRTP"] if self.srtp else []),
            *(["wss"] if self.tls else []),
            *([f"{self.sample_rate_hz // 1000} kHz"] * (self.sample_rate_hz != 8000)),
        ]
        return " ".join([f"{self.calls} calls, {self.chunk_ms} ms", *extras])


async def _nothing_to_open() -> None:
    return


@dataclass
class Worker:
    """A worker with its calls up.

    Attributes:
        before_kb: Its memory before the first call.
        phone_port: Of the first phone; the others follow.
        open_streams: To be called when the phones talk, as they do when a real call
            reaches its bot.
        removed: The counters of each call, once they have ended.
    """

    pid: int
    ports: list[int]
    before_kb: int
    phone_port: int
    open_streams: Callable[[], Awaitable[None]] = _nothing_to_open
    removed: list[LegRemoved] = field(default_factory=list)

    def total(self, group: str, name: str) -> int:
        """Sum one counter over all calls."""
        groups = [removed.stats[group] for removed in self.removed]
        return sum(group[name] for group in groups if isinstance(group, dict))


@asynccontextmanager
async def emulator_calls(shape: Shape) -> AsyncIterator[Worker]:
    """Calls on a real worker; they end when the block ends."""
    removed: list[LegRemoved] = []

    def note(report: Report) -> None:
        if isinstance(report, LegRemoved):
            removed.append(report)

    pool = WorkerPool(
        clock=SystemClock(),
        on_report=note,
        on_lost=lambda *lost: print("worker lost", lost, file=sys.stderr),
    )
    try:
        await pool.spawn()
        pool.configure(
            workers=1,
            bind_ip="127.0.0.1",
            rtp_port_min=RTP_PORT_MIN,
            rtp_port_max=RTP_PORT_MAX,
        )
        await pool.ready()
        (pid,) = pool.pids
        os.sched_setaffinity(pid, cores()[0])
        first = free_ports(shape.calls)

        async def open_streams() -> None:
            for number in range(shape.calls):
                pool.send(_stream(number, shape))
                await asyncio.sleep(1 / OPENINGS_PER_S)

        worker = Worker(pid, [], memory_kb(pid), first, open_streams, removed)
        for number in range(shape.calls):
            port = await _add_call(pool, number, first + number, shape)
            worker.ports.append(port)
        yield worker
        await pool.drain(5)
    finally:
        await pool.close()


def free_ports(count: int) -> int:
    """Return the first of so many UDP ports that nobody else has just now."""
    for first in _PHONE_PORTS:
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                    stack.enter_context(sock).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise SystemExit(f"no {count} free UDP ports from {_PHONE_PORTS.start}")


async def _add_call(
    pool: WorkerPool, number: int, phone_port: int, shape: Shape
) -> int:
    leg_id = f"L{number}"
    media = MediaParams(
        "PCMU",
        0,
        101,
        "127.0.0.1",
        phone_port,
        srtp=_keys() if shape.srtp else None,
    )
    port = await pool.add_leg(leg_id, leg_id, media)
    pool.send(StartLeg(leg_id))
    return port


def _stream(number: int, shape: Shape) -> OpenStream:
    leg_id = f"L{number}"
    scheme = "wss" if shape.tls else "ws"
    return OpenStream(
        leg_id,
        f"S{number}",
        leg_id,
        "bench",
        f"{scheme}://127.0.0.1:{BOT_PORT}/",
        "1",
        "2",
        sample_rate_hz=shape.sample_rate_hz,
        options={"media_chunk_ms": shape.chunk_ms, "tls_verify": False},
    )


def _keys() -> SrtpParams:
    key = base64.b64encode(SRTP_KEY).decode()
    return SrtpParams(SRTP_SUITE, key, key)


@asynccontextmanager
async def prototype_calls(directory: Path, shape: Shape) -> AsyncIterator[Worker]:
    """The same calls on the prototype, whose chunk is a constant of its source."""
    source = (directory / "media_bridge.py").read_text()
    chunk = f"= 0.005, 0.020, 4, 160, {8 * shape.chunk_ms}\n"
    source = source.replace("= 0.005, 0.020, 4, 160, 800\n", chunk)
    assert chunk in source
    command = (
        "-c", source, "--calls", str(shape.calls),
        "--rtp-base", str(PROTOTYPE_RTP_BASE), "--rate", str(shape.sample_rate_hz),
        "--ws", f"ws://127.0.0.1:{BOT_PORT}/",
    )  # fmt: skip
    async with child(*command, core=cores()[0], ready="ready") as process:
        ports = [PROTOTYPE_RTP_BASE + n for n in range(shape.calls)]
        first = free_ports(shape.calls)
        yield Worker(process.pid, ports, memory_kb(process.pid), first)
