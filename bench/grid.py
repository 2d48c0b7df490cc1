"""Calls over bad networks: a grid of loss and jitter, both ways, with an echo bot.

    python -m bench.grid --seconds 20 --out bench/results/grid.json

Twelve calls at once on one worker, each with its own seeded damage of the RTP to and
from the phone. A frame counts as echoed when the phone hears it back whole; the loss of
both ways is in that. The grid runs once as packets come, and once with a jitter buffer.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.machine import child, cores
from bench.media import SETTLE_S
from bench.media_worker import BOT_PORT
from bench.rtp_load import TAIL_FRAMES, WARM_UP_S, Load, Phone, open_phones, percentiles
from emulator.clock import SystemClock
from emulator.worker.host import WorkerPool
from emulator.worker.messages import (
    Impair,
    LegRemoved,
    MediaParams,
    OpenStream,
    RemoveLeg,
    Report,
    StartLeg,
    StreamEnded,
)

LOSSES = (0.0, 0.01, 0.03, 0.05)
JITTERS_MS = (0, 20, 50)
RTP_PORT_MIN, RTP_PORT_MAX = 22020, 22119
SEED = 7


@dataclass(frozen=True)
class Cell:
    """One call of the grid.

    Attributes:
        lost_in: Packets of the phone that never came, as the worker counted.
        late: Those that came after a later one had been heard.
        bot_ms: Audio that the bot got, of ``seconds`` of speech.
        echoed: Share of the phone's frames that it heard back whole.
        underruns, gap_ms: Holes in what the phone was played, and their sum.
        is_alive: Leg and stream lasted until they were ended.
    """

    loss: float
    jitter_ms: int
    buffer_ms: int
    is_alive: bool
    lost_in: int
    late: int
    bot_ms: int
    echoed: float
    round_trip_ms: list[float]
    underruns: int
    gap_ms: int


class Reports:
    """What the worker says about each call."""

    def __init__(self) -> None:
        self.removed: dict[str, Mapping[str, Any]] = {}
        self.ended: dict[str, StreamEnded] = {}

    def take(self, report: Report) -> None:
        if isinstance(report, LegRemoved):
            self.removed[report.leg_id] = report.stats
        elif isinstance(report, StreamEnded):
            self.ended[report.leg_id] = report


async def run_grid(
    seconds: float, buffer_ms: int, bot_port: int = BOT_PORT
) -> list[Cell]:
    """Place the calls, damage them, let the phones talk."""
    networks = [(loss, jitter) for loss in LOSSES for jitter in JITTERS_MS]
    reports = Reports()
    pool = WorkerPool(
        clock=SystemClock(), on_report=reports.take, on_lost=lambda *lost: None
    )
    bot = ("-m", "bench.echo_bot", "--port", str(bot_port))
    async with child(*bot, core=cores()[1], ready="ready"):
        try:
            await pool.spawn()
            pool.configure(
                workers=1,
                bind_ip="127.0.0.1",
                rtp_port_min=RTP_PORT_MIN,
                rtp_port_max=RTP_PORT_MAX,
                options={"jitter_buffer_ms": buffer_ms},
            )
            await pool.ready()
            url = f"ws://127.0.0.1:{bot_port}/"
            ports = [
                await add_call(pool, n, network, url)
                for n, network in enumerate(networks)
            ]
            await asyncio.sleep(SETTLE_S)
            phones = open_phones(ports)
            load = Load(phones)
            gc.collect()
            try:
                await asyncio.to_thread(load.run, seconds)
            finally:
                load.close()
            for n in range(len(networks)):
                pool.send(RemoveLeg(f"L{n}"))
            await pool.drain(5)
        finally:
            await pool.close()
    return [
        cell_of(networks[n], buffer_ms, phones[n], load, f"L{n}", reports)
        for n in range(len(networks))
    ]


async def add_call(
    pool: WorkerPool, number: int, network: tuple[float, int], url: str
) -> int:
    """Open a call with an echo bot over a damaged network; return its RTP port."""
    leg_id = f"L{number}"
    media = MediaParams("PCMU", 0, 101, "127.0.0.1", 9)
    port = await pool.add_leg(leg_id, leg_id, media)
    damage = {"loss": network[0], "jitter_ms": network[1]}
    pool.send(Impair(leg_id, SEED + number, damage, damage))
    pool.send(StartLeg(leg_id))
    pool.send(OpenStream(leg_id, f"S{number}", leg_id, "bench", url, "1", "2"))
    return port


def cell_of(
    network: tuple[float, int],
    buffer_ms: int,
    phone: Phone,
    load: Load,
    leg_id: str,
    reports: Reports,
) -> Cell:
    """Put together what phone and worker counted of one call."""
    low, high = int(WARM_UP_S * 50), load.frame - TAIL_FRAMES
    window = [echo for echo in phone.echoes if low <= echo[0] < high]
    stats = reports.removed.get(leg_id, {})
    received, playout = stats.get("received", {}), stats.get("playout", {})
    ended = reports.ended.get(leg_id)
    stream = ended.stats if ended else {}
    return Cell(
        loss=network[0],
        jitter_ms=network[1],
        buffer_ms=buffer_ms,
        is_alive=ended is not None and ended.status == "completed",
        lost_in=received.get("lost", 0),
        late=received.get("late", 0),
        bot_ms=int(str(stream.get("audio_to_bot_ms", 0))),
        echoed=round(len({frame for frame, _, _ in window}) / (high - low), 4),
        round_trip_ms=percentiles([(at - s) / 1e6 for _, s, at in window], 50, 99),
        underruns=playout.get("underruns", 0),
        gap_ms=playout.get("gap_ms", 0),
    )


def table(cells: list[Cell]) -> str:
    """Return the grid as a table in Markdown."""
    columns = (
        "Loss", "Jitter", "Buffer", "Lives", "Lost in", "Echoed whole",
        "Round trip p50, p99", "Underruns", "Holes",
    )  # fmt: skip
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for cell in cells:
        p50, p99 = (cell.round_trip_ms + [0.0, 0.0])[:2]
        lines.append(
            f"| {cell.loss:.0%} | {cell.jitter_ms} ms | {cell.buffer_ms} ms "
            f"| {'yes' if cell.is_alive else 'NO'} | {cell.lost_in} "
            f"| {cell.echoed:.1%} | {p50:.0f}, {p99:.0f} ms "
            f"| {cell.underruns} | {cell.gap_ms} ms |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--buffer-ms", type=int, default=60)
    parser.add_argument("--out", type=Path, help="file for the JSON")
    arguments = parser.parse_args()
    cells = asyncio.run(run_grid(arguments.seconds, 0))
    cells += asyncio.run(run_grid(arguments.seconds, arguments.buffer_ms))
    print(table(cells))
    if arguments.out:
        facts = {"machine": platform.platform(), "python": platform.python_version()}
        report = {**facts, "cells": [asdict(cell) for cell in cells]}
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
