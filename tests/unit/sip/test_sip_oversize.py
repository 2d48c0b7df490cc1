"""Requests above 1300 bytes: TCP first, then UDP (RFC 3261 §18.1.1)."""

from __future__ import annotations

import pytest

from emulator.sip.effects import SendMessage
from emulator.sip.events import EndCause, SessionEnded
from emulator.sip.message import Message, Request
from emulator.sip.oversize import OversizeRequests
from emulator.sip.session import OutgoingInvite
from emulator.sip.uri import NameAddr
from tests.unit.sip.sip_world import ANSWER, OFFER, Node, World

LARGE = OFFER + "a=x:" + "y" * 1_300 + "\r\n"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def alice(world: World) -> Node:
    return world.node("alice", 5061)


@pytest.fixture
def bob(world: World) -> Node:
    return world.node("bob", 5062)


def dial(alice: Node, *, sdp: str = LARGE, suffix: str = "") -> list[SendMessage]:
    outgoing = OutgoingInvite(
        f"sip:bob@127.0.0.1:5062{suffix}",
        NameAddr("sip:alice@127.0.0.1"),
        NameAddr("sip:bob@127.0.0.1"),
        sdp,
    )
    session, effects = alice.agent.place_call(outgoing)
    alice._add(session)
    alice.perform(effects)
    return [effect for effect in effects if isinstance(effect, SendMessage)]


def carried(sent: SendMessage) -> tuple[str, str]:
    """Return the transport in Via and that of the hop."""
    return sent.message.via.transport, sent.target.transport


@pytest.mark.parametrize(
    ("sdp", "suffix", "transport"),
    [
        (LARGE, "", "tcp"),
        (OFFER, "", "udp"),
        (LARGE, ";transport=udp", "udp"),
        (LARGE, ";transport=tcp", "tcp"),
    ],
)
def test_a_large_request_goes_over_tcp_unless_udp_was_asked_for(
    world: World, alice: Node, bob: Node, sdp: str, suffix: str, transport: str
) -> None:
    (invite,) = dial(alice, sdp=sdp, suffix=suffix)
    assert carried(invite) == (transport.upper(), transport)
    world.run(1)
    assert alice.call.is_established
    assert bob.invites[0].sdp == sdp


def test_where_tcp_is_refused_the_request_goes_by_udp(
    world: World, alice: Node, bob: Node
) -> None:
    world.lose = lambda message: message.via.transport == "TCP"
    (invite,) = dial(alice)
    assert invite.transaction is not None
    effects = alice.agent.transport_failed(invite.transaction, "refused")
    (again,) = [effect for effect in effects if isinstance(effect, SendMessage)]
    assert carried(again) == ("UDP", "udp")
    assert again.message.via.branch == invite.message.via.branch
    alice.perform(effects)
    world.run(1)
    assert alice.call.is_established
    # It is not asked again.
    assert carried(dial(alice)[0]) == ("UDP", "udp")


def test_a_cancel_follows_its_invite(world: World, alice: Node, bob: Node) -> None:
    bob.on_invite = lambda session: session.ringing(180, None, ())
    dial(alice)
    world.run(1)
    alice.do(alice.call.hang_up(()))
    world.run(1)
    cancel = next(line.message for line in world.log if line.summary == "CANCEL")
    assert cancel.via == bob_saw(bob).via
    assert alice.latest() == SessionEnded(EndCause.LOCAL_CANCEL, "487")


def bob_saw(bob: Node) -> Message:
    """The INVITE without what bob noted in its Via."""
    invite = bob.invites[0]
    params = {**invite.via.params, "rport": None}
    params.pop("received", None)
    via = type(invite.via)(
        invite.via.transport, invite.via.host, invite.via.port, params
    )
    headers = invite.headers.replaced("Via", str(via))
    return Request(invite.method, invite.uri, headers, invite.body)


def test_a_phone_behind_a_translator_is_left_alone(world: World, alice: Node) -> None:
    (invite,) = dial(alice, suffix=";transport=udp")
    request = invite.message
    assert isinstance(request, Request)
    elsewhere = Request(
        "INVITE", "sip:bob@10.0.0.9:5062", request.headers, request.body
    )
    placed = OversizeRequests(1_300).place(elsewhere, invite.target)
    assert placed == (elsewhere, invite.target)


def test_nothing_is_kept_of_requests_that_are_over(
    world: World, alice: Node, bob: Node
) -> None:
    bob.on_invite = lambda session: session.answer(ANSWER, ())
    dial(alice)
    world.run(100)
    assert alice.agent._oversize._moved == {}
