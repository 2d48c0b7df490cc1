"""The diagnostics route: what a call holds while it lasts, and nothing afterwards."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import Emulator, Process, emulator, eventually

OPTIONS = (
    b"OPTIONS sip:emulator@127.0.0.1 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 127.0.0.1:5070;rport;branch=z9hG4bK-diagnostics\r\n"
    b"From: <sip:phone@127.0.0.1>;tag=1\r\n"
    b"To: <sip:emulator@127.0.0.1>\r\n"
    b"Call-ID: diagnostics\r\n"
    b"CSeq: 1 OPTIONS\r\n\r\n"
)

pytestmark = pytest.mark.slow


def when_quiet(running: Emulator) -> dict[str, Any] | None:
    """Return the diagnosis, if there is nothing left of earlier calls."""
    now = running.diagnostics()
    is_quiet = not now["calls"]["active"] and not now["sip"]["transactions"]
    return now if is_quiet else None


@pytest.mark.timeout(120)
def test_a_call_is_counted_in_every_room_and_then_forgotten(
    at_once: Emulator, workplace: Path
) -> None:
    # Transactions of another file's calls linger for 32 s; they must not end meanwhile.
    quiet = eventually(lambda: when_quiet(at_once), "nothing lingers", deadline_s=60.0)
    caller = Process(
        sys.executable, "-m", "emulator", "call", "08010000001", "--seconds", "30",
        "--target", f"127.0.0.1:{at_once.sip_port}", "--api", "http://127.0.0.1:9",
        cwd=workplace,
    )  # fmt: skip
    try:

        def with_stream() -> dict[str, Any] | None:
            now = at_once.diagnostics()
            return now if now["workers"][0]["streams"] else None

        up = eventually(with_stream, "a stream is open")
        caller.send_signal(signal.SIGINT)
        caller.wait()
    finally:
        caller.end()
    assert up["calls"]["active"] == 1
    assert up["calls"]["taken"] == quiet["calls"]["taken"] + 1
    assert up["sip"]["sessions"] == up["sip"]["dialogs"] == 1
    assert up["sip"]["invite_server"] == quiet["sip"]["invite_server"] + 1
    assert up["workers"][0]["legs"] == up["workers"][0]["streams"] == 1
    assert up["control"]["tasks"] > quiet["control"]["tasks"]
    sockets = [one["workers"][0]["process"]["sockets"] for one in (quiet, up)]
    assert sockets[1] > sockets[0], "the leg's RTP port"

    def what_is_left() -> dict[str, int]:
        """What a call holds and its lingering transactions do not."""
        now = at_once.diagnostics()
        return {
            "calls": now["calls"]["active"],
            "sessions": now["sip"]["sessions"],
            "dialogs": now["sip"]["dialogs"],
            "legs": now["workers"][0]["legs"],
            "streams": now["workers"][0]["streams"],
            # At the start the flows' texts are being spoken, by a task.
            "tasks": max(0, now["control"]["tasks"] - quiet["control"]["tasks"]),
            "sockets": now["workers"][0]["process"]["sockets"] - sockets[0],
        }

    eventually(lambda: not any(what_is_left().values()), "nothing of the call is left")


def test_every_process_is_named_with_its_memory(at_once: Emulator) -> None:
    found = at_once.diagnostics()
    assert found["control"]["pid"] == at_once.process.pid
    pids = [worker["process"]["pid"] for worker in found["workers"]]
    assert pids == at_once.worker_pids()
    for process in (found["control"], *(w["process"] for w in found["workers"])):
        assert (
            process["resident_bytes"] > process["own_bytes"] > os.sysconf("SC_PAGESIZE")
        )
        assert process["files"] >= process["sockets"] >= 1


def test_a_request_outside_calls_waits_as_an_early_trace(at_once: Emulator) -> None:
    before = at_once.diagnostics()["calls"]["early_traces"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.settimeout(5)
        phone.sendto(OPTIONS, ("127.0.0.1", at_once.sip_port))
        assert phone.recv(4096).startswith(b"SIP/2.0 200")
    assert at_once.diagnostics()["calls"]["early_traces"] == before + 2


def test_the_route_is_guarded_and_described(tmp_path: Path) -> None:
    with emulator(tmp_path, config="http: {token: s3cret}\n") as running:
        assert running.api.get("/diagnostics").status_code == 401
        asked = running.api.get(
            "/diagnostics", headers={"Authorization": "Bearer s3cret"}
        )
        assert asked.json()["sip"]["transactions"] == 0
        schema = running.api.get(f"{running.url}/openapi.json").json()
    assert "/emulator/v1/diagnostics" in schema["paths"]
    assert "early_traces" in schema["components"]["schemas"]["OpenCalls"]["properties"]
