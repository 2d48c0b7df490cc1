"""RFC 3665 §3.4 to §3.6 on real sockets: proxies that fail, a gateway, SDP in ACK."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.alg import Gateway
from tests.support.kamailio import kamailio as kamailio_in_front
from tests.support.processes import Emulator, run
from tests.support.sipp import DIRECT, Peer, of_kind
from tests.support.trunk_calls import LONG_MS, calling, peer_on, place

# Whole processes, in real time.
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("behind", ["udp", "tcp"])
def test_3_4_the_second_proxy_is_asked_when_the_first_is_silent(
    kamailio: str, tmp_path: Path, behind: str
) -> None:
    """It challenges, and keeps itself in the path until the BYE."""
    script = ((407,), (180, 200))
    with (
        peer_on("udp", tmp_path, ()) as silent,
        peer_on(behind, tmp_path, *script) as peer,
        kamailio_in_front(kamailio, tmp_path, [f"sip:{peer.destination}"]) as (_, port),
        calling(
            tmp_path, silent.destination, f"127.0.0.1:{port};transport=tcp"
        ) as running,
    ):
        place(running, ring_timeout_s=4.0)
        finished = running.finished_call()
        first, second = peer.wait_for("INVITE", 2)
        (ack, *_), (bye,) = peer.wait_for("ACK", 2)[1:], peer.wait_for("BYE")
        sent = of_kind(running.timeline(finished["sid"]), "sip.sent")
    assert finished["status"] == "completed"
    assert silent.requests("INVITE")
    assert first.get("Proxy-Authorization") is None
    assert second.get("Proxy-Authorization") is not None
    assert second["Max-Forwards"] == "66"
    # The proxy's routes come before ours, which comes back in the 200.
    routes = [value for name, value in second.fields if name == "Record-Route"]
    assert len(routes) == (2 if behind == "tcp" else 3)
    assert f":{running.sip_port};" in routes[-1]
    for request in (ack, bye):
        assert request["Via"].startswith(f"SIP/2.0/{behind.upper()} 127.0.0.1:{port}")
    our_bye = next(m for m in sent if m["summary"].startswith("BYE "))
    ours = [line for line in our_bye["text"].splitlines() if line[:6] == "Route:"]
    assert len(ours) == len(routes) - 1
    assert not any(f":{running.sip_port}" in line for line in ours)


def test_3_4_the_callee_hangs_up_by_way_of_the_second_proxy(
    kamailio: str, tmp_path: Path
) -> None:
    with (
        peer_on("udp", tmp_path, (503,)) as failing,
        peer_on("udp", tmp_path) as peer,
        kamailio_in_front(kamailio, tmp_path, [f"sip:{peer.destination}"]) as (_, port),
        calling(
            tmp_path,
            failing.destination,
            f"127.0.0.1:{port};transport=udp",
            greeting_ms=LONG_MS,
        ) as running,
    ):
        place(running)
        peer.wait_for("ACK")
        peer.hang_up()
        finished = running.finished_call()
    assert (finished["status"], finished["ended_by"]) == ("completed", "callee")


def test_3_5_a_session_through_a_gateway(running: Emulator, tmp_path: Path) -> None:
    """Signalling and media take the gateway, there and back."""
    with Gateway(running.sip_port) as gateway:
        done = run(
            sys.executable, "-m", "emulator", "call", "08010000002", "--target",
            f"127.0.0.1:{gateway.port}", "--api", running.url, "--seconds", "3",
            cwd=tmp_path,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 lost" in done.stdout
    assert running.finished_call()["cause"] == "caller-bye"
    requests = [line.split(" ")[0] for line in gateway.passed]
    assert [r for r in requests if r != "SIP/2.0"] == ["INVITE", "ACK", "BYE"]
    assert min(gateway.relayed) > 100, "50 packets a second, both ways"


def test_3_6_the_offer_is_answered_in_the_ack_through_a_proxy(
    at_once: Emulator, sipp: str, kamailio: str, workplace: Path
) -> None:
    target = f"sip:127.0.0.1:{at_once.sip_port};transport=udp"
    with kamailio_in_front(kamailio, workplace, [target]) as (_, port):
        messages = Peer(sipp, workplace, port, DIRECT).play("delayed_offer")
    assert messages.count("Record-Route: <sip:127.0.0.1") > 0
    assert at_once.finished_call()["cause"] == "caller-bye"


def test_3_6_a_redirect_leads_nowhere_that_is_not_declared(tmp_path: Path) -> None:
    """The Contact of a 302 is somebody else's word for whom to call."""
    with (
        peer_on("tcp", tmp_path, (302,)) as redirecting,
        calling(tmp_path, redirecting.destination) as running,
    ):
        place(running)
        finished = running.finished_call()
        assert len(redirecting.wait_for("ACK")) == 1
        assert len(redirecting.requests("INVITE")) == 1
    assert (finished["status"], finished["cause"]) == ("failed", "dial-failed")
