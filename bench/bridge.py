"""Bridged pairs on one media worker: CPU beside a leg with an echo bot, loss, delay.

    python -m bench.bridge --pairs 50 --seconds 10 --runs 3

Every phone hears the other phone of its pair. Frames carry the time at which they were
sent, so what is printed as delay is one way: from one phone's socket to the other's.
Both loads run in turns in the same minutes; only their ratio means something on a
machine that does other work.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bench.machine import child, cores, cpu_s, printed_by
from bench.media import measure
from bench.media_worker import RTP_PORT_MAX, RTP_PORT_MIN, Shape
from bench.rtp_load import WARM_UP_S
from emulator.clock import SystemClock
from emulator.worker.host import WorkerPool
from emulator.worker.messages import Bridge, MediaParams, StartLeg

CHUNK_MS = 20
RATE_HZ = 8000


@dataclass(frozen=True)
class PairRun:
    """One measurement of bridged pairs."""

    cpu_ms_per_pair_s: float
    load: dict[str, Any]


@asynccontextmanager
async def bridged_pairs(
    pairs: int, other_codec: str
) -> AsyncIterator[tuple[int, list[int]]]:
    """Bridged legs on a real worker; gives its pid and the ports, pair by pair."""
    pool = WorkerPool(
        clock=SystemClock(), on_report=lambda report: None, on_lost=lambda *lost: None
    )
    types = {"PCMU": 0, "PCMA": 8}
    try:
        await pool.spawn()
        pool.configure(
            workers=1,
            bind_ip="127.0.0.1",
            rtp_port_min=RTP_PORT_MIN,
            rtp_port_max=RTP_PORT_MAX,
        )
        await pool.ready()
        ports = []
        for pair in range(pairs):
            for side, codec in (("a", "PCMU"), ("b", other_codec)):
                media = MediaParams(codec, types[codec], 101, "127.0.0.1", 9)
                leg_id = f"{pair}{side}"
                ports.append(await pool.add_leg(leg_id, f"C{pair}", media))
                pool.send(StartLeg(leg_id))
            pool.send(Bridge(f"{pair}a", f"{pair}b"))
        yield pool.pids[0], ports
    finally:
        await pool.close()


async def measure_pairs(pairs: int, seconds: float) -> PairRun:
    """Load the pairs, and count."""
    own, other = cores()
    async with bridged_pairs(pairs, "PCMU") as (pid, ports):
        os.sched_setaffinity(pid, own)
        load = (
            "-m", "bench.rtp_load", "--ports", ",".join(map(str, ports)),
            "--seconds", str(WARM_UP_S + seconds),
        )  # fmt: skip
        async with child(*load, core=other, ready="talking") as phones:
            await asyncio.sleep(WARM_UP_S)
            began_s, began_cpu_s = time.monotonic(), cpu_s(pid)
            await asyncio.sleep(seconds)
            took_s = time.monotonic() - began_s
            used_s = cpu_s(pid) - began_cpu_s
            counted = await printed_by(phones)
    return PairRun(round(used_s * 1000 / took_s / pairs, 3), counted)


async def bench(pairs: int, seconds: float, runs: int) -> None:
    shape = Shape(pairs, CHUNK_MS, RATE_HZ, seconds)
    of_pairs, of_legs = [], []
    for _ in range(runs):
        run = await measure_pairs(pairs, seconds)
        leg = await measure(shape, None)
        of_pairs.append(run.cpu_ms_per_pair_s)
        of_legs.append(leg.cpu_ms_per_call_s)
        load = run.load
        print(
            f"{pairs} pairs  cpu {run.cpu_ms_per_pair_s:.3f} ms/pair-s"
            f"  (a leg with an echo bot: {leg.cpu_ms_per_call_s:.3f})"
            f"  lost {load['frames_lost']} of {load['frames_expected']}"
            f" dup {load['frames_duplicated']} disorder {load['frames_disordered']}"
            f"  delay one way {load['round_trip_ms_p50_p99_max']} ms",
            flush=True,
        )
    ratio = statistics.median(of_pairs) / statistics.median(of_legs)
    print(
        f"a bridged pair costs {ratio:.2f} of a leg with an echo bot at {CHUNK_MS} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    asyncio.run(bench(arguments.pairs, arguments.seconds, arguments.runs))


if __name__ == "__main__":
    main()
