"""Phones that register by digest, and call over UDP, TCP and TLS."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import baresip as phone
from tests.support import linphone
from tests.support.processes import Emulator, Process, run
from tests.support.sipp import of_kind
from tests.support.tones import assert_hears_its_hum

# Whole processes, in real time.
pytestmark = pytest.mark.slow


def port_of(running: Emulator, transport: str) -> int:
    return int(running.process.wait_for(rf"SIP   {transport} .*:(\d+)")[1])


def assert_call_of_alice(running: Emulator, transport: str) -> None:
    finished = running.finished_call()
    assert (finished["from"], finished["cause"]) == ("09900000001", "caller-bye")
    (created,) = of_kind(running.timeline(finished["sid"]), "call.created")
    assert created["source"].startswith(transport)


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_baresip_registers_and_hears_its_own_tone(
    running: Emulator, baresip: str, workplace: Path, transport: str
) -> None:
    port = port_of(running, transport)
    place = phone.configure(
        workplace,
        user="alice",
        registrar=f"127.0.0.1:{port}",
        transport=transport,
    )
    done = run(
        baresip, "-f", str(place), "-t", "8",
        "-e", f"/dial sip:08010000002@127.0.0.1:{port}",
        cwd=workplace,
    )  # fmt: skip
    assert "200 OK (exotel-emulator) [1 binding]" in done.stdout + done.stderr
    assert_hears_its_hum(*phone.heard(workplace))
    assert_call_of_alice(running, transport)


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_linphone_registers_and_hears_its_own_tone(
    running: Emulator, linphonec: str, workplace: Path, transport: str
) -> None:
    port = port_of(running, transport)
    output = linphone.call(
        linphonec,
        workplace,
        f"sip:08010000002@127.0.0.1:{port};transport={transport}",
        user="alice",
        port=port,
        transport=transport,
        seconds=7,
    )
    assert "registered, identity=sip:alice@127.0.0.1" in output
    assert "ended (No error)" in output
    assert_hears_its_hum(*linphone.heard(workplace))
    assert_call_of_alice(running, transport)


@pytest.mark.parametrize("transport", ["udp", "tls"])
def test_a_wrong_password_registers_nobody(
    running: Emulator, baresip: str, workplace: Path, transport: str
) -> None:
    place = phone.configure(
        workplace,
        user="bob",
        password="guess",
        transport=transport,
        registrar=f"127.0.0.1:{port_of(running, transport)}",
    )
    trying = Process(baresip, "-f", str(place), "-t", "30", cwd=workplace)
    try:
        trying.wait_for("403 Forbidden")
    finally:
        trying.end()
    assert "200 OK" not in trying.output
