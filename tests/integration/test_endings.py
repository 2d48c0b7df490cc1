"""Calls that end otherwise: a dead bot, a dead worker, Ctrl-C; and starts that fail."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import (
    ROOT,
    Emulator,
    Process,
    children,
    command_line,
    echo_bot,
    emulator,
    eventually,
    free_port,
    run,
)

# Whole processes, in real time.
pytestmark = pytest.mark.slow


def bot_env(port: int) -> dict[str, str]:
    url = f"ws://127.0.0.1:{port}/media?sample-rate=8000"
    return {"BOT_URL": url, "ECHO_BOT_URL": url}


@contextmanager
def calling(running: Emulator, cwd: Path) -> Iterator[Process]:
    """A caller that stays on the line."""
    caller = Process(
        sys.executable, "-m", "emulator", "call", "08010000002",
        "--target", f"127.0.0.1:{running.sip_port}", "--api", running.url,
        "--seconds", "30", cwd=cwd,
    )  # fmt: skip
    try:
        yield caller
    finally:
        caller.end()


def story_of(running: Emulator) -> list[dict[str, Any]]:
    return running.timeline(running.finished_call()["sid"])


def first(story: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    data: dict[str, Any] = next(e["data"] for e in story if e["kind"] == kind)
    return data


def is_alive(pid: int) -> bool:
    return command_line(pid) != ""


def test_a_killed_bot_ends_its_stream_and_the_caller_gets_a_bye(tmp_path: Path) -> None:
    with (
        echo_bot(tmp_path, free_port()) as (bot, port),
        emulator(tmp_path, env=bot_env(port)) as running,
    ):
        with calling(running, tmp_path) as caller:
            caller.wait_for("stream.media_from_bot")
            os.kill(bot.pid, signal.SIGKILL)
            caller.wait_for("ended by the platform: Q.850;cause=16;.*stream .* 1006")
            assert caller.wait() == 1  # The bot's fault.
        story = story_of(running)
        closed = first(story, "stream.closed")
        assert closed["disconnected_by"] == "bot"
        assert closed["closed_first"] == "network"
        assert first(story, "call.ended")["cause"] == "flow-ended"
        with echo_bot(tmp_path, port), calling(running, tmp_path) as caller:
            caller.wait_for("stream.media_from_bot")
            caller.send_signal(signal.SIGINT)
            assert caller.wait() == 0


def test_a_killed_worker_ends_its_calls_and_the_next_call_works(
    tmp_path: Path,
) -> None:
    with (
        echo_bot(tmp_path) as (bot, port),
        emulator(tmp_path, env=bot_env(port)) as running,
    ):
        with calling(running, tmp_path) as caller:
            caller.wait_for("stream.media_from_bot")
            (worker,) = running.worker_pids()
            os.kill(worker, signal.SIGKILL)
            caller.wait_for("ended by the platform: Q.850;cause=41;.*media worker lost")
            assert caller.wait() == 3  # The emulator's.
        story = story_of(running)
        assert "signal 9" in first(story, "worker.lost")["reason"]
        assert first(story, "call.ended")["status"] == "failed"
        bot.wait_for("closed 1006")
        with calling(running, tmp_path) as caller:
            caller.wait_for("stream.media_from_bot")
            caller.send_signal(signal.SIGINT)
            assert caller.wait() == 0
        assert running.worker_pids() != [worker]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_tells_bots_and_callers_and_leaves_no_process(
    tmp_path: Path, number: signal.Signals
) -> None:
    with (
        echo_bot(tmp_path) as (bot, port),
        emulator(tmp_path, env=bot_env(port)) as running,
        calling(running, tmp_path) as caller,
    ):
        caller.wait_for("stream.media_from_bot")
        pids = children(running.process.pid)
        assert pids
        running.process.send_signal(number)
        bot.wait_for("stop callended")
        caller.wait_for("ended by the platform: Q.850;cause=31;.*shutting down")
        assert running.process.wait() == 0
        eventually(lambda: not any(map(is_alive, pids)), "no process is left")


def test_a_signal_while_a_call_rings_ends_it_too(tmp_path: Path) -> None:
    config = "calls: {ring_ms: 20000}\n"
    with emulator(tmp_path, config=config) as running:
        with calling(running, tmp_path) as caller:
            caller.wait_for("call.ringing")
            running.process.send_signal(signal.SIGTERM)
            caller.wait_for("the call failed: 4[0-9]{2}|the call failed: 5[0-9]{2}")
            assert running.process.wait() == 0


def test_a_bot_that_does_not_listen_fails_the_stream_and_the_flow_goes_on(
    tmp_path: Path,
) -> None:
    port = free_port()
    with emulator(tmp_path, env=bot_env(port)) as running:
        with calling(running, tmp_path) as caller:
            caller.wait_for("ended by the platform")
            assert caller.wait() == 1  # The bot's fault.
        story = story_of(running)
        assert first(story, "stream.failed")["error"] == (
            f"3009 failed to establish ws conn dial tcp 127.0.0.1:{port}: "
            "connect: connection refused"
        )
        left = [e["data"] for e in story if e["kind"] == "applet.left"]
        assert [(entry["applet"], entry["next"]) for entry in left[:2]] == [
            ("greet", "bot"),
            ("bot", "bye"),
        ]


def test_a_caller_that_hangs_up_while_it_rings_is_cancelled(tmp_path: Path) -> None:
    with emulator(tmp_path, config="calls: {ring_ms: 20000}\n") as running:
        with calling(running, tmp_path) as caller:
            caller.wait_for("call.ringing")
            caller.send_signal(signal.SIGINT)
            assert caller.wait() != 0
        finished = running.finished_call()
        assert finished["status"] == "canceled"
        assert finished["cause"] == "caller-cancel"
        assert "Traceback" not in caller.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_caller_that_is_told_to_end_hangs_up(
    tmp_path: Path, number: signal.Signals
) -> None:
    with (
        echo_bot(tmp_path) as (_, port),
        emulator(tmp_path, env=bot_env(port)) as running,
    ):
        with calling(running, tmp_path) as caller:
            caller.wait_for("stream.media_from_bot")
            caller.send_signal(number)
            assert caller.wait() == 0
        finished = running.finished_call()
        assert (finished["status"], finished["ended_by"]) == ("completed", "caller")


def test_a_sip_port_that_is_taken_is_one_line_and_status_2(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        done = serve(tmp_path, "--sip-port", str(port), "--http-port", "0")
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert str(port) in line and "sip.port" in line


def test_an_http_port_that_is_taken_is_one_line_and_status_2(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = serve(tmp_path, "--sip-port", "0", "--http-port", str(port))
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert str(port) in line and "http.port" in line


def serve(cwd: Path, *arguments: str) -> Any:
    return run(
        sys.executable, "-m", "emulator", "serve", *arguments,
        "--flows", str(ROOT / "flows"), cwd=cwd,
    )  # fmt: skip


def test_typos_in_settings_and_flows_are_all_named_with_their_lines(
    tmp_path: Path,
) -> None:
    (tmp_path / "bad.yaml").write_text("sip:\n  prot: 5060\nmedia: {workers: many}\n")
    done = serve(tmp_path, "--config", "bad.yaml")
    assert done.returncode == 2
    assert "bad.yaml:2" in done.stderr and "port" in done.stderr
    assert "bad.yaml:3" in done.stderr and "media.workers" in done.stderr
    assert "Traceback" not in done.stderr
    (tmp_path / "flow.yaml").write_text(
        "flow: x\napp_id: '1'\nstart: a\napplets:\n"
        "  a: {type: greting, text: hi, next: b}\n  b: {type: hangup}\n"
    )
    done = run(
        sys.executable, "-m", "emulator", "flow", "check", "flow.yaml", cwd=tmp_path
    )
    assert done.returncode == 2
    assert "flow.yaml:5" in done.stdout and "greeting" in done.stdout


def test_a_number_without_its_flow_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text('numbers: [{number: "0801", flow: nope}]\n')
    done = serve(tmp_path, "--config", "c.yaml")
    assert done.returncode == 2
    assert "'nope'" in done.stderr and "echo" in done.stderr


def test_what_is_ready_has_not_loaded_what_it_does_not_need(tmp_path: Path) -> None:
    code = """
