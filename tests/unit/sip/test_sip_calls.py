"""Two user agents call each other over a network that loses messages."""

from __future__ import annotations

import pytest

from emulator.sip.address import SourceAddress
from emulator.sip.effects import StartRequest
from emulator.sip.errors import SessionStateError
from emulator.sip.events import (
    Acked,
    AckTimedOut,
    Answered,
    ByeReceived,
    Cancelled,
    EndCause,
    InfoReceived,
    OfferAnswered,
    OfferReceived,
    OfferRejected,
    Provisional,
    Rejected,
    SessionEnded,
    TransactionTimedOut,
)
from emulator.sip.invite import SessionState
from emulator.sip.message import Message, Request, Response, parse_message
from emulator.sip.options import SipOptions
from emulator.sip.transactions import client_id
from tests.unit.sip.sip_world import (
    ANSWER,
    OFFER,
    Node,
    World,
    lose_all,
    lose_first,
    no_loss,
    short,
)

TRANSPORTS = ["udp", "tcp"]
LONG_S = 100.0


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def alice(world: World) -> Node:
    return world.node("alice", 5061)


@pytest.fixture
def bob(world: World) -> Node:
    return world.node("bob", 5062)


def never_answer(bob: Node) -> None:
    bob.on_invite = lambda session: session.ringing(180, None, ())


def establish(world: World, alice: Node, bob: Node) -> None:
    alice.dial(bob)
    world.run(1)
    assert alice.call.state is SessionState.ESTABLISHED
    assert bob.call.state is SessionState.ESTABLISHED
    world.log.clear()


def assert_nothing_left(world: World, *nodes: Node) -> None:
    world.run(LONG_S)
    for node in nodes:
        assert set(node.agent.counts(0.0).values()) == {0}
        assert node.agent.session_count == 0
        assert node.timers == {}


def ended(node: Node) -> SessionEnded:
    last = node.happened[-1]
    assert isinstance(last, SessionEnded)
    return last


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_call_is_answered_and_hung_up_by_the_caller(
    world: World, alice: Node, bob: Node, transport: str
) -> None:
    bob.on_invite = lambda s: [*s.ringing(180, None, ()), *s.answer(ANSWER, ())]
    alice.dial(bob, transport="tcp" if transport == "tcp" else "udp")
    world.run(1)
    alice.do(alice.call.hang_up([("Reason", "Q.850;cause=16")]))
    world.run(1)
    assert world.sent() == [
        "alice: INVITE",
        "bob: 100 INVITE",
        "bob: 180 INVITE",
        "bob: 200 INVITE",
        "alice: ACK",
        "alice: BYE",
        "bob: 200 BYE",
    ]
    assert alice.happened_names == ["Provisional", "Answered", "SessionEnded"]
    assert bob.happened == [
        Acked(None),
        ByeReceived(("Q.850;cause=16",)),
        SessionEnded(EndCause.REMOTE_BYE),
    ]
    answered = alice.happened[1]
    assert isinstance(answered, Answered)
    assert answered.sdp == ANSWER
    assert bob.invites[0].sdp == OFFER
    assert_nothing_left(world, alice, bob)


def test_the_called_side_can_hang_up(world: World, alice: Node, bob: Node) -> None:
    establish(world, alice, bob)
    bob.do(bob.call.hang_up(()))
    bob.do(bob.call.hang_up(()))
    world.run(1)
    assert world.sent() == ["bob: BYE", "alice: 200 BYE"]
    assert ended(alice).cause is EndCause.REMOTE_BYE
    assert ended(bob).cause is EndCause.LOCAL_BYE
    assert_nothing_left(world, alice, bob)


@pytest.mark.parametrize(
    "lost",
    [
        ["INVITE"],
        ["INVITE", "INVITE", "INVITE"],
        ["100 INVITE", "200 INVITE"],
        ["ACK"],
        ["ACK", "ACK", "200 INVITE"],
        ["BYE"],
        ["200 BYE", "200 BYE"],
        ["INVITE", "100 INVITE", "200 INVITE", "ACK", "BYE", "200 BYE"],
    ],
    ids=" ".join,
)
def test_a_call_survives_lost_datagrams(
    world: World, alice: Node, bob: Node, lost: list[str]
) -> None:
    world.lose = lose_first(*lost)
    alice.dial(bob)
    world.run(10)
    assert len(bob.calls) == 1
    assert bob.happened == [Acked(None)]
    alice.do(alice.call.hang_up(()))
    world.run(10)
    assert [line.was_lost for line in world.log].count(True) == len(lost)
    assert ended(bob) == SessionEnded(EndCause.REMOTE_BYE)
    assert ended(alice) == SessionEnded(EndCause.LOCAL_BYE)
    assert_nothing_left(world, alice, bob)


