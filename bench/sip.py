"""What SIP costs: calls a second, processor time, memory, and what is left afterwards.

    python bench/sip.py [--quick] [--transport u1|t1]

SIPp calls a flow that answers at once and opens no stream; SIPp hangs up at once.
Prints a table and one JSON object. The goals: no failed call at 400 calls/s; at 200/s
at most 1 ms of the control process per call; 25 µs to parse a plain INVITE; after the
drain no more sockets than before, and less than 2 MB more for a second identical run.

The emulator shows transactions, dialogs and tasks by no route: files and memory stand
for them here, as whatever is left open holds some. Processor time is from the first
call to the end of the drain, so it includes what the process uses when it is idle.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from emulator.sip.message import parse_message
from tests.support.footprint import footprint
from tests.support.processes import Emulator, emulator, eventually, run

# Transactions linger for 64*T1 = 32 s after a call (RFC 3261 §17).
DRAIN_S = 36.0
RATES_PER_S = (100, 200, 200, 400, 400)
SOAK_CALLS = 5_000
NUMBER = "08010000001"

CONFIG = """\
calls: {ring_ms: 0, keep_ended: 100}
flow: {silent_greeting_ms: 5000}
numbers: [{number: "08010000001", flow: silence}]
"""
FLOW = """\
flow: silence
app_id: "1"
start: wait
applets:
  wait: {type: greeting, text: "...", next: bye}
  bye: {type: hangup}
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
    """One run of SIPp and what it cost; "more" is against just before the run."""

    rate_per_s: int
    calls: int
    failed: int
    took_s: float
    control_cpu_ms_per_call: float
    worker_cpu_ms_per_call: float
    more_control_bytes: int
    more_worker_bytes: int
    more_control_files: int
    more_worker_files: int


def parse_us() -> float:
    """Return the least time of some rounds to parse a plain INVITE."""
    rounds, repeats = 20, 500
    best_s = float("inf")
    for _ in range(rounds):
        began_s = time.perf_counter()
        for _ in range(repeats):
            parse_message(INVITE)
        best_s = min(best_s, time.perf_counter() - began_s)
    return best_s / repeats * 1e6


def load(
    running: Emulator, sipp: str, directory: Path, rate: int, calls: int, transport: str
) -> Load:
    """Run SIPp's own caller, wait until everything has lingered, and look again."""
    control, worker = running.process.pid, running.worker_pids()[0]
    before = footprint(control), footprint(worker)
    began_s = time.monotonic()
    done = run(
        sipp, "-sn", "uac", f"127.0.0.1:{running.sip_port}", "-s", NUMBER,
        "-m", str(calls), "-r", str(rate), "-l", "2000", "-t", transport,
        "-i", "127.0.0.1", "-nostdin", cwd=directory, deadline_s=calls / rate + 120,
    )  # fmt: skip
    took_s = time.monotonic() - began_s
    eventually(lambda: all(c["ended_at"] for c in running.calls()), "all calls end", 60)
    time.sleep(DRAIN_S)
    after = footprint(control), footprint(worker)
    return Load(
        rate_per_s=rate,
        calls=calls,
        failed=calls - _successful(done.stdout),
        took_s=round(took_s, 2),
        control_cpu_ms_per_call=_cpu_ms(before[0].cpu_s, after[0].cpu_s, calls),
        worker_cpu_ms_per_call=_cpu_ms(before[1].cpu_s, after[1].cpu_s, calls),
        more_control_bytes=after[0].memory_bytes - before[0].memory_bytes,
        more_worker_bytes=after[1].memory_bytes - before[1].memory_bytes,
        more_control_files=after[0].files - before[0].files,
        more_worker_files=after[1].files - before[1].files,
    )


def _cpu_ms(before_s: float, after_s: float, calls: int) -> float:
    return round((after_s - before_s) * 1000 / calls, 3)


def _successful(screen: str) -> int:
    """Return the cumulative value on SIPp's last screen; 0 without one."""
    values = re.findall(r"Successful call +\| +\d+ +\| +(\d+)", screen)
    return int(values[-1]) if values else 0


def measure(directory: Path, sipp: str, transport: str, *, quick: bool) -> list[Load]:
    """Run every rate, some twice, and then many calls in a row."""
    flows = directory / "flows"
    flows.mkdir()
    (flows / "silence.yaml").write_text(FLOW)
    env = {"EXOTEL_EMULATOR_FLOW__DIRECTORY": str(flows)}
    # The growth of a run that was just there in the same way is what counts.
    plan = [(rate, 10 * rate) for rate in RATES_PER_S] + [(200, SOAK_CALLS)]
    if quick:
        plan = [(100, 200), (100, 200)]
    loads = []
    with emulator(directory, config=CONFIG, env=env) as running:
        for rate, calls in plan:
            print(f"{calls} calls at {rate}/s …", file=sys.stderr, flush=True)
            loads.append(load(running, sipp, directory, rate, calls, transport))
    return loads


def print_table(loads: list[Load], invite_us: float) -> None:
    """Print what was measured for people."""
    print(
        "calls/s   calls  failed  control ms/call  worker ms/call  more kB  more files"
    )
    for one in loads:
        more_kb = (one.more_control_bytes + one.more_worker_bytes) // 1024
        more_files = one.more_control_files + one.more_worker_files
        print(
            f"{one.rate_per_s:7} {one.calls:7} {one.failed:7} "
            f"{one.control_cpu_ms_per_call:16.3f} {one.worker_cpu_ms_per_call:15.3f} "
            f"{more_kb:8} {more_files:11}"
        )
    print(f"a plain INVITE is parsed in {invite_us:.1f} µs")
    print("not measured, no route shows them: transactions, dialogs, tasks")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two short runs")
    parser.add_argument("--transport", choices=("u1", "t1"), default="u1")
    arguments = parser.parse_args()
    sipp = shutil.which("sipp")
    if sipp is None:
        sys.exit("sipp is not installed (apt-get install sip-tester)")
    invite_us = parse_us()
    with tempfile.TemporaryDirectory() as directory:
        loads = measure(
            Path(directory), sipp, arguments.transport, quick=arguments.quick
        )
    print_table(loads, invite_us)
    result = {
        "cores": os.cpu_count(),
        "parse_invite_us": round(invite_us, 2),
        "loads": [asdict(one) for one in loads],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
