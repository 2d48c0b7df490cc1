"""What one call costs: processor time of control and worker, and time to ready.

    python bench/one_call.py [--runs 3] [--seconds 10]

Everything runs in processes of its own; the caller's and the bot's costs are not the
emulator's. Prints one JSON object; quote medians, the machine may be shared.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.processes import Process, echo_bot, emulator


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has used, in seconds."""
    total_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total_ns += int((task / "schedstat").read_text().split()[0])
    return total_ns / 1e9


def measure(directory: Path, seconds: float) -> dict[str, float]:
    """Place one call and return its costs, in percent of a core, and the start-up."""
    with echo_bot(directory) as (_, port):
        url = f"ws://127.0.0.1:{port}/media?sample-rate=8000"
        with emulator(directory, env={"ECHO_BOT_URL": url}) as running:
            ready = re.search(r"ready after ([0-9.]+)", running.process.output)
            assert ready
            caller = Process(
                sys.executable, "-m", "emulator", "call", "08010000002",
                "--target", f"127.0.0.1:{running.sip_port}",
                "--api", "http://127.0.0.1:9", "--seconds", str(seconds + 5),
                cwd=directory,
            )  # fmt: skip
            try:
                time.sleep(4)  # Past ringing, greeting and the stream's set-up.
                pids = {
                    "control": running.process.pid,
                    "worker": running.worker_pids()[0],
                }
                idle = {name: cpu_s(pid) for name, pid in pids.items()}
                began_s = time.monotonic()
                time.sleep(seconds)
                wall_s = time.monotonic() - began_s
                used = {name: cpu_s(pid) - idle[name] for name, pid in pids.items()}
            finally:
                caller.end()
    costs = {f"{name}_percent": 100 * s / wall_s for name, s in used.items()}
    return {**costs, "ready_s": float(ready[1])}


def main() -> None:
    """Measure some runs and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    # SIGTERM unwinds, so that no process that we started is left.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory() as directory:
        runs = []
        for number in range(1, arguments.runs + 1):
            runs.append(measure(Path(directory), arguments.seconds))
            print(f"run {number}: {runs[-1]}", file=sys.stderr)
    medians = {
        name: round(statistics.median(run[name] for run in runs), 3) for name in runs[0]
    }
    print(json.dumps({"runs": len(runs), "cores": os.cpu_count(), "median": medians}))


if __name__ == "__main__":
    main()
