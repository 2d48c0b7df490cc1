"""What SIP costs: calls a second, processor time, memory, and what is left afterwards.

    python bench/sip.py [--runs 3] [--transports u1,t1] [--rates 100,200,400]
                        [--soak 5000] [--save NAME]

SIPp calls a flow that answers at once and opens no stream, and hangs up at once. Every
rate runs over UDP (u1) and TCP (t1); each figure is the median of the runs. The goals:
no failed call; at 200/s at most 1 ms of the control process per call; 25 µs to parse a
plain INVITE; after the drain nothing open; less than 2 MB more for a second identical
run.

Processor time is from the first call until the last transaction has lingered, so it
includes what the process uses when it is idle. What is open is asked of
``/emulator/v1/diagnostics``.

It exits with 1 when a call failed, something is left open, or the soak's second run
grew.
The goals of speed are told as met or missed: they depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Generator, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.machine import facts
from emulator.sip.message import parse_message
from tests.support.footprint import footprint
from tests.support.open_things import left_open, own_bytes, until_closed
from tests.support.processes import Emulator, emulator, run
from tests.support.silent_flow import write_silent_flow

RESULTS = Path(__file__).parent / "results"
SECONDS = 10
SOAK_RATE_PER_S = 200
# As many at once as ever later, so that only what is not given back counts.
WARM_UP_RATE_PER_S, WARM_UP_CALLS = 400, 6_000
NUMBER = "08010000001"
# A minute's calls are few, an hour's are not to be remembered: memory is measured.
KEEP_ENDED = 100
MOST_MORE_BYTES = 2 << 20
GOAL_RATE_PER_S, GOAL_MS_PER_CALL, GOAL_PARSE_US = 200, 1.0, 25.0

CONFIG = f"""\
calls: {{ring_ms: 0, keep_ended: {KEEP_ENDED}}}
flow: {{silent_greeting_ms: 60000}}
numbers: [{{number: "{NUMBER}", flow: silence}}]
"""
INVITE = (
    b"INVITE sip:08010000001@127.0.0.1:5060 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 127.0.0.1:5070;rport;branch=z9hG4bK-1234-1-0\r\n"
    b"Max-Forwards: 70\r\n"
    b'From: "Alice" <sip:alice@127.0.0.1:5070>;tag=1234SIPpTag001\r\n'
    b"To: <sip:08010000001@127.0.0.1:5060>\r\n"
    b"Call-ID: 1-1234@127.0.0.1\r\n"
    b"CSeq: 1 INVITE\r\n"
    b"Contact: <sip:alice@127.0.0.1:5070>\r\n"
    b"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE\r\n"
    b"User-Agent: phone/1.0\r\n"
    b"Content-Type: application/sdp\r\n"
    b"Content-Length: 129\r\n\r\n"
    b"v=0\r\no=user1 53655765 2353687637 IN IP4 127.0.0.1\r\ns=-\r\n"
    b"c=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
)


@dataclass(frozen=True)
class Load:
    """One run of SIPp and what it cost; "more" is against just before the run.

    Attributes:
        left: What the diagnostics still counted after the drain, by name.
    """

    transport: str
    rate_per_s: int
    calls: int
    failed: int
    took_s: float
    control_cpu_ms_per_call: float
    worker_cpu_ms_per_call: float
    more_bytes: int
    left: dict[str, int]


def parse_us() -> float:
    """Return the least time of some rounds to parse a plain INVITE."""
    rounds, repeats = 20, 500
    best_s = float("inf")
    for _ in range(rounds):
        began_s = time.process_time()
        for _ in range(repeats):
            parse_message(INVITE)
        best_s = min(best_s, time.process_time() - began_s)
    return best_s / repeats * 1e6


def load(
    running: Emulator, sipp: str, directory: Path, rate: int, calls: int, transport: str
) -> Load:
    """Run SIPp's own caller, wait until everything has lingered, and look again."""
    pids = running.process.pid, running.worker_pids()[0]
    quiet = running.diagnostics()
    cpu_s = [footprint(pid).cpu_s for pid in pids]
    began_s = time.monotonic()
    done = run(
        sipp, "-sn", "uac", f"127.0.0.1:{running.sip_port}", "-s", NUMBER,
        "-m", str(calls), "-r", str(rate), "-l", "2000", "-t", transport,
        "-i", "127.0.0.1", "-nostdin", cwd=directory, deadline_s=calls / rate + 120,
    )  # fmt: skip
    took_s = time.monotonic() - began_s
    now = until_closed(running, quiet)
    used_s = [footprint(pid).cpu_s - s for pid, s in zip(pids, cpu_s, strict=True)]
    return Load(
        transport="udp" if transport == "u1" else "tcp",
        rate_per_s=rate,
        calls=calls,
        failed=calls - _successful(done.stdout),
        took_s=round(took_s, 2),
        control_cpu_ms_per_call=round(used_s[0] * 1000 / calls, 3),
        worker_cpu_ms_per_call=round(used_s[1] * 1000 / calls, 3),
        more_bytes=own_bytes(now) - own_bytes(quiet),
        left=left_open(now, quiet),
    )


def _successful(screen: str) -> int:
    """Return the cumulative value on SIPp's last screen; 0 without one."""
    values = re.findall(r"Successful call +\| +\d+ +\| +(\d+)", screen)
    return int(values[-1]) if values else 0


