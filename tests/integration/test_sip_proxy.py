"""Kamailio before the emulator: in the path by Record-Route, and with stand-ins."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.support.kamailio import kamailio as kamailio_in_front
from tests.support.processes import ROOT, Emulator, free_port, run
from tests.support.sipp import BRIEF, DIRECT, Peer, of_kind

# Whole processes, in real time.
pytestmark = pytest.mark.slow
PAGE = ROOT / "docs" / "phones-and-pbxes.md"


def uri(running: Emulator, transport: str = "udp") -> str:
    return f"sip:127.0.0.1:{running.sip_port};transport={transport}"


@pytest.mark.parametrize("behind", ["udp", "tcp"])
@pytest.mark.parametrize("before", ["u1", "t1"])
def test_hold_goes_through_the_proxy(
    at_once: Emulator, sipp: str, kamailio: str, workplace: Path, before: str,
    behind: str,
) -> None:  # fmt: skip
    """A proxy between two transports records two routes (RFC 5658)."""
    with kamailio_in_front(kamailio, workplace, [uri(at_once, behind)]) as (_, port):
        messages = Peer(sipp, workplace, port, DIRECT, before).play("hold")
    assert messages.count("Record-Route: <sip:127.0.0.1") > 0
    finished = at_once.finished_call()
    assert finished["cause"] == "caller-bye"
    story = at_once.timeline(finished["sid"])
    (created,) = of_kind(story, "call.created")
    assert created["source"].startswith(behind)


@pytest.mark.parametrize("behind", ["udp", "tcp"])
def test_our_bye_follows_the_routes(
    at_once: Emulator, sipp: str, kamailio: str, workplace: Path, behind: str
) -> None:
    with kamailio_in_front(kamailio, workplace, [uri(at_once, behind)]) as (_, port):
        Peer(sipp, workplace, port, BRIEF).play("hang_up_by_flow")
    finished = at_once.finished_call()
    assert finished["cause"] == "flow-ended"
    story = at_once.timeline(finished["sid"])
    # The first: a busy machine answers late, and UDP repeats.
    sent = of_kind(story, "sip.sent")
    bye = next(e for e in sent if e["summary"].startswith("BYE"))
    # Over TCP it takes the connection that the proxy has opened.
    assert bye["remote"].startswith(
        f"{behind}:127.0.0.1:{port if behind == 'udp' else ''}"
    )
    routes = [line for line in bye["text"].splitlines() if line.startswith("Route:")]
    assert len(routes) == (1 if behind == "udp" else 2)
    # The request itself is for the caller's own address (RFC 3261 §12.2.1.1).
    assert bye["text"].startswith("BYE sip:sipp@127.0.0.1:")


def test_a_cancel_goes_through_the_proxy(
    running: Emulator, sipp: str, kamailio: str, workplace: Path
) -> None:
    with kamailio_in_front(kamailio, workplace, [uri(running)]) as (_, port):
        Peer(sipp, workplace, port).play("cancel")
    assert running.finished_call()["cause"] == "caller-cancel"


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_the_stand_in_takes_the_call_when_the_first_destination_is_dead(
    at_once: Emulator, sipp: str, kamailio: str, workplace: Path, transport: str
) -> None:
    """By the configuration that the documentation has."""
    (page,) = re.findall(r"```text\n(loadmodule.*?)```", PAGE.read_text(), re.DOTALL)
    dead = f"sip:127.0.0.1:{free_port()};transport={transport}"
    both = [dead, uri(at_once, transport)]
    with kamailio_in_front(kamailio, workplace, both, page) as (_, port):
        Peer(sipp, workplace, port, BRIEF).play("hang_up_by_flow")
    assert at_once.finished_call()["cause"] == "flow-ended"


def test_our_own_caller_gets_through(
    running: Emulator, kamailio: str, workplace: Path
) -> None:
    with kamailio_in_front(kamailio, workplace, [uri(running)]) as (_, port):
        done = run(
            sys.executable, "-m", "emulator", "call", "08010000002", "--target",
            f"127.0.0.1:{port}", "--api", running.url, "--seconds", "3",
            cwd=workplace,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 lost" in done.stdout
    assert running.finished_call()["cause"] == "caller-bye"
