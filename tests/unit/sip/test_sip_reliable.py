"""Reliable provisional responses, both roles (RFC 3262)."""

from __future__ import annotations

import pytest

from emulator.sip.address import SourceAddress
from emulator.sip.effects import StartRequest
from emulator.sip.errors import SessionStateError
from emulator.sip.events import Answered, EndCause, Provisional, SessionEnded
from emulator.sip.invite import SessionState
from emulator.sip.message import Message, Request
from emulator.sip.session import OutgoingInvite
from emulator.sip.uri import NameAddr
from tests.unit.sip.sip_world import (
    ANSWER,
    OFFER,
    Node,
    World,
    lose_all,
    lose_first,
    no_loss,
)

LONG_S = 100.0


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def alice(world: World) -> Node:
    return world.node("alice", 5061)


@pytest.fixture
def bob(world: World) -> Node:
    bob = world.node("bob", 5062)
    bob.on_invite = lambda session: session.ringing(180, None, ())
    return bob


def dial(alice: Node, port: int = 5062, sdp: str | None = OFFER) -> None:
    """Place a call that takes reliable provisional responses only."""
    outgoing = OutgoingInvite(
        f"sip:bob@127.0.0.1:{port}",
        NameAddr("sip:alice@127.0.0.1"),
        NameAddr("sip:bob@127.0.0.1"),
        sdp,
        headers=[("Require", "100rel")],
    )
    session, effects = alice.agent.place_call(outgoing)
    alice._add(session)
    alice.perform(effects)


def messages(world: World, summary: str) -> list[Message]:
    return [line.message for line in world.log if line.summary == summary]


def field_of(message: Message, name: str) -> str:
    value = message.headers.get(name)
    assert value is not None, message.to_bytes()
    return value


def end_and_leave_nothing(world: World, *nodes: Node) -> None:
    nodes[0].do(nodes[0].call.hang_up(()))
    world.run(LONG_S)
    for node in nodes:
        assert isinstance(node.latest(), SessionEnded)
        assert set(node.agent.counts(0.0).values()) == {0}
        assert node.timers == {}


def test_ringing_is_acknowledged_before_the_answer(
    world: World, alice: Node, bob: Node
) -> None:
    dial(alice)
    world.run(1)
    bob.do(bob.call.answer(ANSWER, ()))
    world.run(1)
    assert world.sent() == [
        "alice: INVITE",
        "bob: 100 INVITE",
        "bob: 180 INVITE",
        "alice: PRACK",
        "bob: 200 PRACK",
        "bob: 200 INVITE",
        "alice: ACK",
    ]
    (ringing,) = messages(world, "180 INVITE")
    (prack,) = messages(world, "PRACK")
    (answer,) = messages(world, "200 INVITE")
    assert field_of(ringing, "Require") == "100rel"
    assert field_of(prack, "RAck") == f"{field_of(ringing, 'RSeq')} 1 INVITE"
    assert "RSeq" not in answer.headers and "Require" not in answer.headers
    assert "PRACK" not in field_of(answer, "Allow")
    assert "100rel" not in field_of(answer, "Supported")
    alice.do(alice.call.hang_up(()))
    world.run(1)
    (bye,) = messages(world, "BYE")
    assert field_of(bye, "CSeq") == "3 BYE"
    end_and_leave_nothing(world, alice, bob)


def test_ringing_is_repeated_with_doubling_intervals_until_its_prack(
    world: World, alice: Node, bob: Node
) -> None:
    world.lose = lose_all("180 INVITE")
    dial(alice)
    world.run(4)
    world.lose = no_loss
    world.run(20)
    times = [line.at_s for line in world.log if line.summary == "180 INVITE"]
    assert times == pytest.approx([0.01, 0.51, 1.51, 3.51, 7.51])
    assert world.sent("PRACK") == ["alice: PRACK"]
    assert alice.happened_names == ["Provisional"]
    end_and_leave_nothing(world, alice, bob)


