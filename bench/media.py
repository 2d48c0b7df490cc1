"""Load on one media worker: calls, CPU, loss, pacing, delay, memory.

    python -m bench.media --calls 1,100,300 --chunk-ms 20,100 --seconds 10 --runs 1
    python -m bench.media --prototype DIR ...    # the same load on another worker

The worker has one core for itself, load and echo bot have the other where there are
two. Each line is one run; the JSON goes to ``--out``. The probe of the same minute says
what the machine itself allows.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from emulator.clock import SystemClock
from emulator.worker.host import WorkerPool
from emulator.worker.messages import MediaParams, OpenStream, StartLeg

BOT_PORT = 18080
RTP_PORT_MIN, RTP_PORT_MAX = 20000, 21999
PROTOTYPE_RTP_BASE = 23000
# After the calls are up: handshakes are not measured.
SETTLE_S = 1.0


@dataclass(frozen=True)
class Run:
    """One measurement."""

    worker: str
    calls: int
    chunk_ms: int
    sample_rate_hz: int
    cpu_ms_per_call_s: float
    memory_kb_per_call: float
    probe: dict[str, Any]
    load: dict[str, Any]


@dataclass(frozen=True)
class Shape:
    """What is run."""

    calls: int
    chunk_ms: int
    sample_rate_hz: int
    seconds: float


def cores() -> tuple[set[int], set[int]]:
    """The worker's core, and that of load and bot."""
    available = sorted(os.sched_getaffinity(0))
    return {available[0]}, {available[-1]}


