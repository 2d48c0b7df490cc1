"""Session timers (RFC 4028), keepalives, REFER and withdrawn offers, between agents."""

from __future__ import annotations

import pytest

from emulator.sip.address import SourceAddress
from emulator.sip.effects import StartRequest
from emulator.sip.errors import SessionStateError
from emulator.sip.events import (
    EndCause,
    OfferReceived,
    OfferWithdrawn,
    ReferReceived,
    SessionEnded,
)
from emulator.sip.headers import Headers
from emulator.sip.message import Request, Response
from emulator.sip.options import SipOptions
from emulator.sip.session import OutgoingInvite
from emulator.sip.transaction import make_cancel
from emulator.sip.uri import NameAddr
from tests.unit.sip.sip_world import ANSWER, OFFER, Node, World, lose_all


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def alice(world: World) -> Node:
    return world.node("alice", 5061)


@pytest.fixture
def bob(world: World) -> Node:
    return world.node("bob", 5062, SipOptions(accept_refer=True))


def dial(world: World, alice: Node, *headers: tuple[str, str]) -> None:
    outgoing = OutgoingInvite(
        "sip:bob@127.0.0.1:5062",
        NameAddr("sip:alice@127.0.0.1"),
        NameAddr("sip:bob@127.0.0.1"),
        OFFER,
        headers,
    )
    session, effects = alice.agent.place_call(outgoing)
    alice._add(session)
    alice.perform(effects)
    world.run(1)


def answer_to_invite(world: World) -> Response:
    message = next(x.message for x in world.log if x.summary == "200 INVITE")
    assert isinstance(message, Response)
    return message


def send(
    alice: Node, method: str, *headers: tuple[str, str], body: bytes = b""
) -> None:
    """Send a request inside Alice's dialog that her session knows nothing of."""
    dialog = alice.call.dialog
    request = dialog.request(
        method, alice.agent._party, f"z9hG4bK{method}", headers=headers, body=body
    )
    start = StartRequest(None, request, dialog.target())
    alice.perform(alice.agent.act(alice.call, [start]))


# --- session timers ---


def test_without_a_wish_there_is_no_session_timer(
    world: World, alice: Node, bob: Node
) -> None:
    dial(world, alice)
    assert "Session-Expires" not in answer_to_invite(world).headers
    world.run(10_000)
    assert alice.call.is_established


def test_a_caller_that_wants_a_timer_refreshes_by_update(
    world: World, alice: Node, bob: Node
) -> None:
    dial(world, alice, ("Session-Expires", "120"))
    agreed = answer_to_invite(world)
    assert agreed.headers.get("Session-Expires") == "120;refresher=uac"
    assert agreed.headers.get("Require") == "timer"
    world.log.clear()
    world.run(200)
    assert world.sent() == ["alice: UPDATE", "bob: 200 UPDATE"] * 3
    assert alice.call.is_established
    assert bob.call.is_established


def test_we_refresh_when_the_caller_asks_us_to(
    world: World, alice: Node, bob: Node
) -> None:
    dial(world, alice, ("Session-Expires", "120;refresher=uas"))
    assert answer_to_invite(world).headers.get("Session-Expires") == (
        "120;refresher=uas"
    )
    world.log.clear()
    world.run(130)
    assert world.sent() == ["bob: UPDATE", "alice: 200 UPDATE"] * 2
    assert bob.call.is_established


def test_a_peer_without_update_is_refreshed_by_reinvite(
    world: World, alice: Node, bob: Node
) -> None:
    dial(world, alice, ("Session-Expires", "120;refresher=uas"))
    bob.call._peer_allows_update = False
    world.log.clear()
    world.run(61)
    assert alice.latest() == OfferReceived("INVITE", ANSWER)
    alice.do(alice.call.answer_offer(OFFER))
    world.run(1)
    assert world.sent("INVITE") == ["bob: INVITE"]
    # The application of the side that refreshes hears nothing of it.
    assert bob.happened_names == ["Acked"]


