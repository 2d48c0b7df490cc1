"""Load on one media worker: calls, CPU, loss, pacing, delay, memory.

    python -m bench.media --quick                  # 2 minutes: is all well?
    python -m bench.media --prototype DIR --save   # the whole ladder, for the record
    python -m bench.media --calls 100 --chunk-ms 20 --seconds 10 --runs 1
    python -m bench.media --soak 30 --calls 100    # minutes: nothing lost, memory flat

The worker has one core for itself, load and echo bot have the other where there are
two. ``--prototype`` runs the same load on the prototype of the design in between, so
that its CPU and ours come from the same minute. The probe of that minute says what the
machine itself allows. ``--save`` writes JSON and a table into ``bench/results``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.machine import (
    child,
    cores,
    cpu_s,
    facts,
    last_words,
    memory_kb,
    printed_by,
    result_of,
)
from bench.media_worker import (
    BOT_PORT,
    OPENINGS_PER_S,
    SRTP_KEY,
    Shape,
    Worker,
    emulator_calls,
    prototype_calls,
)

# After the last stream was told to open: handshakes are not measured.
SETTLE_S = 3.0
LADDER = (1, 50, 100, 200, 250, 300, 400)
CHUNKS_MS = (100, 20)
EXTRA_CALLS = 100
RESULTS = Path(__file__).parent / "results"
# A soak reads the memory so often; the first minute fills caches and buffers.
SOAK_SAMPLE_S = 10.0
SOAK_WARM_UP_S = 60.0
# Growth per call over a soak that is no leak: the interpreter's own arenas.
SOAK_SLACK_KB = 10.0


@dataclass(frozen=True)
class Run:
    """One measurement.

    Attributes:
        to_bot_ms: RTP in to the bot, after the chunk is full: p50, p99, max.
        underruns: Of all calls; None where they are not counted.
        memory_kb: Of the worker, over a soak.
    """

    worker: str
    shape: Shape
    cpu_ms_per_call_s: float
    memory_kb_per_call: float
    to_bot_ms: list[float]
    underruns: int | None
    probe: dict[str, Any]
    load: dict[str, Any]
    memory_kb: tuple[int, ...] = ()


async def measure(
    shape: Shape, prototype: Path | None, certificate: tuple[str, ...] = ()
) -> Run:
    """Place the calls, load them, and count."""
    own, other = cores()
    probe = await result_of("-m", "bench.probe", core=own)
    bot = ("-m", "bench.echo_bot", "--port", str(BOT_PORT), *certificate)
    calls = prototype_calls(prototype, shape) if prototype else emulator_calls(shape)
    async with child(*bot, core=other, ready="ready") as echo:
        async with (
            calls as worker,
            child(*_load_command(worker, shape), core=other, ready="talking") as phones,
        ):
            begins_s = time.monotonic() + _warm_up_s(shape)
            await worker.open_streams()
            await asyncio.sleep(begins_s - time.monotonic())
            began_s, began_cpu_s = time.monotonic(), cpu_s(worker.pid)
            samples = await _sample_memory(worker.pid, began_s + shape.seconds)
            took_s = time.monotonic() - began_s
            used_s = cpu_s(worker.pid) - began_cpu_s
            load = await printed_by(phones)
        heard = await last_words(echo)
    grown_kb = samples[-1] - worker.before_kb
    return Run(
        worker="prototype" if prototype else "emulator",
        shape=shape,
        cpu_ms_per_call_s=round(used_s * 1000 / took_s / shape.calls, 3),
        memory_kb_per_call=round(grown_kb / shape.calls, 1),
        to_bot_ms=heard.get("to_bot_ms_p50_p99_max", []),
        underruns=None if prototype else worker.total("playout", "underruns"),
        probe=probe,
        load=load,
        memory_kb=tuple(samples),
    )


def _warm_up_s(shape: Shape) -> float:
    """From the first packet until every stream is open and has settled."""
    return 1.5 * shape.calls / OPENINGS_PER_S + SETTLE_S


def _load_command(worker: Worker, shape: Shape) -> tuple[str, ...]:
    return (
        "-m", "bench.rtp_load", "--ports", ",".join(map(str, worker.ports)),
        "--from-port", str(worker.phone_port), "--warm-up", str(_warm_up_s(shape)),
        "--seconds", str(_warm_up_s(shape) + shape.seconds),
        *(["--srtp", SRTP_KEY.hex()] if shape.srtp else []),
        *(["--unstamped"] if shape.sample_rate_hz != 8000 else []),
    )  # fmt: skip


async def _sample_memory(pid: int, ends_s: float) -> list[int]:
    """Wait for the end; sample what a soak needs, and once at the end."""
    samples: list[int] = []
    next_s = time.monotonic() + SOAK_WARM_UP_S
    while next_s < ends_s:
        await asyncio.sleep(next_s - time.monotonic())
        samples.append(memory_kb(pid))
        next_s += SOAK_SAMPLE_S
    await asyncio.sleep(ends_s - time.monotonic())
    return [*samples, memory_kb(pid)]


HEADINGS = (
    "worker", "shape", "CPU ms/call-s", "kB/call", "lost", "dup", "disorder",
    "pacing ms p50/p99/p99.9/max", "probe", "to bot ms", "round trip ms", "underruns",
)  # fmt: skip


def row(run: Run) -> list[str]:
    """The cells of one run under ``HEADINGS``."""
    load = run.load
    return [
        run.worker,
        run.shape.name,
        f"{run.cpu_ms_per_call_s:.3f}",
        f"{run.memory_kb_per_call:.1f}",
        _cell(load["frames_lost"]),
        _cell(load["frames_duplicated"]),
        _cell(load["frames_disordered"]),
        _cells(load["pacing_error_ms_p50_p99_p999_max"]),
        _cells(run.probe["late_ms_p50_p99_p999_max"]),
        _cells(run.to_bot_ms),
        _cells(load["round_trip_ms_p50_p99_max"]),
        _cell(run.underruns),
    ]


def _cell(count: int | None) -> str:
    return "-" if count is None else str(count)


def _cells(values: Sequence[float]) -> str:
    return "/".join(f"{value:.2f}" for value in values) or "-"


def ratios(runs: Sequence[Run]) -> list[str]:
    """The emulator's CPU as a share of the prototype's, shape by shape."""
    figures: dict[str, dict[str, list[float]]] = {}
    for run in runs:
        by_worker = figures.setdefault(run.shape.name, {})
        by_worker.setdefault(run.worker, []).append(run.cpu_ms_per_call_s)
    lines = []
    for name, by in figures.items():
        medians = {worker: statistics.median(values) for worker, values in by.items()}
        line = f"{name}: " + ", ".join(f"{w} {ms:.3f}" for w, ms in medians.items())
        if len(medians) == 2:
            line += f" CPU-ms, ratio {medians['emulator'] / medians['prototype']:.2f}"
        lines.append(line)
    return lines


def shapes(arguments: argparse.Namespace) -> list[Shape]:
    """What to run: the ladder, then 100 calls with each extra."""
    seconds = arguments.seconds
    ladder = [
        Shape(calls, chunk_ms, arguments.rate, seconds)
        for chunk_ms in arguments.chunk_ms
        for calls in arguments.calls
    ]
    if not arguments.extras:
        return ladder
    return ladder + [
        extra
        for chunk_ms in arguments.chunk_ms
        for extra in (
            Shape(EXTRA_CALLS, chunk_ms, 8000, seconds, srtp=True),
            Shape(EXTRA_CALLS, chunk_ms, 8000, seconds, tls=True),
            Shape(EXTRA_CALLS, chunk_ms, 16_000, seconds),
        )
    ]


def has_prototype(shape: Shape) -> bool:
    """SRTP and wss:// are beyond it."""
    return not (shape.srtp or shape.tls)