def test_a_lost_prack_is_repeated_and_counts_once(
    world: World, alice: Node, bob: Node
) -> None:
    world.lose = lose_first("PRACK", "200 PRACK")
    dial(alice)
    world.run(10)
    assert alice.happened_names == ["Provisional"]
    numbers = {field_of(prack, "CSeq") for prack in messages(world, "PRACK")}
    assert numbers == {"2 PRACK"}
    assert set(world.sent("481")) == set()
    end_and_leave_nothing(world, alice, bob)


def test_a_caller_who_never_sends_prack_is_refused(
    world: World, alice: Node, bob: Node
) -> None:
    world.lose = lose_all("PRACK")
    dial(alice)
    world.run(33)
    assert "bob: 504 INVITE" in world.sent()
    last = bob.latest()
    assert last == SessionEnded(EndCause.TIMEOUT, "no PRACK within 32 s")
    end_and_leave_nothing(world, alice, bob)


def test_the_answer_waits_for_the_prack(world: World, alice: Node, bob: Node) -> None:
    world.lose = lose_all("PRACK")
    dial(alice)
    world.run(1)
    bob.do(bob.call.answer(ANSWER, ()))
    with pytest.raises(SessionStateError):
        bob.call.answer(ANSWER, ())
    with pytest.raises(SessionStateError):
        bob.call.ringing(180, None, ())
    assert world.sent("200 INVITE") == []
    world.lose = no_loss
    world.run(5)
    assert alice.call.state is bob.call.state is SessionState.ESTABLISHED
    end_and_leave_nothing(world, alice, bob)


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_whoever_gives_up_while_the_answer_waits_ends_the_call(
    world: World, alice: Node, bob: Node, who: str
) -> None:
    world.lose = lose_all("PRACK")
    dial(alice)
    world.run(1)
    bob.do(bob.call.answer(ANSWER, ()))
    node = {"alice": alice, "bob": bob}[who]
    node.do(node.call.hang_up(()))
    world.run(1)
    assert world.sent("487") == ["bob: 487 INVITE"]
    assert world.sent("200 INVITE") == []
    end_and_leave_nothing(world, alice, bob)


def test_what_is_said_next_waits_for_the_prack_too(
    world: World, alice: Node, bob: Node
) -> None:
    dial(alice)
    world.run(0.02)
    bob.do(bob.call.ringing(183, ANSWER, ()))
    bob.do(bob.call.answer(ANSWER, ()))
    world.run(1)
    said = [text for text in world.sent() if "INVITE" in text or "PRACK" in text]
    assert said[2:] == [
        "bob: 180 INVITE",
        "alice: PRACK",
        "bob: 200 PRACK",
        "bob: 183 INVITE",
        "alice: PRACK",
        "bob: 200 PRACK",
        "bob: 200 INVITE",
    ]
    first, second = messages(world, "180 INVITE") + messages(world, "183 INVITE")
    assert int(field_of(second, "RSeq")) == int(field_of(first, "RSeq")) + 1
    end_and_leave_nothing(world, alice, bob)


def test_without_an_offer_the_answer_comes_first(
    world: World, alice: Node, bob: Node
) -> None:
    """A reliable provisional response would have to make our offer."""
    dial(alice, sdp=None)
    world.run(1)
    bob.do(bob.call.answer(OFFER, ()))
    world.run(0.1)
    alice.do(alice.call.acknowledge(ANSWER))
    assert world.sent("180") == []
    end_and_leave_nothing(world, alice, bob)


