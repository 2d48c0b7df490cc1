"""Servers that are never content, and calls beyond the room for transactions."""

from __future__ import annotations

import pytest

from emulator.sip.address import SourceAddress
from emulator.sip.auth import MAX_CHALLENGES, Credentials
from emulator.sip.events import EndCause, Rejected, SessionEnded
from emulator.sip.message import Message, Request
from emulator.sip.options import SipLimits, SipOptions
from emulator.sip.session import OutgoingInvite, OutgoingRequest
from emulator.sip.uri import NameAddr
from tests.unit.sip.sip_world import OFFER, Node, World

SERVER_PORT = 5063
SERVER = f"sip:bob@127.0.0.1:{SERVER_PORT}"
ALICE = NameAddr("sip:alice@127.0.0.1")
CREDENTIALS = Credentials("alice", "secret")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def alice(world: World) -> Node:
    return world.node("alice", 5061)


@pytest.fixture
def nonces(world: World, alice: Node) -> list[str]:
    """A server that calls every nonce of its own stale; what it has sent."""
    sent: list[str] = []

    def challenge(message: Message, source: SourceAddress) -> None:
        if not isinstance(message, Request) or message.method == "ACK":
            return
        sent.append(f"n{len(sent)}")
        challenge = f'Digest realm="r", nonce="{sent[-1]}", qop="auth", stale=true'
        response = alice.agent._party.response(
            message, 401, to_tag="t", headers=[("WWW-Authenticate", challenge)]
        )
        at = SourceAddress("udp", "127.0.0.1", SERVER_PORT)
        world.deliver(alice, response.to_bytes(), at)

    world.relays[SERVER_PORT] = challenge
    return sent


def test_an_invite_is_given_up_when_every_nonce_is_stale(
    world: World, alice: Node, nonces: list[str]
) -> None:
    outgoing = OutgoingInvite(
        SERVER, ALICE, NameAddr(SERVER), OFFER, credentials=CREDENTIALS
    )
    invite, effects = alice.agent.place_call(outgoing)
    alice._add(invite)
    alice.perform(effects)
    world.run(100)
    assert len(nonces) == MAX_CHALLENGES + 1
    rejected, ended = alice.happened
    assert isinstance(rejected, Rejected) and rejected.status == 401
    assert isinstance(ended, SessionEnded) and ended.cause is EndCause.REMOTE_REJECT
    assert alice.timers == {}


def test_a_registration_is_given_up_when_every_nonce_is_stale(
    world: World, alice: Node, nonces: list[str]
) -> None:
    register = OutgoingRequest(
        "REGISTER", SERVER, ALICE, ALICE, credentials=CREDENTIALS
    )
    alice.perform(alice.agent.send_request(register)[1])
    world.run(100)
    assert len(nonces) == MAX_CHALLENGES + 1
    (completed,) = alice.completed
    assert completed.response is not None and completed.response.status == 401


def test_calls_of_ours_are_bounded_too(world: World) -> None:
    limits = SipLimits(max_transactions=2)
    alice = world.node("alice", 5061, SipOptions(limits=limits))
    bob = world.node("bob", 5062)
    bob.on_invite = lambda session: session.ringing(180, None, ())
    first = [alice.dial(bob), alice.dial(bob)]
    third = alice.dial(bob)
    world.run(1)
    assert world.sent("INVITE") == ["alice: INVITE", "alice: INVITE"]
    assert not any(session.is_ended for session in first)
    last = alice.events[third.serial][-1]
    assert isinstance(last, SessionEnded)
    assert "sip.limits.max_transactions is 2" in last.detail
    # Room or not: a call that rings is cancelled.
    alice.perform(alice.agent.act(first[0], first[0].hang_up(())))
    world.run(1)
    assert world.sent("CANCEL") == ["alice: CANCEL"]
