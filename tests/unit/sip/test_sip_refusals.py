"""Whatever the stack refuses by itself, it says why."""

from __future__ import annotations

import pytest

from emulator.sip.address import SourceAddress
from emulator.sip.message import Response, parse_message
from emulator.sip.options import SipOptions
from tests.unit.sip.sip_world import World

SOURCE = SourceAddress("udp", "198.51.100.99", 5060)


def refusal_of(method: str, *lines: str, body: str = "", tag: str = "") -> Response:
    world = World()
    bob = world.node("bob", 5060, SipOptions(users={}))
    head = (
        f"{method} sip:a@b SIP/2.0",
        "Via: SIP/2.0/UDP h;branch=z9hG4bK1",
        "From: <sip:a@b>;tag=1",
        f"To: <sip:b@c>{tag}",
        "Call-ID: x",
        f"CSeq: 1 {method}",
        "Contact: <sip:a@b>",
        *lines,
    )
    data = ("\r\n".join(head) + "\r\n\r\n" + body).encode()
    bob.perform(bob.agent.receive(parse_message(data), SOURCE, 0.0))
    last = world.log[-1].message
    assert isinstance(last, Response)
    return last


@pytest.mark.parametrize(
    ("method", "lines", "body", "tag", "status", "why"),
    [
        ("REGISTER", (), "", "", 405, "sip.register"),
        ("FOO", (), "", "", 501, "FOO is not served"),
        ("INVITE", ("Accept: text/plain",), "", "", 406, "application/sdp"),
        ("INVITE", ("Content-Type: text/plain",), "hi", "", 415, "no application/sdp"),
        ("INVITE", ("Content-Encoding: gzip",), "hi", "", 415, "encoded as gzip"),
        ("INVITE", ("Require: moon",), "", "", 420, "Require"),
        (
            "INVITE", ("Session-Expires: 1", "Supported: timer"), "", "",
            422, "below 90 s",
        ),
        ("INVITE", ("Replaces: x;to-tag=1;from-tag=2",), "", "", 481, "Replaces"),
        ("INVITE", ("Max-Forwards: 0",), "", "", 483, "Max-Forwards"),
        ("BYE", (), "", "", 481, "no such dialog"),
        ("BYE", (), "", ";tag=2", 481, "no such dialog"),
        ("CANCEL", (), "", "", 481, "no INVITE"),
    ],
)  # fmt: skip
def test_a_refusal_says_why(
    method: str, lines: tuple[str, ...], body: str, tag: str, status: int, why: str
) -> None:
    refusal = refusal_of(method, *lines, body=body, tag=tag)
    assert refusal.status == status
    warning = refusal.headers.get("Warning") or ""
    assert warning.startswith("399 exotel-emulator ")
    assert why in warning


def test_a_drained_endpoint_says_so_in_a_warning() -> None:
    world = World()
    bob = world.node("bob", 5060)
    bob.agent.stop_accepting()
    alice = world.node("alice", 5061)
    alice.dial(bob)
    world.run(1)
    answers = [line.message for line in world.log if "503" in line.summary]
    assert "no new calls" in (answers[0].headers.get("Warning") or "")


def test_a_challenged_register_says_whose_credentials_it_takes() -> None:
    world = World()
    options = SipOptions(users={"alice": "alice"})
    bob = world.node("bob", 5060, options)
    data = (
        "REGISTER sip:b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n"
        "From: <sip:alice@b>;tag=1\r\nTo: <sip:alice@b>\r\nCall-ID: x\r\n"
        "CSeq: 1 REGISTER\r\nContact: <sip:alice@b>\r\n\r\n"
    )
    bob.perform(bob.agent.receive(parse_message(data.encode()), SOURCE, 0.0))
    answer = world.log[-1].message
    assert isinstance(answer, Response)
    assert answer.status == 401
    assert "users[]" in (answer.headers.get("Warning") or "")