async def bench(arguments: argparse.Namespace, directory: Path) -> list[Run]:
    certificate = await make_certificate(directory)
    runs = []
    print(" | ".join(HEADINGS), flush=True)
    for shape in shapes(arguments):
        workers: list[Path | None] = [None]
        if arguments.prototype and has_prototype(shape):
            workers.append(arguments.prototype)
        for _ in range(arguments.runs):
            for worker in workers:
                tls = certificate if shape.tls else ()
                runs.append(await measure(shape, worker, tls))
                print(" | ".join(row(runs[-1])), flush=True)
    return runs


async def make_certificate(directory: Path) -> tuple[str, ...]:
    """Return the echo bot's options for TLS."""
    certificate, key = str(directory / "bot.pem"), str(directory / "bot.key")
    process = await asyncio.create_subprocess_exec(
        "openssl", "req", "-x509", "-newkey", "ec", "-nodes",
        "-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=127.0.0.1",
        "-keyout", key, "-out", certificate,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    if await process.wait():
        raise SystemExit("openssl made no certificate")
    return "--certificate", certificate, "--key", key


def save(runs: Sequence[Run], name: str) -> None:
    """Write JSON and the table into ``bench/results``."""
    report = {**facts(), "runs": [asdict(run) for run in runs], "ratios": ratios(runs)}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n")
    lines = [HEADINGS, ("---",) * len(HEADINGS), *map(row, runs)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    about = "\n".join(f"- {key}: {value}" for key, value in facts().items())
    text = f"{about}\n\n{table}\n\n" + "\n".join(f"- {line}" for line in ratios(runs))
    (RESULTS / f"{name}.md").write_text(text + "\n")


async def soak(arguments: argparse.Namespace) -> list[Run]:
    """One long run at each chunk length."""
    runs = []
    for chunk_ms in arguments.chunk_ms:
        shape = Shape(arguments.calls[0], chunk_ms, 8000, arguments.soak * 60)
        runs.append(await measure(shape, None))
        print(" | ".join(row(runs[-1])), flush=True)
    return runs


def verdict(run: Run) -> list[str]:
    """What a soak must not show."""
    load = run.load
    problems = [
        f"{run.shape.name}: {name} {load[name]}"
        for name in ("frames_lost", "frames_duplicated", "frames_disordered")
        if load[name]
    ]
    if len(run.memory_kb) > 2:
        grown_kb = (run.memory_kb[-1] - run.memory_kb[0]) / run.shape.calls
        if grown_kb > SOAK_SLACK_KB:
            problems.append(f"{run.shape.name}: memory grew by {grown_kb:.1f} kB/call")
    return problems


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=numbers, help="default: the ladder")
    parser.add_argument("--chunk-ms", type=numbers, default=list(CHUNKS_MS))
    parser.add_argument("--rate", type=int, default=8000, choices=(8000, 16000, 24000))
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--extras", action="store_true", help="SRTP, wss and 16 kHz")
    parser.add_argument("--quick", action="store_true", help="100 calls, 8 s, one run")
    parser.add_argument("--soak", type=float, metavar="MINUTES")
    parser.add_argument("--prototype", type=Path, help="directory of the prototype")
    parser.add_argument("--save", action="store_true", help="into bench/results")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seconds, arguments.runs, arguments.extras = 8.0, 1, True
        arguments.calls = arguments.calls or [EXTRA_CALLS]
    elif arguments.calls is None:
        # The whole ladder has the extras; who asks for a rung gets that rung.
        arguments.extras = arguments.extras or not arguments.soak
        arguments.calls = [EXTRA_CALLS] if arguments.soak else list(LADDER)
    return arguments


def main() -> None:
    arguments = parse()
    if arguments.soak:
        runs = asyncio.run(soak(arguments))
        name = "media-soak"
    else:
        with tempfile.TemporaryDirectory() as directory:
            runs = asyncio.run(bench(arguments, Path(directory)))
        name = "media-quick" if arguments.quick else "media"
        print(*ratios(runs), sep="\n")
    if arguments.save:
        save(runs, name)
    problems = [text for run in runs for text in verdict(run)] if arguments.soak else []
    print(*problems, sep="\n", end="\n" if problems else "")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