@pytest.mark.parametrize(
    ("rack", "body", "status"),
    [
        ("0 1 INVITE", "", 481),
        ("{rseq} 2 INVITE", "", 481),
        ("{rseq} 1 OPTIONS", "", 481),
        ("{rseq} 1", "", 400),
        ("x 1 INVITE", "", 400),
        (f"{2**32} 1 INVITE", "", 400),
        (None, "", 400),
        ("{rseq} 1 INVITE", OFFER, 488),
        ("{rseq} 1 INVITE", "", 200),
    ],
)
def test_a_prack_is_answered_as_it_deserves(
    world: World, alice: Node, bob: Node, rack: str | None, body: str, status: int
) -> None:
    world.lose = lose_all("PRACK")
    dial(alice)
    world.run(0.1)
    world.lose = no_loss
    rseq = field_of(messages(world, "180 INVITE")[0], "RSeq")
    early = next(iter(alice.call._early.values()))  # type: ignore[attr-defined]
    headers = [("RAck", rack.format(rseq=rseq))] if rack is not None else []
    headers += [("Content-Type", "application/sdp")] if body else []
    prack = early.request(
        "PRACK", alice.agent._party, "z9hG4bKodd", headers=headers, body=body.encode()
    )
    alice.do([StartRequest(None, prack, early.target())])
    world.run(0.1)
    assert f"bob: {status} PRACK" in world.sent()
    end_and_leave_nothing(world, alice, bob)


@pytest.mark.parametrize("requires", [False, True])
def test_a_prack_for_nothing_gets_481(
    world: World, alice: Node, bob: Node, requires: bool
) -> None:
    if requires:
        dial(alice)
    else:
        alice.dial(bob)
    world.run(1)
    bob.do(bob.call.answer(ANSWER, ()))
    world.run(1)
    alice.do([alice.call._in_dialog("PRACK", [("RAck", "1 1 INVITE")])])
    world.run(1)
    assert "bob: 481 PRACK" in world.sent()
    bob.do([bob.call._in_dialog("PRACK", [("RAck", "1 1 INVITE")])])
    world.run(1)
    assert "alice: 481 PRACK" in world.sent()
    assert alice.call.state is SessionState.ESTABLISHED
    end_and_leave_nothing(world, alice, bob)


class Gateway:
    """A callee that answers early, reliably and unasked, and once only."""

    def __init__(self, world: World, alice: Node) -> None:
        self._world, self._alice = world, alice
        self.sends = [1]
        world.relays[5063] = self.receive
        self._node = world.node("gateway", 5063)
        self._node.on_invite = lambda session: []

    def say(self, request: Request, status: int, rseq: int | None, body: str) -> None:
        headers = [("Contact", "<sip:gw@127.0.0.1:5063>")]
        if rseq is not None:
            headers += [("Require", "100rel"), ("RSeq", f"{rseq}")]
        headers += [("Content-Type", "application/sdp")] if body else []
        response = self._alice.agent._party.response(
            request, status, to_tag="gw", headers=headers, body=body.encode()
        )
        source = SourceAddress("udp", "127.0.0.1", 5063)
        self._world.deliver(self._alice, response.to_bytes(), source)

    def receive(self, message: Message, _: SourceAddress) -> None:
        if not isinstance(message, Request):
            return
        if message.method == "INVITE":
            self.invite = message
            for rseq in self.sends:
                self.say(message, 183, rseq, ANSWER)
        elif message.method == "PRACK":
            self.say(message, 200, None, "")


def test_an_early_answer_counts_when_the_200_has_none(
    world: World, alice: Node
) -> None:
    gateway = Gateway(world, alice)
    dial(alice, port=5063)
    world.run(1)
    assert world.sent("PRACK") == ["alice: PRACK"]
    gateway.say(gateway.invite, 200, None, "")
    answered = alice.latest()
    assert isinstance(answered, Answered)
    assert answered.sdp == ANSWER


def test_reliable_responses_are_taken_once_and_in_order(
    world: World, alice: Node
) -> None:
    gateway = Gateway(world, alice)
    gateway.sends = [7, 7, 9, 8, 8]
    dial(alice, port=5063)
    world.run(1)
    racks = [field_of(prack, "RAck") for prack in messages(world, "PRACK")]
    assert racks == ["7 1 INVITE", "8 1 INVITE"]
    rung = [event for event in alice.happened if isinstance(event, Provisional)]
    assert len(rung) == 2
