"""Calls through a whole flow: greeting, bot, webhook, a person, all at once.

    python -m bench.flows --calls 150 --rate 10

SIPp calls the flow ``handover``: a silent greeting, a bot that says goodbye, a Passthru
whose answer asks for a person, and a simulated person who answers and talks until the
caller hangs up after ten seconds. Steps are what the emulator itself takes from the
end of one applet's work to the beginning of the next one's. Needs SIPp.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bench.rtp_load import percentiles

NUMBER = "08010000005"
TALK_MS = 10_000
START_S = 30.0
FLOW = """\
flow: handover
app_id: "1005"
start: greet
applets:
  greet: {type: greeting, text: "...", next: bot}
  bot: {type: voicebot, url: "${BOT_URL}/media?sample-rate=8000", next: decide}
  decide: {type: passthru, url: "${WEBHOOK_URL}/", on_ok: bye, on_other: agent}
  agent: {type: connect, dial: ["09910000001"], after_conversation: bye, no_answer: bye}
  bye: {type: hangup}
"""
CONFIG = f"""\
calls: {{ring_ms: 0}}
numbers: [{{number: "{NUMBER}", flow: handover}}]
subscribers: [{{number: "09910000001", answers_after_s: 0.2}}]
"""
# From the end of what one applet did to the first thing that the next one does.
STEPS = {
    "greeting to bot": ("prompt.ended", "stream.connecting"),
    "bot to passthru": ("stream.closed", "webhook.sent"),
    "passthru to person": ("webhook.answered", "leg.dialled"),
}


class _Answers404(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def webhook() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers404)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


@contextlib.contextmanager
def child(directory: Path, *arguments: str, **env: str) -> Iterator[tuple[Path, int]]:
    """Run a command of the emulator; yields the file with its output, and its pid."""
    output = directory / f"{arguments[0]}.log"
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "emulator", *arguments],
            cwd=directory, env={**os.environ, **env}, stdout=file, stderr=file,
        )  # fmt: skip
        try:
            yield output, process.pid
        finally:
            process.terminate()
            process.wait()


def wait_for(output: Path, pattern: str) -> str:
    end_s = time.monotonic() + START_S
    while time.monotonic() < end_s:
        if match := re.search(pattern, output.read_text()):
            return match[1]
        time.sleep(0.05)
    raise SystemExit(f"no {pattern!r} in {output.read_text()}")


def cpu_s(pid: int) -> float:
    """Return the processor time of one process, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(url: str) -> Any:
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


def load(sip: str, calls: int, rate: float) -> dict[str, int]:
    """Let SIPp call; return how many calls were successful and how many failed."""
    done = subprocess.run(
        ["sipp", "-sn", "uac", sip, "-s", NUMBER, "-m", str(calls), "-r", str(rate),
         "-d", str(TALK_MS), "-i", "127.0.0.1", "-nostdin"],
        capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    counts = re.findall(r"(Successful|Failed) call +\| +\d+ +\| +(\d+)", done.stdout)
    return {name.lower(): int(count) for name, count in counts}


def measure(api: str, calls: int) -> dict[str, Any]:
    """Return what the timelines tell: calls by outcome, and each step's duration."""
    found = ask(f"{api}/calls?limit={calls}")["calls"]
    steps_ms: dict[str, list[float]] = {name: [] for name in STEPS}
    bridged = 0
    for call in found:
        story = ask(f"{api}/calls/{call['sid']}/timeline")["entries"]
        at_s: dict[str, float] = {}
        for entry in story:
            at_s.setdefault(entry["kind"], entry["monotonic_s"])
        bridged += "call.bridged" in at_s
        for name, (first, second) in STEPS.items():
            if first in at_s and second in at_s:
                steps_ms[name].append(1000 * (at_s[second] - at_s[first]))
    return {
        "completed": sum(call["status"] == "completed" for call in found),
        "bridged": bridged,
        "step_ms_p50_p99": {
            name: percentiles(values, 50, 99) for name, values in steps_ms.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=150)
    parser.add_argument("--rate", type=float, default=10)
    options = parser.parse_args()
    if shutil.which("sipp") is None:
        raise SystemExit("SIPp is needed: apt-get install sip-tester")
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (directory / "flows").mkdir()
        (directory / "flows" / "handover.yaml").write_text(FLOW)
        (directory / "emulator.yaml").write_text(CONFIG)
        bot, _ = stack.enter_context(child(directory, "bot", "goodbye", "--port", "0"))
        env = {
            "BOT_URL": f"ws://127.0.0.1:{wait_for(bot, r'127.0.0.1:([0-9]+)')}",
            "WEBHOOK_URL": stack.enter_context(webhook()),
        }
        serve = ("serve", "--config", "emulator.yaml", "--flows", "flows",
                 "--sip-port", "0", "--http-port", "0")  # fmt: skip
        output, pid = stack.enter_context(child(directory, *serve, **env))
        wait_for(output, "(ready after)")
        sip = wait_for(output, r"SIP   udp  ([0-9.]+:[0-9]+)")
        api = wait_for(output, r"HTTP  (http://[0-9.:]+/emulator/v1)")
        before_s = cpu_s(pid)
        outcome = load(sip, options.calls, options.rate)
        time.sleep(2)
        used_ms = 1000 * (cpu_s(pid) - before_s) / options.calls
        result = {
            **outcome,
            "control_cpu_ms_per_call": round(used_ms, 1),
            **measure(api, options.calls),
        }
        print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
