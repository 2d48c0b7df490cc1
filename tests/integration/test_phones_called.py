"""Phones that are called: as registered users and as trunks, over every transport."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import baresip as phone
from tests.support import linphone
from tests.support.processes import (
    Emulator,
    Process,
    echo_bot,
    emulator,
    eventually,
    free_port,
)
from tests.support.programs import find
from tests.support.sipp import of_kind
from tests.support.tones import assert_hears_its_hum
from tests.support.trunk_peer import make_certificate

# Whole processes, in real time.
pytestmark = pytest.mark.slow

EXOPHONE = "+918010000002"


@pytest.fixture(params=["udp", "tcp", "tls"])
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name == "tls":
        find("openssl")
    return name


@contextmanager
def calling(directory: Path, config: str = "") -> Iterator[Emulator]:
    """Run an emulator with an echo bot behind the flow ``echo``."""
    with echo_bot(directory) as (_, port):
        url = f"ws://127.0.0.1:{port}/media?sample-rate=8000"
        with emulator(directory, config=config, env={"ECHO_BOT_URL": url}) as running:
            yield running


def place(running: Emulator, to: str) -> None:
    """Call, as soon as there is somebody to call."""

    def called() -> bool:
        answer = running.api.post("/calls", json={"to": to, "flow": "echo"})
        return bool(answer.status_code == 201)

    eventually(called, f"call to {to}")


def port_of(running: Emulator, transport: str) -> int:
    return running.tls_port if transport == "tls" else running.sip_port


def assert_was_called(running: Emulator, remote: str) -> None:
    """The call was answered over ``remote`` and ended by the callee."""
    finished = running.finished_call()
    assert (finished["status"], finished["ended_by"]) == ("completed", "callee")
    story = running.timeline(finished["sid"])
    kinds = [entry["kind"] for entry in story]
    for kind in ("call.ringing", "call.answered", "stream.opened"):
        assert kind in kinds
    invite = of_kind(story, "sip.sent")[0]
    assert invite["summary"].startswith("INVITE ")
    assert invite["remote"].startswith(remote)


def test_baresip_registers_by_digest_and_is_called(
    baresip: str, tmp_path: Path, transport: str
) -> None:
    with calling(tmp_path) as running:
        registrar = f"127.0.0.1:{port_of(running, transport)}"
        place_ = phone.configure(
            tmp_path, user="alice", registrar=registrar, transport=transport
        )
        ringing = Process(baresip, "-f", str(place_), "-t", "8", cwd=tmp_path)
        try:
            place(running, "user:alice")
            ringing.wait()
        finally:
            ringing.end()
        assert_was_called(running, f"{transport}:127.0.0.1:")
    assert_hears_its_hum(*phone.heard(tmp_path))


def test_baresip_is_called_as_a_trunk(
    baresip: str, tmp_path: Path, transport: str
) -> None:
    port = free_port()
    certificate = make_certificate(tmp_path) if transport == "tls" else None
    place_ = phone.configure(
        tmp_path,
        user=EXOPHONE,
        transport=transport,
        # TLS has the port above.
        listen=port - 1 if transport == "tls" else port,
        certificate=certificate,
    )
    destination = f"127.0.0.1:{port};transport={transport}"
    config = (
        f'trunks: [{{name: pbx, sid: trmum1pbx, destinations: ["{destination}"]}}]\n'
    )
    with calling(tmp_path, config) as running:
        ringing = Process(baresip, "-f", str(place_), "-t", "8", cwd=tmp_path)
        try:
            ringing.wait_for("baresip is ready")
            place(running, "sip:trmum1pbx")
            ringing.wait()
        finally:
            ringing.end()
        assert_was_called(running, f"{transport}:127.0.0.1:{port}")
    assert_hears_its_hum(*phone.heard(tmp_path))


def test_linphone_registers_by_digest_and_is_called(
    linphonec: str, tmp_path: Path, transport: str
) -> None:
    with calling(tmp_path) as running, ThreadPoolExecutor() as pool:
        future = pool.submit(
            linphone.be_called,
            linphonec,
            tmp_path,
            user="alice",
            port=port_of(running, transport),
            transport=transport,
            seconds=6,
        )
        place(running, "user:alice")
        output = future.result()
        assert_was_called(running, f"{transport}:127.0.0.1:")
    assert "answered" in output or "connected" in output.lower(), output
    assert_hears_its_hum(*linphone.heard(tmp_path))


def test_linphone_registers_by_sha_256(linphonec: str, tmp_path: Path) -> None:
    """No other algorithm is offered (RFC 8760)."""
    config = "sip: {digest_algorithms: [SHA-256]}\n"
    with calling(tmp_path, config) as running:
        output = linphone.call(
            linphonec,
            tmp_path,
            f"sip:08010000002@127.0.0.1:{running.sip_port}",
            user="alice",
            port=running.sip_port,
            transport="udp",
            seconds=2,
        )
        finished = running.finished_call()
    assert "registered, identity=sip:alice@127.0.0.1" in output, output
    assert finished["from"] == "09900000001"
