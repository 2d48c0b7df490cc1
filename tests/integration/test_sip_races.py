"""Repeats and races that SIPp cannot play: it resends on its own when it sees repeats.

The phone here is text on a socket. Section numbers are RFC 3261's.
"""

from __future__ import annotations

import re
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from tests.support.processes import Emulator, emulator, eventually
from tests.support.silent_flow import write_silent_flow
from tests.support.sipp import of_kind

# Whole processes, in real time.
pytestmark = pytest.mark.slow

# The usual 300 ms of ringing may be over before a busy machine has sent anything twice.
CONFIG = """\
calls: {ring_ms: 3000}
flow: {silent_greeting_ms: 60000}
numbers: [{number: "08010000002", flow: silence}]
"""
OFFER = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 40000 RTP/AVP 0\r\n"
)


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """Yield an emulator that rings for seconds, and then says nothing."""
    directory = tmp_path_factory.mktemp("patient")
    env = write_silent_flow(directory)
    with emulator(directory, config=CONFIG, env=env) as started:
        yield started


class TextPhone:
    """One call: requests are made of text, and what comes is kept as text."""

    def __init__(self, sock: socket.socket, emulator_port: int) -> None:
        self._sock = sock
        self._emulator = ("127.0.0.1", emulator_port)
        self._own = f"127.0.0.1:{sock.getsockname()[1]}"
        self._call_id = uuid.uuid4().hex
        self._to_tag = ""
        self.received: list[str] = []

    def send(self, method: str, cseq: int, branch: str, body: str = "") -> None:
        """Send a request; the same arguments make the same bytes."""
        uri = f"sip:08010000002@127.0.0.1:{self._emulator[1]}"
        kind = "Content-Type: application/sdp\r\n" if body else ""
        text = (
            f"{method} {uri} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {self._own};branch=z9hG4bK{self._call_id}{branch}\r\n"
            f"From: <sip:phone@{self._own}>;tag=phone\r\n"
            f"To: <{uri}>{self._to_tag if method in {'ACK', 'BYE'} else ''}\r\n"
            f"Call-ID: {self._call_id}\r\nCSeq: {cseq} {method}\r\n"
            f"Contact: <sip:phone@{self._own}>\r\nMax-Forwards: 70\r\n"
            f"{kind}Content-Length: {len(body)}\r\n\r\n{body}"
        )
        self._sock.sendto(text.encode(), self._emulator)

    def invite(self) -> None:
        """Send the INVITE, or send it again."""
        self.send("INVITE", 1, "invite", OFFER)

    def wait_for(self, status: int, method: str, count: int = 1) -> None:
        """Receive until so many such responses are there."""
        end_s = time.monotonic() + 20
        while self.count(status, method) < count:
            assert time.monotonic() < end_s, "\n".join(self.received)
            self._receive(1.0)

    def listen(self, duration_s: float) -> None:
        """Receive for a while."""
        end_s = time.monotonic() + duration_s
        while (left_s := end_s - time.monotonic()) > 0:
            self._receive(left_s)

    def drain(self) -> None:
        """Receive what has come already."""
        while self._receive(0.0):
            pass

    def count(self, status: int, method: str) -> int:
        """Return how many such responses have come."""
        return sum(
            text.startswith(f"SIP/2.0 {status} ") and f" {method}\r\n" in text
            for text in self.received
        )

    def _receive(self, timeout_s: float) -> bool:
        self._sock.settimeout(max(timeout_s, 0.001))
        try:
            text = self._sock.recv(65535).decode()
        except TimeoutError:
            return False
        self.received.append(text)
        if " INVITE\r\n" in text:
            self._to_tag = to_tag(text) or self._to_tag
        return True


def to_tag(text: str) -> str:
    """Return the tag parameter of a message's To, or nothing."""
    found = re.search(r"^To: .*(;tag=\S+)\r$", text, re.MULTILINE)
    return found[1] if found else ""