def measure(
    directory: Path, sipp: str, plan: Iterable[tuple[str, int, int]]
) -> Generator[Load, None, None]:
    """Run each (transport, rate, calls), after some calls that fill what is bounded."""
    env = write_silent_flow(directory)
    with emulator(directory, config=CONFIG, env=env) as running:
        load(running, sipp, directory, WARM_UP_RATE_PER_S, WARM_UP_CALLS, "u1")
        for transport, rate, calls in plan:
            print(f"{calls} calls at {rate}/s …", file=sys.stderr, flush=True)
            yield load(running, sipp, directory, rate, calls, transport)


def summary(loads: list[Load]) -> dict[str, Any]:
    """Return the medians of the runs of one kind, and the worst of what must be 0."""
    return {
        "transport": loads[0].transport,
        "rate_per_s": loads[0].rate_per_s,
        "calls": loads[0].calls,
        "runs": len(loads),
        "failed": sum(one.failed for one in loads),
        **{
            name: round(statistics.median(getattr(one, name) for one in loads), 3)
            for name in ("control_cpu_ms_per_call", "worker_cpu_ms_per_call")
        },
        # The first run of a kind may fill what is bounded.
        "more_bytes": loads[-1].more_bytes,
        "left": sum(sum(one.left.values()) for one in loads),
    }


def table(rows: list[dict[str, Any]], invite_us: float) -> str:
    """Return what was measured, for people."""
    names = (
        "transport  calls/s   calls  runs  failed  control ms/call  worker ms/call",
        "more kB  left open",
    )
    lines = ["  ".join(names)]
    lines += [
        f"{row['transport']:>9} {row['rate_per_s']:9} {row['calls']:7} {row['runs']:5} "
        f"{row['failed']:7} {row['control_cpu_ms_per_call']:16.3f} "
        f"{row['worker_cpu_ms_per_call']:15.3f} {row['more_bytes'] // 1024:8} "
        f"{row['left']:10}"
        for row in rows
    ]
    return "\n".join([*lines, f"a plain INVITE is parsed in {invite_us:.1f} µs"])


def goals(rows: list[dict[str, Any]], invite_us: float) -> list[str]:
    """Return how the goals of speed fared, a line each."""
    made = [("parse a plain INVITE", invite_us, GOAL_PARSE_US, "µs")] + [
        (f"{row['transport']} at {GOAL_RATE_PER_S}/s, control per call",
         row["control_cpu_ms_per_call"], GOAL_MS_PER_CALL, "ms")
        for row in rows if row["rate_per_s"] == GOAL_RATE_PER_S
    ]  # fmt: skip
    return [
        f"{'met' if had <= most else 'missed'}: {what}: {had:.3f} {unit}, goal {most}"
        for what, had, most, unit in made
    ]


def faults(rows: list[dict[str, Any]], *, has_soak: bool) -> list[str]:
    """Return what must never be, whatever the machine."""
    found = []
    for row in rows:
        where = f"{row['transport']} at {row['rate_per_s']}/s"
        if row["failed"]:
            found.append(f"{where}: {row['failed']} calls failed")
        if row["left"]:
            found.append(f"{where}: {row['left']} left open")
    if has_soak and rows[-1]["more_bytes"] >= MOST_MORE_BYTES:
        grown = rows[-1]["more_bytes"] // 1024
        found.append(f"the soak's second run added {grown} kB")
    return found


def save(name: str, result: dict[str, Any], shown: str) -> Path:
    """Write JSON, and the table with the machine's facts; return the first."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    about = "\n".join(f"- {key}: {value}" for key, value in result["machine"].items())
    path.with_suffix(".md").write_text(f"{about}\n\n```text\n{shown}\n```\n")
    return path


def _plan(arguments: argparse.Namespace) -> list[list[tuple[str, int, int]]]:
    """Return the runs of each kind."""
    kinds = [
        [(transport, rate, SECONDS * rate)] * arguments.runs
        for transport in arguments.transports.split(",")
        for rate in map(int, arguments.rates.split(","))
    ]
    if arguments.soak:
        kinds.append([("u1", SOAK_RATE_PER_S, arguments.soak)] * 2)
    return kinds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rates", default="100,200,400", help="calls a second")
    parser.add_argument("--transports", default="u1,t1")
    parser.add_argument("--soak", type=int, default=5_000, help="calls of the last two")
    parser.add_argument("--save", metavar="NAME", help="write bench/results/NAME.json")
    arguments = parser.parse_args()
    sipp = shutil.which("sipp")
    if sipp is None:
        sys.exit("sipp is not installed (apt-get install sip-tester)")
    about, invite_us = facts(), parse_us()
    kinds = _plan(arguments)
    with tempfile.TemporaryDirectory() as directory:
        done = measure(Path(directory), sipp, [one for kind in kinds for one in kind])
        loads = [[next(done) for _ in kind] for kind in kinds]
        done.close()
    rows = [summary(kind) for kind in loads]
    shown = table(rows, invite_us)
    result = {
        "machine": about,
        "parse_invite_us": round(invite_us, 2),
        "rows": rows,
        "loads": [asdict(one) for kind in loads for one in kind],
    }
    print(shown)
    print(json.dumps(result))
    if arguments.save:
        print(f"written to {save(arguments.save, result, shown)}", file=sys.stderr)
    found = faults(rows, has_soak=bool(arguments.soak))
    for line in [*goals(rows, invite_us), *found]:
        print(line, file=sys.stderr)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