def test_an_invite_is_retransmitted_with_doubling_intervals_until_timer_b(
    world: World, alice: Node, bob: Node
) -> None:
    world.lose = lose_all("INVITE")
    alice.dial(bob)
    world.run(LONG_S)
    times = [line.at_s for line in world.log]
    assert times == [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert alice.happened == [
        TransactionTimedOut("INVITE", "no response within 32.0 s"),
        SessionEnded(EndCause.TIMEOUT, "no response within 32.0 s"),
    ]
    assert_nothing_left(world, alice, bob)


def test_a_bye_without_response_is_retransmitted_up_to_t2_and_given_up(
    world: World, alice: Node, bob: Node
) -> None:
    establish(world, alice, bob)
    world.lose = lose_all("BYE")
    started_s = world.now_s
    alice.do(alice.call.hang_up(()))
    world.run(40)
    times = [round(line.at_s - started_s, 3) for line in world.log]
    assert times == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert alice.happened_names[-2:] == ["TransactionTimedOut", "SessionEnded"]


def test_without_ack_the_answer_is_repeated_and_then_bye_is_sent(
    world: World, alice: Node, bob: Node
) -> None:
    world.lose = lose_all("ACK")
    alice.dial(bob)
    world.run(LONG_S)
    answers = [line for line in world.log if line.summary == "200 INVITE"]
    assert len(answers) == 11
    assert bob.happened[:1] == [AckTimedOut()]
    assert ended(bob).cause is EndCause.LOCAL_BYE
    assert ended(alice).cause is EndCause.REMOTE_BYE
    assert_nothing_left(world, alice, bob)


def test_a_late_ack_ends_the_repetition(world: World, alice: Node, bob: Node) -> None:
    world.lose = lose_first(*["ACK"] * 5)
    alice.dial(bob)
    world.run(LONG_S)
    assert bob.happened == [Acked(None)]
    assert len(world.sent("200 INVITE")) == len(world.sent("ACK")) == 6


def test_hanging_up_before_the_ack_waits_for_it(
    world: World, alice: Node, bob: Node
) -> None:
    world.lose = lose_first("ACK")
    alice.dial(bob)
    world.run(0.1)
    bob.do(bob.call.hang_up([("Reason", "x")]))
    assert "bob: BYE" not in world.sent()
    world.run(2)
    assert "bob: BYE" in world.sent()
    assert bob.happened_names == ["Acked", "SessionEnded"]
    assert ended(alice).cause is EndCause.REMOTE_BYE


def test_both_sides_hang_up_at_once(world: World, alice: Node, bob: Node) -> None:
    establish(world, alice, bob)
    alice.do(alice.call.hang_up(()))
    bob.do(bob.call.hang_up(()))
    world.run(1)
    assert sorted(world.sent()) == [
        "alice: 200 BYE",
        "alice: BYE",
        "bob: 200 BYE",
        "bob: BYE",
    ]
    assert ended(alice).cause is ended(bob).cause is EndCause.LOCAL_BYE
    assert_nothing_left(world, alice, bob)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_refused_call_is_acknowledged(
    world: World, alice: Node, bob: Node, transport: str
) -> None:
    bob.on_invite = lambda s: s.reject(486, None, [("X-Why", "busy")])
    alice.dial(bob, transport="tcp" if transport == "tcp" else "udp")
    world.run(1)
    assert world.sent() == [
        "alice: INVITE",
        "bob: 100 INVITE",
        "bob: 486 INVITE",
        "alice: ACK",
    ]
    rejected = alice.happened[0]
    assert isinstance(rejected, Rejected)
    assert (rejected.status, rejected.reason_phrase) == (486, "Busy Here")
    assert rejected.response.headers.get("X-Why") == "busy"
    assert ended(alice) == SessionEnded(EndCause.REMOTE_REJECT, "486 Busy Here")
    assert ended(bob).cause is EndCause.LOCAL_REJECT
    assert_nothing_left(world, alice, bob)


def test_a_refusal_is_repeated_until_its_ack(
    world: World, alice: Node, bob: Node
) -> None:
    bob.on_invite = lambda s: s.reject(404, None, ())
    world.lose = lose_first("ACK", "404 INVITE")
    alice.dial(bob)
    world.run(LONG_S)
    assert len(world.sent("404 INVITE")) == 3
    assert len(alice.happened) == 2
    assert_nothing_left(world, alice, bob)


# --- CANCEL at each stage ---


def test_cancel_while_ringing(world: World, alice: Node, bob: Node) -> None:
    never_answer(bob)
    alice.dial(bob)
    world.run(1)
    world.log.clear()
    alice.do(alice.call.hang_up([("Reason", 'SIP;cause=200;text="elsewhere"')]))
    world.run(1)
    assert world.sent() == [
        "alice: CANCEL",
        "bob: 200 CANCEL",
        "bob: 487 INVITE",
        "alice: ACK",
    ]
    assert bob.happened[0] == Cancelled(('SIP;cause=200;text="elsewhere"',))
    assert ended(bob).cause is EndCause.REMOTE_CANCEL
    assert ended(alice) == SessionEnded(EndCause.LOCAL_CANCEL, "487")
    assert_nothing_left(world, alice, bob)


@pytest.mark.parametrize("is_refused", [False, True])
def test_the_answer_to_a_cancel_has_the_tag_of_those_to_its_invite(
    world: World, alice: Node, bob: Node, is_refused: bool
) -> None:
    never_answer(bob)
    alice.dial(bob)
    world.run(1)
    if is_refused:
        world.lose = lose_first("486 INVITE")
        bob.do(bob.call.reject(486, None, ()))
    alice.do(alice.call.hang_up(()))
    world.run(1)
    responses = [
        sent.message
        for sent in world.log
        if isinstance(sent.message, Response) and sent.message.status > 100
    ]
    assert {"INVITE", "CANCEL"} == {response.cseq.method for response in responses}
    assert len({response.to.tag for response in responses}) == 1


def test_cancel_waits_for_a_provisional_response(
    world: World, alice: Node, bob: Node
) -> None:
    never_answer(bob)
    world.lose = lose_first("INVITE")
    alice.dial(bob)
    alice.do(alice.call.hang_up(()))
    assert world.sent() == ["alice: INVITE (lost)"]
    world.run(2)
    assert "alice: CANCEL" in world.sent()
    assert ended(alice).cause is EndCause.LOCAL_CANCEL
    assert_nothing_left(world, alice, bob)


def test_hanging_up_on_a_silent_peer_takes_seconds(
    world: World, alice: Node, bob: Node
) -> None:
    never_answer(bob)
    world.lose = lose_all("INVITE")
    alice.dial(bob)
    alice.do(alice.call.hang_up(()))
    world.run(4.1)
    assert ended(alice).cause is EndCause.LOCAL_CANCEL
    world.lose = no_loss
    world.run(LONG_S)
    assert ended(bob).cause is EndCause.REMOTE_CANCEL
    assert_nothing_left(world, alice, bob)


def test_a_cancel_that_crosses_the_answer_becomes_a_bye(
    world: World, alice: Node, bob: Node
) -> None:
    never_answer(bob)
    alice.dial(bob)
    world.run(1)
    bob.do(bob.call.answer(ANSWER, ()))
    alice.do(alice.call.hang_up([("Reason", "SIP;cause=487")]))
    world.run(1)
    assert "alice: BYE" in world.sent()
    assert ended(alice).cause is EndCause.LOCAL_BYE
    assert bob.happened == [
        Acked(None),
        ByeReceived(("SIP;cause=487",)),
        SessionEnded(EndCause.REMOTE_BYE),
    ]
    assert_nothing_left(world, alice, bob)


def test_a_cancel_without_any_final_response_is_given_up(
    world: World, alice: Node, bob: Node
) -> None:
    never_answer(bob)
    alice.dial(bob)
    world.run(1)
    world.lose = lose_all("CANCEL")
    alice.do(alice.call.hang_up(()))
    world.run(40)
    assert ended(alice).cause is EndCause.LOCAL_CANCEL


def test_a_cancel_that_gets_481_leaves_the_decision_to_the_invite(
    world: World, alice: Node, bob: Node
) -> None:
    never_answer(bob)
    alice.dial(bob)
    world.run(1)
    world.lose = lose_all("CANCEL")
    alice.do(alice.call.hang_up(()))
    cancel = next(x.message for x in world.log if x.summary == "CANCEL")
    assert isinstance(cancel, Request)
    refusal = bob.agent._party.response(cancel, 481)
    world.deliver(alice, refusal.to_bytes(), SourceAddress("udp", "127.0.0.1", 5062))
    assert not alice.call.is_ended
    bob.do(bob.call.answer(ANSWER, ()))
    world.run(1)
    assert ended(alice).cause is EndCause.LOCAL_BYE
    assert ended(bob).cause is EndCause.REMOTE_BYE


def test_an_answer_after_we_gave_up_is_acknowledged_and_hung_up(
    world: World, alice: Node, bob: Node
) -> None:
    never_answer(bob)
    alice.dial(bob)
    world.run(1)
    world.lose = lose_all("CANCEL")
    alice.do(alice.call.hang_up(()))
    # Within 64*T1 of the CANCEL: then the transaction is gone (RFC 3261 §9.1).
    world.run(31)
    bob.do(bob.call.answer(ANSWER, ()))
    world.run(1)
    assert alice.call.is_ended
    assert bob.happened_names == ["Acked", "ByeReceived", "SessionEnded"]
    assert_nothing_left(world, alice, bob)


def test_hanging_up_a_call_that_rings_here_refuses_it(
    world: World, alice: Node, bob: Node
) -> None:
    never_answer(bob)
    alice.dial(bob)
    world.run(1)
    bob.do(bob.call.hang_up(()))
    world.run(1)
    assert ended(alice).detail == "487 Request Terminated"


def test_a_call_that_nobody_answers_is_refused_in_the_end(
    world: World, alice: Node, bob: Node
) -> None:
    never_answer(bob)
    source = SourceAddress("udp", "127.0.0.1", 5061)
    world.deliver(bob, request_bytes("INVITE"), source)
    world.run(301)
    assert "bob: 480 INVITE" in world.sent()
    assert ended(bob).cause is EndCause.TIMEOUT
    assert_nothing_left(world, bob)


def test_ringing_for_too_long_is_cancelled(
    world: World, alice: Node, bob: Node
) -> None:
    never_answer(bob)
    alice.dial(bob)
    world.run(61)
    assert alice.happened_names == [
        "Provisional",
        "TransactionTimedOut",
        "SessionEnded",
    ]
    assert ended(alice).cause is EndCause.NO_ANSWER
    assert ended(bob).cause is EndCause.REMOTE_CANCEL


def test_a_peer_that_vanished_while_it_rang_leaves_nothing_64_t1_after_the_cancel(
    world: World, alice: Node, bob: Node
) -> None:
    never_answer(bob)
    alice.dial(bob, ring_timeout_s=3)
    world.run(1)
    world.lose = lambda message: True
    world.run(2.5)
    assert alice.happened_names == ["Provisional", "TransactionTimedOut"]
    world.run(31)
    assert alice.agent.counts(0)["invite_client"] == 1
    world.run(1)
    assert ended(alice).cause is EndCause.NO_ANSWER
    assert_nothing_left(world, alice)


def test_a_cancel_that_cannot_be_sent_ends_the_call_at_once(
    world: World, alice: Node, bob: Node
) -> None:
    never_answer(bob)
    alice.dial(bob, ring_timeout_s=3)
    world.run(1)
    world.lose = lambda message: True
    world.run(2.5)
    cancels = (line.message for line in world.log if "CANCEL" in line.summary)
    key = client_id(next(cancels).via.branch or "", "CANCEL")
    alice.perform(alice.agent.transport_failed(key, "refused"))
    assert ended(alice) == SessionEnded(EndCause.NO_ANSWER, "refused")
    assert_nothing_left(world, alice)


def test_a_silent_peer_is_given_up_when_the_ring_time_is_over(
    world: World, alice: Node, bob: Node
) -> None:
    world.lose = lose_all("INVITE")
    alice.dial(bob, ring_timeout_s=3)
    world.run(3.1)
    assert ended(alice) == SessionEnded(EndCause.TIMEOUT, "no response within 3 s")
    world.run(LONG_S)
    assert alice.happened_names == ["TransactionTimedOut", "SessionEnded"]
    assert "alice: CANCEL" not in world.sent()
    assert_nothing_left(world, alice)


@pytest.mark.parametrize("answers", [False, True])
def test_a_peer_that_wakes_up_too_late_is_not_left_ringing(
    world: World, alice: Node, bob: Node, answers: bool
) -> None:
    bob.on_invite = lambda session: []
    world.lose = lose_all("100 INVITE")
    alice.dial(bob, ring_timeout_s=3)
    world.run(4)
    world.lose = no_loss
    late = bob.call
    bob.do(late.answer(ANSWER, ()) if answers else late.ringing(180, None, ()))
    world.run(LONG_S)
    if answers:
        assert "alice: BYE" in world.sent()
    else:
        assert ended(bob).cause is EndCause.REMOTE_CANCEL
        assert world.sent("CANCEL") == ["alice: CANCEL"]
    assert ended(alice).cause is EndCause.TIMEOUT
    assert_nothing_left(world, alice, bob)


@pytest.mark.parametrize("hangs_up", [False, True])
def test_a_peer_whose_ringing_was_lost_is_cancelled_in_the_end(
    world: World, alice: Node, bob: Node, hangs_up: bool
) -> None:
    """The INVITE is repeated until timer B, as its answer is all that tells of it."""
    never_answer(bob)
    world.lose = lose_all("100 INVITE", "180 INVITE")
    alice.dial(bob, ring_timeout_s=60 if hangs_up else 3)
    world.run(1)
    if hangs_up:
        alice.do(alice.call.hang_up(()))
    world.run(8)
    assert alice.call.is_ended
    world.lose = no_loss
    world.run(LONG_S)
    assert ended(bob).cause is EndCause.REMOTE_CANCEL
    assert_nothing_left(world, alice, bob)


def test_an_invite_that_is_given_up_is_repeated_until_timer_b_and_no_longer(
    world: World, alice: Node, bob: Node
) -> None:
    world.lose = lose_all("INVITE")
    alice.dial(bob, ring_timeout_s=5)
    world.run(5.1)
    assert ended(alice).cause is EndCause.TIMEOUT
    world.run(LONG_S)
    times = [round(line.at_s, 3) for line in world.log]
    assert times == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert_nothing_left(world, alice)


def only_trying(world: World, node: Node) -> None:
    """Take a call as a peer does that answers 100 and then dies."""
    node.on_invite = lambda session: []
    world.lose = lambda message: short(message) not in {"INVITE", "100 INVITE", "ACK"}


@pytest.mark.parametrize("late", [False, True])
def test_a_peer_that_dies_after_its_first_response_leaves_nothing_open(
    world: World, alice: Node, bob: Node, late: bool
) -> None:
    only_trying(world, bob)
    if late:
        world.lose = lose_all("100 INVITE")
    alice.dial(bob, ring_timeout_s=3)
    world.run(5)
    only_trying(world, bob)
    world.run(700)
    assert ended(alice).cause is (EndCause.TIMEOUT if late else EndCause.NO_ANSWER)
    assert_nothing_left(world, alice)


def test_a_reinvite_that_only_gets_100_ends_the_call(
    world: World, alice: Node, bob: Node
) -> None:
    establish(world, alice, bob)
    only_trying(world, bob)
    alice.do(alice.call.offer(OFFER))
    world.run(700)
    assert ended(alice).cause is EndCause.LOCAL_BYE
    assert_nothing_left(world, alice)


@pytest.mark.parametrize(
    ("method", "status"),
    [("BYE", 481), ("INFO", 481), ("UPDATE", 491), ("INVITE", 491), ("OPTIONS", 200)],
)
def test_a_request_in_an_early_dialog_is_answered(
    world: World, alice: Node, bob: Node, method: str, status: int
) -> None:
    never_answer(bob)
    alice.dial(bob)
    world.run(1)
    sent = bob.call._in_dialog(method)
    bob.do([StartRequest(None, sent.request, sent.target)])
    world.run(1)
    assert f"alice: {status} {method}" in world.sent()
    bob.do(bob.call.answer(ANSWER, ()))
    world.run(1)
    assert alice.call.state is SessionState.ESTABLISHED


def test_a_status_of_no_class_is_a_refusal(
    world: World, alice: Node, bob: Node
) -> None:
    def answer_999(message: Message, source: SourceAddress) -> None:
        if isinstance(message, Request) and message.method == "INVITE":
            response = bob.agent._party.response(message, 200, to_tag="t").to_bytes()
            refusal = response.replace(b"SIP/2.0 200 OK", b"SIP/2.0 999 Odd")
            world.deliver(alice, refusal, SourceAddress("udp", "127.0.0.1", 5063))

    world.relays[5063] = answer_999
    alice.dial(world.node("odd", 5063))
    world.run(1)
    assert ended(alice) == SessionEnded(EndCause.REMOTE_REJECT, "999 Odd")
    assert "alice: ACK" in world.sent()


def test_an_answer_that_cannot_be_used_is_ended_where_the_invite_went(
    world: World, alice: Node
) -> None:
    def answer(message: Message, source: SourceAddress) -> None:
        if isinstance(message, Request) and message.method in {"INVITE", "BYE"}:
            junk = [("Contact", "junk")] if message.method == "INVITE" else []
            response = alice.agent._party.response(
                message, 200, to_tag="t", headers=junk
            )
            peer = SourceAddress("udp", "127.0.0.1", 5063)
            world.deliver(alice, response.to_bytes(), peer)

    world.relays[5063] = answer
    alice.dial(world.node("odd", 5063))
    world.run(LONG_S)
    end = ended(alice)
    assert end.cause is EndCause.UNUSABLE_ANSWER
    assert "no URI scheme in 'junk'" in end.detail
    ours = [line for line in world.sent() if line.startswith("alice")]
    assert ours == ["alice: INVITE", "alice: ACK", "alice: BYE"]
    assert_nothing_left(world, alice)


def test_cancel_of_an_unknown_invite_gets_481(world: World, bob: Node) -> None:
    alice = world.node("alice", 5061)
    source = SourceAddress("udp", "127.0.0.1", 5061)
    world.deliver(bob, request_bytes("CANCEL"), source)
    world.run(1)
    assert world.sent() == ["bob: 481 CANCEL"]
    assert alice.calls == []


# --- rules that bind the application ---


def test_ringing_after_the_answer_is_refused(
    world: World, alice: Node, bob: Node
) -> None:
    establish(world, alice, bob)
    with pytest.raises(SessionStateError, match="cannot ring a session"):
        bob.call.ringing(180, None, ())
    with pytest.raises(SessionStateError):
        bob.call.answer(ANSWER, ())
    with pytest.raises(SessionStateError):
        bob.call.reject(486, None, ())
    with pytest.raises(SessionStateError):
        alice.call.answer(ANSWER, ())


def test_early_media_arrives_with_its_description(
    world: World, alice: Node, bob: Node
) -> None:
    bob.on_invite = lambda s: s.ringing(183, ANSWER, [("P-Early-Media", "sendrecv")])
    alice.dial(bob)
    world.run(1)
    early = alice.happened[0]
    assert isinstance(early, Provisional)
    assert (early.status, early.sdp) == (183, ANSWER)


def test_an_invite_without_offer_gets_one_and_the_ack_answers(
    world: World, alice: Node, bob: Node
) -> None:
    bob.on_invite = lambda s: s.answer(OFFER, ())
    alice.dial(bob, sdp=None)
    world.run(1)
    answered = alice.happened[0]
    assert isinstance(answered, Answered)
    assert answered.sdp == OFFER
    assert world.sent("ACK") == []
    alice.do(alice.call.acknowledge(ANSWER))
    world.run(1)
    assert bob.happened == [Acked(ANSWER)]


# --- inside the dialog ---


def test_hold_and_resume(world: World, alice: Node, bob: Node) -> None:
    establish(world, alice, bob)
    alice.do(alice.call.offer("v=0 hold"))
    world.run(1)
    assert bob.latest() == OfferReceived("INVITE", "v=0 hold")
    bob.do(bob.call.answer_offer("v=0 held"))
    world.run(1)
    assert alice.latest() == OfferAnswered("v=0 held")
    assert world.sent() == [
        "alice: INVITE",
        "bob: 100 INVITE",
        "bob: 200 INVITE",
        "alice: ACK",
    ]
    bob.do(bob.call.offer("v=0 other way"))
    world.run(1)
    alice.do(alice.call.reject_offer(488, ()))
    world.run(1)
    assert bob.latest() == OfferRejected(488, "Not Acceptable Here")
    assert alice.call.state is bob.call.state is SessionState.ESTABLISHED


def test_offers_that_cross_get_491_and_are_tried_again(
    world: World, alice: Node, bob: Node
) -> None:
    establish(world, alice, bob)
    alice.do(alice.call.offer("v=0 a"))
    bob.do(bob.call.offer("v=0 b"))
    world.run(0.1)
    assert len(world.sent("491")) == 2
    world.run(2)
    # Bob does not own the Call-ID: he waits less than two seconds.
    assert alice.latest() == OfferReceived("INVITE", "v=0 b")
    alice.do(alice.call.answer_offer("v=0 ok"))
    world.run(3)
    assert bob.happened[-2:] == [
        OfferAnswered("v=0 ok"),
        OfferReceived("INVITE", "v=0 a"),
    ]


def test_a_second_offer_while_one_waits_gets_500(
    world: World, alice: Node, bob: Node
) -> None:
    establish(world, alice, bob)
    alice.do(alice.call.offer("v=0 a"))
    world.run(0.1)
    again = alice.call.dialog.request("INVITE", alice.agent._party, "z9hG4bKx")
    alice.perform(alice.agent._start_request(None, again, alice.call.dialog.target()))
    world.run(0.1)
    refusals = [line.message for line in world.log if line.summary == "500 INVITE"]
    assert refusals
    assert refusals[0].headers.get("Retry-After") == "2"


def test_a_reinvite_without_offer_is_answered_by_our_offer(
    world: World, alice: Node, bob: Node
) -> None:
    establish(world, alice, bob)
    dialog = alice.call.dialog
    reinvite = dialog.request("INVITE", alice.agent._party, "z9hG4bKempty")
    alice.perform(alice.agent._start_request(None, reinvite, dialog.target()))
    world.run(0.1)
    assert bob.latest() == OfferReceived("INVITE", None)
    bob.do(bob.call.answer_offer(OFFER))
    world.run(0.1)
    ack = dialog.request(
        "ACK",
        alice.agent._party,
        "z9hG4bKack",
        cseq=reinvite.cseq.number,
        headers=[("Content-Type", "application/sdp")],
        body=ANSWER.encode(),
    )
    world.deliver(bob, ack.to_bytes(), SourceAddress("udp", "127.0.0.1", 5061))
    assert bob.latest() == OfferAnswered(ANSWER)


def test_info_is_answered_and_delivered(world: World, alice: Node, bob: Node) -> None:
    establish(world, alice, bob)
    info = alice.call.dialog.request(
        "INFO",
        alice.agent._party,
        "z9hG4bKinfo",
        headers=[("Content-Type", "application/dtmf-relay")],
        body=b"Signal=5\r\nDuration=160\r\n",
    )
    target = alice.call.dialog.target()
    alice.perform(alice.agent._start_request(None, info, target))
    world.run(1)
    assert bob.latest() == InfoReceived(
        "application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n"
    )
    assert world.sent() == ["alice: INFO", "bob: 200 INFO"]


def test_requests_out_of_order_get_500(world: World, alice: Node, bob: Node) -> None:
    establish(world, alice, bob)
    dialog = alice.call.dialog
    old = dialog.request("INFO", alice.agent._party, "z9hG4bKold", cseq=0)
    alice.perform(alice.agent._start_request(None, old, dialog.target()))
    world.run(1)
    assert world.sent() == ["alice: INFO", "bob: 500 INFO"]


def test_a_peer_that_lost_the_dialog_ends_the_session(
    world: World, alice: Node, bob: Node
) -> None:
    establish(world, alice, bob)
    bob.agent._forget(bob.call)
    alice.do(alice.call.offer("v=0 a"))
    world.run(1)
    assert ended(alice).cause is EndCause.DIALOG_LOST


# --- outside dialogs ---


def request_bytes(
    method: str, *lines: str, to: str = "<sip:bob@127.0.0.1>", body: str = ""
) -> bytes:
    head = [
        f"{method} sip:bob@127.0.0.1:5062 SIP/2.0",
        "Via: SIP/2.0/UDP 127.0.0.1:5061;branch=z9hG4bK1;rport",
        "From: <sip:alice@127.0.0.1>;tag=a",
        f"To: {to}",
        "Call-ID: c1",
        f"CSeq: 1 {method}",
        "Contact: <sip:alice@127.0.0.1:5061>",
        *lines,
    ]
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode()


def response_to(world: World, bob: Node, data: bytes) -> Response:
    world.deliver(bob, data, SourceAddress("udp", "127.0.0.1", 5061))
    final = [line.message for line in world.log if isinstance(line.message, Response)]
    response = final[-1]
    assert isinstance(response, Response)
    return response


def test_options_says_what_we_can(world: World, bob: Node) -> None:
    response = response_to(world, bob, request_bytes("OPTIONS"))
    assert response.status == 200
    assert "INVITE" in response.headers.tokens("Allow") or "invite" in (
        response.headers.tokens("Allow")
    )
    assert response.headers.get("Accept") == "application/sdp"
    assert response.to.tag


@pytest.mark.parametrize(
    ("data", "status", "header"),
    [
        (request_bytes("BYE", to="<sip:bob@127.0.0.1>;tag=gone"), 481, None),
        (request_bytes("INVITE", to="<sip:bob@127.0.0.1>;tag=gone"), 481, None),
        (request_bytes("BYE"), 481, None),
        (request_bytes("MESSAGE"), 405, "Allow"),
        (request_bytes("DANCE"), 501, "Allow"),
        (request_bytes("INVITE", "Require: 100rel, foo"), 420, "Unsupported"),
        (request_bytes("INVITE", "Max-Forwards: 0"), 483, None),
        (request_bytes("INVITE", "Accept: text/plain"), 406, "Accept"),
        (
            request_bytes("INVITE", "Content-Type: text/plain", body="hello"),
            415,
            "Accept",
        ),
        (
            request_bytes(
                "INVITE",
                "Content-Type: application/sdp",
                "Content-Encoding: gzip",
                body="x",
            ),
            415,
            "Accept-Encoding",
        ),
        (
            request_bytes("INVITE").replace(b"sip:bob@127.0.0.1:5062", b"tel:+9180", 1),
            416,
            None,
        ),
        (request_bytes("OPTIONS", "Max-Forwards: 0"), 200, None),
    ],
)
def test_a_request_gets_the_response_that_the_rfc_wants(
    world: World, bob: Node, data: bytes, status: int, header: str | None
) -> None:
    response = response_to(world, bob, data)
    assert response.status == status
    assert header is None or header in response.headers
    assert len(bob.calls) == 0


def test_an_optional_body_of_an_unknown_type_is_ignored(
    world: World, bob: Node
) -> None:
    data = request_bytes(
        "INVITE",
        "Content-Type: text/plain",
        "Content-Disposition: render; handling=optional",
        body="hello",
    )
    assert response_to(world, bob, data).status == 200
    assert bob.invites[0].sdp is None


def test_a_request_that_came_by_two_paths_is_refused_once(
    world: World, bob: Node
) -> None:
    never_answer(bob)
    source = SourceAddress("udp", "127.0.0.1", 5061)
    world.deliver(bob, request_bytes("INVITE"), source)
    merged = request_bytes("INVITE").replace(b"z9hG4bK1", b"z9hG4bK2")
    assert response_to(world, bob, merged).status == 482
    assert len(bob.calls) == 1


def test_a_retransmitted_invite_makes_no_second_call(world: World, bob: Node) -> None:
    never_answer(bob)
    source = SourceAddress("udp", "127.0.0.1", 5061)
    for _ in range(3):
        world.deliver(bob, request_bytes("INVITE"), source)
    assert len(bob.calls) == 1
    assert world.sent() == [
        "bob: 100 INVITE",
        "bob: 180 INVITE",
        "bob: 180 INVITE (again)",
        "bob: 180 INVITE (again)",
    ]


def test_while_draining_new_calls_get_503(world: World, alice: Node, bob: Node) -> None:
    bob.agent.stop_accepting()
    response = response_to(world, bob, request_bytes("INVITE"))
    assert response.status == 503
    assert response.headers.get("Retry-After") == "10"
    assert "takes no new calls" in (response.headers.get("Reason") or "")


def test_transactions_are_bounded(world: World) -> None:
    limits = SipOptions().limits
    small = type(limits)(max_transactions=2)
    bob = world.node("bob", 5062, SipOptions(limits=small))
    statuses = []
    for number in range(4):
        branch = f"z9hG4bKn{number}".encode()
        data = request_bytes("OPTIONS").replace(b"z9hG4bK1", branch)
        statuses.append(
            response_to(world, bob, data.replace(b"c1", b"c%d" % number)).status
        )
    assert statuses == [200, 200, 503, 503]
    assert bob.agent.counts(0.0)["transactions"] == 2


def test_a_second_phone_that_answers_is_hung_up(
    world: World, alice: Node, bob: Node
) -> None:
    establish_by_two_phones(world, alice, bob)
    assert [s for s in world.sent() if s.startswith("alice: BYE")] == ["alice: BYE"]
    assert alice.happened_names == ["Answered"]


def establish_by_two_phones(world: World, alice: Node, bob: Node) -> None:
    alice.dial(bob)
    world.run(1)
    world.lose = lambda message: False
    answer = next(x.message for x in world.log if x.summary == "200 INVITE")
    forked = answer.to_bytes().replace(
        f";tag={answer.to.tag}".encode(), b";tag=otherphone"
    )
    world.deliver(alice, forked, SourceAddress("udp", "127.0.0.1", 5062))
    world.run(1)


def test_a_request_is_parsed_as_it_was_sent(alice: Node, bob: Node) -> None:
    alice.dial(bob)
    first = alice.world.log[0].message
    assert isinstance(first, Request)
    assert parse_message(first.to_bytes()) == first