import asyncio, os, sys
from emulator.service import ServeOptions, Service

async def main():
    options = {name: ("test", 0) for name in ("sip.port", "sip.tls_port", "http.port")}
    options["flow.directory"] = ("test", sys.argv[1])
    service = Service(ServeOptions(options=options, env={}))
    await service.start()
    assert all(service.readiness().values()), service.readiness()
    print(*sys.modules)
    await service.stop()

asyncio.run(main())
"""
    done = run(sys.executable, "-c", code, str(ROOT / "flows"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    heavy = {
        "alembic",
        "aiortc",
        "grpc",
        "numpy",
        "av",
        "httpx",
        "websockets",
        "picows",
        "http.cookiejar",
        "emulator.fidelity",
    }
    assert "fastapi" in loaded
    assert not loaded & heavy


def test_readiness_tells_what_is_missing(running: Emulator) -> None:
    assert running.api.get("/health").json()["status"] == "ok"
    ready = running.api.get("/ready")
    assert ready.status_code == 200
    assert ready.json() == {
        "ready": True,
        "checks": {"sip": True, "flows": True, "workers": True, "accepting": True},
    }


def test_a_token_guards_calls_but_not_health(tmp_path: Path) -> None:
    with emulator(tmp_path, config="http: {token: s3cret}\n") as running:
        assert running.api.get("/ready").status_code == 200
        refused = running.api.get("/calls")
        assert refused.status_code == 401
        assert "http.token" in refused.json()["error"]["message"]
        headers = {"Authorization": "Bearer s3cret"}
        assert running.api.get("/calls", headers=headers).status_code == 200


def test_an_unknown_call_is_404_with_a_reason(running: Emulator) -> None:
    for path in ("/calls/nope", "/calls/nope/timeline"):
        answer = running.api.get(path)
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "unknown-call"


def test_the_bots_of_serve_end_with_it_even_when_it_is_killed(tmp_path: Path) -> None:
    serving = Process(
        sys.executable, "-m", "emulator", "serve", "--with-bots",
        "--sip-port", "0", "--http-port", "0", "--flows", str(ROOT / "flows"),
        cwd=tmp_path,
    )  # fmt: skip
    try:
        serving.wait_for(r"bot echo 5001: listens|port 5001 is taken")
        serving.wait_for(r"bot echo 5002: listens|port 5002 is taken")
        pids = children(serving.pid)
        os.kill(serving.pid, signal.SIGKILL)
        eventually(lambda: not any(map(is_alive, pids)), "no process is left")
    finally:
        serving.end()