def test_a_session_that_nobody_refreshes_ends(
    world: World, alice: Node, bob: Node
) -> None:
    dial(world, alice, ("Session-Expires", "120"))
    world.lose = lose_all("UPDATE")
    world.run(100)
    assert bob.latest() == SessionEnded(EndCause.SESSION_EXPIRED, "no refresh in time")
    bye = next(x.message for x in world.log if x.summary == "BYE")
    assert "session expired" in (bye.headers.get("Reason") or "")


def test_too_short_an_interval_is_refused_with_the_least(
    world: World, alice: Node, bob: Node
) -> None:
    dial(world, alice, ("Session-Expires", "30"))
    refusal = next(x.message for x in world.log if x.summary == "422 INVITE")
    assert refusal.headers.get("Min-SE") == "90"
    assert bob.calls == []


@pytest.mark.parametrize("has_update", [True, False])
def test_a_refresh_that_is_too_short_for_the_peer_is_asked_for_again_once(
    world: World, bob: Node, has_update: bool
) -> None:
    strict = SipOptions(min_session_expires_s=300)
    alice = world.node("alice", 5061, strict)
    dial(world, alice, ("Session-Expires", "120;refresher=uas"))
    bob.call._peer_allows_update = has_update
    method = "UPDATE" if has_update else "INVITE"
    world.log.clear()
    world.run(61)
    if not has_update:
        alice.do(alice.call.answer_offer(OFFER))
        world.run(1)
    assert world.sent(f"422 {method}") == [f"alice: 422 {method}"]
    asked = [x.message for x in world.log if x.summary == method]
    assert [m.headers.get("Session-Expires") for m in asked] == [
        "120;refresher=uac",
        "300;refresher=uac",
    ]
    assert [m.headers.get("Min-SE") for m in asked] == [None, "300"]
    # The session now lasts as long as the peer wants it to.
    world.run(100)
    assert bob.call.is_established


def test_a_peer_that_refuses_every_interval_is_asked_twice_a_refresh(
    world: World, bob: Node
) -> None:
    alice = world.node("alice", 5061, SipOptions(min_session_expires_s=300))
    dial(world, alice, ("Session-Expires", "120;refresher=uas"))
    refused = Response(422, "Session Interval Too Small", Headers([("Min-SE", "999")]))
    bob.call._least_s = 300
    assert bob.call._refresh_refused(refused) == []


# --- keepalive ---


def test_a_caller_behind_a_translator_is_kept_alive_and_called_at_its_source(
    world: World, bob: Node
) -> None:
    world.node("nat", 40_000)
    invite = (
        b"INVITE sip:bob@127.0.0.1:5062 SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP 192.168.9.9:5060;branch=z9hG4bKn;rport\r\n"
        b"From: <sip:n@x>;tag=n\r\nTo: <sip:bob@x>\r\nCall-ID: n\r\n"
        b"CSeq: 1 INVITE\r\nContact: <sip:n@192.168.9.9:5060>\r\n\r\n"
    )
    source = SourceAddress("udp", "127.0.0.1", 40_000)
    world.deliver(bob, invite, source)
    tag = bob.call.dialog.local.tag
    ack = (
        invite.replace(b"INVITE sip", b"ACK sip")
        .replace(b"1 INVITE", b"1 ACK")
        .replace(b"<sip:bob@x>", b"<sip:bob@x>;tag=" + str(tag).encode())
        .replace(b"z9hG4bKn", b"z9hG4bKack")
    )
    world.deliver(bob, ack, source)
    world.run(80)
    # The node at the source knows no such dialog: its 481 ends the call.
    assert world.sent("OPTIONS") == ["bob: OPTIONS"]
    assert bob.latest() == SessionEnded(EndCause.DIALOG_LOST)