def has_received(running: Emulator, method: str) -> bool:
    """Whether such a request of the newest call has come."""
    story = running.timeline(running.calls()[0]["sid"])
    received = of_kind(story, "sip.received")
    return any(message["summary"].startswith(f"{method} ") for message in received)


@contextmanager
def text_phone(running: Emulator) -> Iterator[TextPhone]:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        sock.bind(("127.0.0.1", 0))
        yield TextPhone(sock, running.sip_port)


def test_a_repeated_invite_is_one_call(patient: Emulator) -> None:
    """§17.2.1: the last response comes again; after the 200, RFC 6026: nothing."""
    before = len(patient.calls())
    with text_phone(patient) as phone:
        phone.invite()
        phone.wait_for(180, "INVITE")
        phone.invite()
        phone.wait_for(180, "INVITE", 2)
        phone.wait_for(200, "INVITE")
        phone.send("ACK", 1, "ack")
        eventually(lambda: has_received(patient, "ACK"), "the ACK at the emulator")
        # A busy machine acknowledges late: the 200 itself may have come again.
        phone.drain()
        answers = phone.count(200, "INVITE")
        phone.invite()
        phone.listen(0.7)
        assert phone.count(200, "INVITE") == answers
        phone.send("BYE", 2, "bye")
        phone.wait_for(200, "BYE")
    assert patient.finished_call()["cause"] == "caller-bye"
    assert len(patient.calls()) == before + 1


def test_a_repeated_bye_gets_the_same_answer_and_a_new_one_none(
    running: Emulator,
) -> None:
    """§17.2.2, and 481 to a BYE of a dialog that is over."""
    with text_phone(running) as phone:
        phone.invite()
        phone.wait_for(200, "INVITE")
        phone.send("ACK", 1, "ack")
        phone.send("BYE", 2, "bye")
        phone.wait_for(200, "BYE")
        phone.send("BYE", 2, "bye")
        phone.wait_for(200, "BYE", 2)
        phone.send("BYE", 3, "bye-again")
        phone.wait_for(481, "BYE")
    assert running.finished_call()["cause"] == "caller-bye"


def test_the_answer_to_a_cancel_has_the_same_tag_as_that_to_its_invite(
    patient: Emulator,
) -> None:
    """§9.2."""
    with text_phone(patient) as phone:
        phone.invite()
        phone.wait_for(180, "INVITE")
        phone.send("CANCEL", 1, "invite")
        phone.wait_for(487, "INVITE")
        phone.wait_for(200, "CANCEL")
        phone.send("ACK", 1, "invite")
    tags = {to_tag(text) for text in phone.received if "100 Trying" not in text}
    assert len(tags) == 1


def test_a_cancel_at_the_moment_of_the_answer_ends_the_call_one_way_or_the_other(
    running: Emulator,
) -> None:
    """§9.2: either 487, or a call that is up; never both, and the CANCEL gets 200."""
    causes = [_race(running, 0.290 + 0.002 * step) for step in range(10)]
    assert set(causes) <= {"caller-cancel", "caller-bye"}


def _race(running: Emulator, cancel_after_s: float) -> str:
    with text_phone(running) as phone:
        phone.invite()
        phone.listen(cancel_after_s)
        phone.send("CANCEL", 1, "invite")
        phone.wait_for(200, "CANCEL")
        outcome = eventually(lambda: _outcome(phone), "a final response")
        phone.send("ACK", 1, "invite" if outcome == 487 else "ack")
        if outcome == 200:
            phone.send("BYE", 2, "bye")
            phone.wait_for(200, "BYE")
        # Not how often: what is acknowledged late is repeated.
        assert (phone.count(200, "INVITE") > 0) != (phone.count(487, "INVITE") > 0)
    cause: str = running.finished_call()["cause"]
    assert (outcome == 487) == (cause == "caller-cancel")
    return cause


def _outcome(phone: TextPhone) -> int:
    phone.listen(0.01)
    return next((s for s in (200, 487) if phone.count(s, "INVITE")), 0)
