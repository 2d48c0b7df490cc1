"""Callers who are handed over by a bot to a person: does any of many calls fail?

    python -m bench.handover [--calls 300] [--rate 10] [--hold 10]

SIPp dials a flow of greeting, voicebot, passthru and connect, ten callers a second;
each stays for ``--hold`` seconds: with 10 that is a hundred at once. The bot listens
and leaves, the passthru's server sends on to the agent, a simulated subscriber answers,
and the caller hangs up in the end. Bot, server and agent are on this machine and take
their share of it. The goal: no failed call.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from tests.support.footprint import footprint
from tests.support.processes import Emulator, emulator, eventually, run
from tests.support.webhooks import Reply, webhook_server

NUMBER = "08010000001"
CONFIG = """\
calls: {ring_ms: 0, keep_ended: 2000}
numbers: [{number: "08010000001", flow: handover}]
subscribers: [{number: "09910000001", answers_after_s: 0.5}]
"""
FLOW = """\
flow: handover
app_id: "1005"
start: greet
applets:
  greet: {type: greeting, text: "...", next: bot}
  bot: {type: voicebot, url: "${BOT_URL}", next: decide}
  decide: {type: passthru, url: "${HOOKS}/decide", on_ok: bye, on_other: agent}
  agent: {type: connect, dial: ["09910000001"], after_conversation: bye, no_answer: bye}
  bye: {type: hangup}
"""
# The bot leaves after so many messages of a caller's audio.
BOT_MESSAGES = 25
# That the control API lists.
MOST_CALLS = 1000


@contextmanager
def leaving_bot() -> Iterator[int]:
    """Run a bot that listens for half a second and leaves; yields its port."""
    loop = asyncio.new_event_loop()
    ready: list[int] = []
    up = threading.Event()
    ending = asyncio.Event()

    async def talk(connection: ServerConnection) -> None:
        for _ in range(BOT_MESSAGES):
            await connection.recv()

    async def live() -> None:
        async with serve(talk, "127.0.0.1", 0) as server:
            ready.append(next(iter(server.sockets)).getsockname()[1])
            up.set()
            await ending.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(live(),))
    thread.start()
    up.wait()
    try:
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join()
        loop.close()


def place(running: Emulator, sipp: str, directory: Path, given: Any) -> str:
    """Let SIPp place the calls; return its last screen."""
    done = run(
        sipp, "-sn", "uac", f"127.0.0.1:{running.sip_port}", "-s", NUMBER,
        "-m", str(given.calls), "-r", str(given.rate), "-d", str(given.hold * 1000),
        "-l", "2000", "-i", "127.0.0.1", "-nostdin",
        cwd=directory, deadline_s=given.calls / given.rate + given.hold + 120,
    )  # fmt: skip
    return done.stdout


def placed(running: Emulator) -> list[dict[str, Any]]:
    """Return every call."""
    answer = running.api.get("/calls", params={"limit": MOST_CALLS})
    calls: list[dict[str, Any]] = answer.json()["calls"]
    return calls


def judge(running: Emulator) -> dict[str, Any]:
    """Look at every call's timeline: was it handed over, and how soon?"""
    delays_ms: list[float] = []
    bridged_ms: list[float] = []
    strange: list[str] = []
    for call in placed(running):
        story = running.timeline(call["sid"])
        times = {entry["kind"]: entry["offset_ms"] for entry in story}
        if call["cause"] != "caller-bye" or "call.bridged" not in times:
            steps = " ".join(f"{kind}@{at_ms:.0f}" for kind, at_ms in times.items())
            strange.append(f"{call['sid']}: {call['reason']}: {steps}")
        else:
            delays_ms.append(times["leg.dialled"] - times["stream.closed"])
            bridged_ms.append(times["call.bridged"])
    return {
        "calls": len(delays_ms) + len(strange),
        "failed": len(strange),
        "bot_left_to_agent_rings_p50_ms": round(statistics.median(delays_ms), 1),
        "bot_left_to_agent_rings_max_ms": round(max(delays_ms), 1),
        "called_to_bridged_p50_ms": round(statistics.median(bridged_ms), 1),
        "called_to_bridged_max_ms": round(max(bridged_ms), 1),
        "reasons": strange[:5],
    }


def measure(directory: Path, sipp: str, given: Any) -> dict[str, Any]:
    """Run it all; return what came of it."""
    flows = directory / "flows"
    flows.mkdir()
    (flows / "handover.yaml").write_text(FLOW)
    with leaving_bot() as port, webhook_server() as hooks:
        hooks.on("/decide", Reply(302))
        env = {
            "BOT_URL": f"ws://127.0.0.1:{port}/media?sample-rate=8000",
            "HOOKS": hooks.url,
            "EXOTEL_EMULATOR_FLOW__DIRECTORY": str(flows),
        }
        with emulator(directory, config=CONFIG, env=env) as running:
            pids = [running.process.pid, *running.worker_pids()]
            before_s = [footprint(pid).cpu_s for pid in pids]
            place(running, sipp, directory, given)
            eventually(lambda: all(c["ended_at"] for c in placed(running)), "ends", 60)
            used_s = [footprint(pid).cpu_s for pid in pids]
            judged = judge(running)
            left = running.api.get("/diagnostics").json()
    spent = [round(a - b, 2) for a, b in zip(used_s, before_s, strict=True)]
    return {
        **judged,
        "control_cpu_s": spent[0],
        "worker_cpu_s": spent[1],
        "legs_left": left["calls"]["legs"],
        "sessions_left": left["sip"]["sessions"],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--rate", type=int, default=10, help="calls a second")
    parser.add_argument("--hold", type=int, default=10, help="seconds of a call")
    given = parser.parse_args()
    sipp = shutil.which("sipp")
    if sipp is None:
        sys.exit("sipp is not installed (apt-get install sip-tester)")
    with tempfile.TemporaryDirectory() as directory:
        result = measure(Path(directory), sipp, given)
    print(json.dumps({"cores": os.cpu_count(), **result}, indent=2))
    if result["failed"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
