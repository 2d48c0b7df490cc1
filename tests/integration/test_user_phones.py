"""A user's phones, as raw sockets: where they are rung, and what they may refuse."""

from __future__ import annotations

import hashlib
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import Emulator, emulator, eventually
from tests.support.trunk_peer import Answer, TrunkPeer

# Whole processes, in real time.
pytestmark = pytest.mark.slow

REGISTER = """\
REGISTER sip:127.0.0.1 SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:{port};rport;branch=z9hG4bKreg{cseq}{seed}
Max-Forwards: 70
From: <sip:alice@127.0.0.1>;tag=t{seed}
To: <sip:alice@127.0.0.1>
Call-ID: phone-{seed}
CSeq: {cseq} REGISTER
Contact: <{contact}>;expires=600
{credentials}Content-Length: 0

"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Emulator]:
    with emulator(tmp_path) as started:
        yield started


def register(running: Emulator, contact: str) -> str:
    """Register a phone of alice's from a port that it does not listen on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(20)
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]

        def send(cseq: int, credentials: str = "") -> str:
            text = REGISTER.format(
                port=port, cseq=cseq, seed=port, contact=contact,
                credentials=credentials,
            )  # fmt: skip
            data = text.replace("\n", "\r\n").encode()
            sock.sendto(data, ("127.0.0.1", running.sip_port))
            return sock.recv(65_535).decode()

        challenge = send(1)
        nonce = re.search('nonce="([^"]+)"', challenge)
        realm = re.search('realm="([^"]+)"', challenge)
        assert nonce and realm, challenge
        secret = _md5(f"alice:{realm[1]}:alice")
        what = _md5("REGISTER:sip:127.0.0.1")
        digest = _md5(f"{secret}:{nonce[1]}:00000001:c:auth:{what}")
        return send(
            2,
            f'Authorization: Digest username="alice",realm="{realm[1]}",'
            f'nonce="{nonce[1]}",uri="sip:127.0.0.1",qop=auth,nc=00000001,cnonce="c",'
            f'algorithm=MD5,response="{digest}"\n',
        )


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def phone(running: Emulator, *answers: int) -> TrunkPeer:
    """Return a phone of alice's that answers so when it is rung."""
    script: list[Answer] = [answers]
    there = TrunkPeer("udp", script)
    answer = register(running, f"sip:alice@127.0.0.1:{there.port}")
    assert answer.startswith("SIP/2.0 200"), answer
    return there


def call_alice(running: Emulator, **body: Any) -> None:
    body = {"to": "user:alice", "flow": "echo", **body}
    answer = running.api.post("/calls", json=body)
    assert answer.status_code == 201, answer.text


def test_a_phone_rings_where_it_listens_and_not_where_it_sends_from(
    running: Emulator,
) -> None:
    with phone(running, 180, 486) as alice:
        call_alice(running)
        (invite,) = alice.wait_for("INVITE")
        assert f"127.0.0.1:{alice.port}" in invite.first_line
        assert running.finished_call()["status"] == "busy"


def test_the_emulators_own_port_is_nobodys_phone(running: Emulator) -> None:
    answer = register(running, f"sip:08010000001@127.0.0.1:{running.sip_port}")
    assert answer.startswith("SIP/2.0 403"), answer
    assert "the emulator's own port" in answer


def test_a_phone_that_declines_for_its_owner_silences_the_others(
    running: Emulator,
) -> None:
    with phone(running, 180) as desk, phone(running, 180) as mobile:
        call_alice(running)
        desk.wait_for("INVITE")
        mobile.wait_for("INVITE")
        mobile.say(mobile.response(mobile.requests("INVITE")[0], 603))
        (cancel,) = desk.wait_for("CANCEL")
        assert "cause=603" in (cancel.get("Reason") or "")
        finished = running.finished_call()
        assert mobile.requests("CANCEL") == []
    assert (finished["status"], finished["cause"]) == ("busy", "callee-busy")
    notes = [
        entry["data"]["text"]
        for entry in running.timeline(finished["sid"])
        if entry["kind"] == "note"
    ]
    assert any("6xx speaks for all phones" in note for note in notes), notes


def test_a_phone_that_is_busy_lets_the_others_ring_on(running: Emulator) -> None:
    with phone(running, 180, 486), phone(running, 180) as mobile:
        call_alice(running, ring_timeout_s=4)
        mobile.wait_for("CANCEL")
        assert running.finished_call()["status"] == "busy"


@pytest.mark.parametrize("status", [180, 200])
def test_a_phone_that_wakes_up_when_the_call_is_over_does_not_ring_on(
    running: Emulator, status: int
) -> None:
    with phone(running) as alice:
        call_alice(running, ring_timeout_s=1)
        assert running.finished_call()["status"] == "failed"
        alice.say(alice.response(alice.requests("INVITE")[0], status))
        alice.wait_for("CANCEL" if status == 180 else "BYE")
        if status == 200:
            alice.wait_for("ACK")


def test_a_phone_that_only_says_100_is_no_answer(running: Emulator) -> None:
    with phone(running, 100) as alice:
        call_alice(running, ring_timeout_s=3)
        alice.wait_for("CANCEL")
        finished = running.finished_call()
    assert (finished["status"], finished["cause"]) == ("no-answer", "no-answer")
    eventually(
        lambda: running.api.get("/diagnostics").json()["sip"]["sessions"] == 0,
        "no session is left",
    )