def test_a_caller_at_its_contact_needs_no_keepalive(
    world: World, alice: Node, bob: Node
) -> None:
    dial(world, alice)
    world.run(100)
    assert world.sent("OPTIONS") == []


# --- re-INVITE taken back ---


def test_a_reinvite_can_be_taken_back(world: World, alice: Node, bob: Node) -> None:
    dial(world, alice)
    send(alice, "INVITE", ("Content-Type", "application/sdp"), body=b"v=0")
    world.run(0.1)
    reinvite = next(x.message for x in reversed(world.log) if x.summary == "INVITE")
    assert isinstance(reinvite, Request)
    cancel = make_cancel(reinvite)
    world.deliver(bob, cancel.to_bytes(), SourceAddress("udp", "127.0.0.1", 5061))
    world.run(0.1)
    assert world.sent("487") == ["bob: 487 INVITE"]
    assert bob.latest() == OfferWithdrawn()
    assert bob.call.is_established


def test_an_update_with_an_offer_is_answered(
    world: World, alice: Node, bob: Node
) -> None:
    dial(world, alice)
    send(alice, "UPDATE", ("Content-Type", "application/sdp"), body=b"v=0 x")
    world.run(0.1)
    assert bob.latest() == OfferReceived("UPDATE", "v=0 x")
    bob.do(bob.call.answer_offer(ANSWER))
    world.run(0.1)
    assert world.sent("200 UPDATE") == ["bob: 200 UPDATE"]


# --- REFER ---

REFER_TO = ("Refer-To", "<sip:carol@192.0.2.4?Replaces=x%3Bto-tag%3D1>")


def test_a_transfer_is_accepted_and_reported(
    world: World, alice: Node, bob: Node
) -> None:
    dial(world, alice)
    world.log.clear()
    send(alice, "REFER", REFER_TO, ("Referred-By", "<sip:alice@x>"))
    world.run(0.1)
    assert bob.latest() == ReferReceived(
        "sip:carol@192.0.2.4?Replaces=x%3Bto-tag%3D1", "<sip:alice@x>"
    )
    bob.do(bob.call.accept_refer())
    world.run(0.1)
    bob.do(bob.call.notify_transfer(180))
    bob.do(bob.call.notify_transfer(200))
    bob.do(bob.call.notify_transfer(200))
    world.run(0.1)
    notifies = [x.message for x in world.log if x.summary == "NOTIFY"]
    assert [n.body for n in notifies] == [
        b"SIP/2.0 100 Trying\r\n",
        b"SIP/2.0 180 Ringing\r\n",
        b"SIP/2.0 200 OK\r\n",
    ]
    assert [(n.headers.get("Subscription-State") or "")[:10] for n in notifies] == [
        "active;exp",
        "active;exp",
        "terminated",
    ]
    assert world.sent("202") == ["bob: 202 REFER"]


def test_a_transfer_can_be_refused(world: World, alice: Node, bob: Node) -> None:
    dial(world, alice)
    send(alice, "REFER", REFER_TO)
    world.run(0.1)
    bob.do(bob.call.reject_refer(603, ()))
    world.run(0.1)
    assert world.sent("603") == ["bob: 603 REFER"]
    with pytest.raises(SessionStateError):
        bob.call.accept_refer()


def test_a_refer_needs_exactly_one_target(world: World, alice: Node, bob: Node) -> None:
    dial(world, alice)
    send(alice, "REFER")
    world.run(0.1)
    assert world.sent("400") == ["bob: 400 REFER"]


def test_refer_is_off_by_default(world: World, alice: Node, bob: Node) -> None:
    dial(world, alice)
    dialog = bob.call.dialog
    refer = dialog.request("REFER", bob.agent._party, "z9hG4bKr", headers=[REFER_TO])
    start = StartRequest(None, refer, dialog.target())
    bob.perform(bob.agent.act(bob.call, [start]))
    world.run(0.1)
    assert world.sent("405") == ["alice: 405 REFER"]
