"""Real processes in tests: started with a deadline, ended by their own id."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

START_DEADLINE_S = 30.0
END_DEADLINE_S = 30.0
DEAF_AFTER_S = 15.0
ROOT = Path(__file__).resolve().parents[2]
# Between the RTP ports of the emulator and those of its caller, below the system's. One
# of four: SIPp's video has the second port above its audio's, baresip's TLS the next.
FREE_PORTS = range(20_104, 29_900, 4)
# Test processes that run at once share no port.
_LANES = 4
_lane = int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "")) or 0) % _LANES
# What was given lately: nobody listens there yet, or never shall.
_given: deque[int] = deque(maxlen=300)
# Not the module's own generator: Hypothesis seeds that one anew for each of its tests.
_ANY = random.SystemRandom()


class Process:
    """A child whose output is read in the background."""

    def __init__(self, *command: str, cwd: Path, env: dict[str, str] | None = None):
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._child = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def _read(self) -> None:
        assert self._child.stdout
        for line in self._child.stdout:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()

    def wait_for(
        self, pattern: str, deadline_s: float = START_DEADLINE_S
    ) -> re.Match[str]:
        """Return the first line that matches; fail with all output when none does."""
        expression = re.compile(pattern)
        end_s = time.monotonic() + deadline_s
        seen = 0
        while True:
            with self._news:
                while seen < len(self.lines):
                    if match := expression.search(self.lines[seen]):
                        return match
                    seen += 1
                left_s = end_s - time.monotonic()
                if (
                    left_s <= 0
                    or self._child.poll() is not None
                    and not (self._reader.is_alive())
                ):
                    raise AssertionError(f"no {pattern!r} in:\n{self.output}")
                self._news.wait(min(left_s, 0.1))

    def send_signal(self, number: int) -> None:
        self._child.send_signal(number)

    def wait(self, deadline_s: float = END_DEADLINE_S) -> int:
        """Return the exit status."""
        status = self._child.wait(deadline_s)
        self._reader.join(deadline_s)
        return status

    def end(self) -> None:
        """End the child if it still runs; a deaf one is killed."""
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
        try:
            self.wait(DEAF_AFTER_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self.wait()
        finally:
            assert self._child.stdout
            self._child.stdout.close()


def run(
    *command: str,
    cwd: Path,
    deadline_s: float = 60.0,
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=deadline_s,
        check=False,
    )


def free_port() -> int:
    """Return a port that was free a moment ago, by UDP as by TCP.

    It is below the ports that the system gives to whoever asks for any (32768 and up):
    one of those is somebody's outgoing connection before the program under test has
    bound it. It is given once: a program's second port is not its first, and where a
    test wants nobody to listen, no other one does.
    """
    while True:
        port = _ANY.choice(FREE_PORTS[_lane::_LANES])
        if port in _given:
            continue
        if _is_free(port, socket.SOCK_DGRAM) and _is_free(port, socket.SOCK_STREAM):
            _given.append(port)
            return port


def _is_free(port: int, kind: int) -> bool:
    with socket.socket(socket.AF_INET, kind) as sock:
        try:
            sock.bind(("0.0.0.0", port))
        except OSError:
            return False
        return True


def eventually(
    condition: Callable[[], Any], what: str, deadline_s: float = 20.0
) -> Any:
    """Return the first true value of ``condition``; fail with ``what`` at the end."""
    end_s = time.monotonic() + deadline_s
    while True:
        if value := condition():
            return value
        assert time.monotonic() < end_s, f"never happened: {what}"
        time.sleep(0.02)


class Emulator:
    """A running ``exotel-emulator serve`` and its control API."""

    def __init__(self, process: Process, sip_port: int, http_port: int) -> None:
        self.process = process
        self.sip_port = sip_port
        tls = re.search(r"SIP   tls .*:(\d+)", process.output)
        self.tls_port = int(tls[1]) if tls else 0
        self.url = f"http://127.0.0.1:{http_port}"
        self.api = httpx.Client(base_url=f"{self.url}/emulator/v1", timeout=20)

    def calls(self) -> list[dict[str, Any]]:
        """Return every call in memory, newest first."""
        found: list[dict[str, Any]] = self.api.get("/calls").json()["calls"]
        return found

    def diagnostics(self) -> dict[str, Any]:
        """Return what is open now."""
        answer = self.api.get("/diagnostics")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def timeline(self, sid: str) -> list[dict[str, Any]]:
        """Return the whole timeline of a call."""
        entries: list[dict[str, Any]] = self.api.get(f"/calls/{sid}/timeline").json()[
            "entries"
        ]
        return entries

    def finished_call(self, index: int = 0) -> dict[str, Any]:
        """Return the call at ``index``, newest first, once it is over."""

        def over() -> dict[str, Any] | None:
            calls = self.calls()
            if len(calls) <= index or not calls[index]["ended_at"]:
                return None
            call = calls[index]
            ended = any(e["kind"] == "call.ended" for e in self.timeline(call["sid"]))
            return call if ended else None

        found: dict[str, Any] = eventually(over, f"end of call {index}")
        return found

    def worker_pids(self) -> list[int]:
        """Return the process ids of the media workers."""
        return [
            int(pid)
            for pid in children(self.process.pid)
            if "emulator.worker" in command_line(int(pid))
        ]


def children(pid: int) -> list[int]:
    """Return the direct children of a process."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def command_line(pid: int) -> str:
    """Return a process's command line, or nothing when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


@contextlib.contextmanager
def emulator(
    directory: Path, *, config: str = "", env: dict[str, str] | None = None
) -> Iterator[Emulator]:
    """Run an emulator on free ports with the project's flows."""
    file = directory / "emulator.yaml"
    file.write_text(config or "{}")
    # Texts are rendered once for all tests; nothing else is kept there.
    defaults = {
        "EXOTEL_EMULATOR_DATA_DIR": str(ROOT / ".emulator"),
        "EXOTEL_EMULATOR_FLOW__DIRECTORY": str(ROOT / "flows"),
    }
    process = Process(
        sys.executable, "-m", "emulator", "serve", "--config", str(file),
        "--sip-port", "0", "--http-port", "0",
        cwd=directory, env={**defaults, **(env or {})},
    )  # fmt: skip
    running: Emulator | None = None
    try:
        sip_port = int(process.wait_for(r"SIP   udp .*:(\d+)")[1])
        http_port = int(process.wait_for(r"HTTP  http://[^:]+:(\d+)")[1])
        process.wait_for(r"ready after")
        running = Emulator(process, sip_port, http_port)
        yield running
    finally:
        if running is not None:
            running.api.close()
        process.end()


@contextlib.contextmanager
def echo_bot(directory: Path, port: int = 0) -> Iterator[tuple[Process, int]]:
    """Run the echo bot in a process of its own; yields it and its port."""
    process = Process(
        sys.executable, "-m", "emulator", "bot", "echo", "--port", str(port),
        cwd=directory,
    )  # fmt: skip
    try:
        listening = process.wait_for(r"listens on ws://127\.0\.0\.1:(\d+)")
        yield process, int(listening[1])
    finally:
        process.end()