def cpu_s(pid: int) -> float:
    """CPU time of every thread of a process, from the scheduler."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((t / "schedstat").read_text().split()[0]) for t in tasks) / 1e9


def memory_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


@asynccontextmanager
async def child(
    *command: str, core: set[int], ready: str | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python process on a core; waits for the line ``ready``, ends it after use."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE
    )
    os.sched_setaffinity(process.pid, core)
    assert process.stdout is not None
    try:
        while ready is not None:
            line = await process.stdout.readline()
            if line.decode().strip() == ready:
                break
            if not line:
                raise SystemExit(f"{command}: ended before it was ready")
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def result_of(*command: str, core: set[int]) -> dict[str, Any]:
    """Run a Python process to its end; return the JSON that it prints."""
    async with child(*command, core=core) as process:
        out, _ = await process.communicate()
    result: dict[str, Any] = json.loads(out.splitlines()[-1])
    return result


@asynccontextmanager
async def emulator_calls(shape: Shape) -> AsyncIterator[tuple[int, list[int], int]]:
    """Calls on a real worker; gives its pid, their ports and its memory before them."""
    pool = WorkerPool(
        clock=SystemClock(),
        on_report=lambda report: None,
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
        before_kb = memory_kb(pid)
        ports = [await add_call(pool, n, shape) for n in range(shape.calls)]
        yield pid, ports, before_kb
        await pool.drain(5)
    finally:
        await pool.close()


async def add_call(pool: WorkerPool, number: int, shape: Shape) -> int:
    leg_id = f"L{number}"
    media = MediaParams("PCMU", 0, 101, "127.0.0.1", 9)
    port = await pool.add_leg(leg_id, leg_id, media)
    pool.send(StartLeg(leg_id))
    stream = OpenStream(
        leg_id,
        f"S{number}",
        leg_id,
        "bench",
        f"ws://127.0.0.1:{BOT_PORT}/",
        "1",
        "2",
        sample_rate_hz=shape.sample_rate_hz,
        options={"media_chunk_ms": shape.chunk_ms},
    )
    pool.send(stream)
    return port


@asynccontextmanager
async def prototype_calls(
    directory: Path, shape: Shape
) -> AsyncIterator[tuple[int, list[int], int]]:
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
        yield process.pid, ports, memory_kb(process.pid)


async def measure(shape: Shape, prototype: Path | None) -> Run:
    """Place the calls, load them, and count."""
    own, other = cores()
    probe = await result_of("-m", "bench.probe", core=own)
    bot = ("-m", "bench.echo_bot", "--port", str(BOT_PORT))
    calls = prototype_calls(prototype, shape) if prototype else emulator_calls(shape)
    async with child(*bot, core=other, ready="ready"), calls as (pid, ports, before_kb):
        await asyncio.sleep(SETTLE_S)
        load = ("-m", "bench.rtp_load", "--ports", ",".join(map(str, ports)))
        began_s, began_cpu_s = time.monotonic(), cpu_s(pid)
        counted = await result_of(*load, "--seconds", str(shape.seconds), core=other)
        took_s = time.monotonic() - began_s
        used_s = cpu_s(pid) - began_cpu_s
        grown_kb = memory_kb(pid) - before_kb
    return Run(
        worker="prototype" if prototype else "emulator",
        calls=shape.calls,
        chunk_ms=shape.chunk_ms,
        sample_rate_hz=shape.sample_rate_hz,
        cpu_ms_per_call_s=round(used_s * 1000 / took_s / shape.calls, 3),
        memory_kb_per_call=round(grown_kb / shape.calls, 1),
        probe=probe,
        load=counted,
    )


def line(run: Run) -> str:
    load = run.load
    return (
        f"{run.worker:9} {run.calls:4} calls {run.chunk_ms:3} ms "
        f"{run.sample_rate_hz // 1000:2} kHz"
        f"  cpu {run.cpu_ms_per_call_s:6.3f} ms/call-s"
        f"  mem {run.memory_kb_per_call:6.1f} kB"
        f"  lost {load['frames_lost']}"
        f" dup {load['frames_duplicated']} disorder {load['frames_disordered']}"
        f"  pacing {load['pacing_error_ms_p50_p99_p999_max']}"
        f" (probe {run.probe['late_ms_p50_p99_p999_max']})"
        f"  round trip {load['round_trip_ms_p50_p99_max']}"
    )


def ratios(runs: Sequence[Run]) -> list[str]:
    """The emulator's CPU as a share of the prototype's, shape by shape."""
    figures: dict[tuple[int, int, int], dict[str, list[float]]] = {}
    for run in runs:
        shape = (run.calls, run.chunk_ms, run.sample_rate_hz)
        figures.setdefault(shape, {}).setdefault(run.worker, []).append(
            run.cpu_ms_per_call_s
        )
    return [
        f"{calls} calls, {chunk_ms} ms, {rate_hz} Hz: CPU "
        f"{statistics.median(by['emulator']) / statistics.median(by['prototype']):.2f}"
        " of the prototype's"
        for (calls, chunk_ms, rate_hz), by in figures.items()
        if len(by) == 2
    ]


async def bench(arguments: argparse.Namespace) -> list[Run]:
    runs = []
    workers = [None, *([arguments.prototype] if arguments.prototype else [])]
    for chunk_ms in arguments.chunk_ms:
        for calls in arguments.calls:
            shape = Shape(calls, chunk_ms, arguments.rate, arguments.seconds)
            for _ in range(arguments.runs):
                for worker in workers:
                    runs.append(await measure(shape, worker))
                    print(line(runs[-1]), flush=True)
    return runs


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=numbers, default=[1, 50, 100, 200, 250, 300])
    parser.add_argument("--chunk-ms", type=numbers, default=[100, 20])
    parser.add_argument("--rate", type=int, default=8000, choices=(8000, 16000, 24000))
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--prototype", type=Path, help="directory of another worker")
    parser.add_argument("--out", type=Path, help="file for the JSON")
    arguments = parser.parse_args()
    runs = asyncio.run(bench(arguments))
    print(*ratios(runs), sep="\n")
    if arguments.out:
        facts = {"machine": platform.platform(), "python": platform.python_version()}
        report = {**facts, "runs": [asdict(run) for run in runs]}
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
