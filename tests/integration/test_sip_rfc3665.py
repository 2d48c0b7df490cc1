"""RFC 3665's call flows, by section, between user agents and a record-routing proxy.

The proxy is of the test's own making: it rewrites text. Flows that the RFC draws with
two proxies run with one.
"""

from __future__ import annotations

import pytest

from emulator.ids import IdSource
from emulator.sip.address import SourceAddress, Target
from emulator.sip.auth import Credentials, DigestServer
from emulator.sip.effects import Effect
from emulator.sip.events import EndCause, Rejected, SessionEnded
from emulator.sip.invite import InviteSession
from emulator.sip.message import Message, Request, Response, parse_message
from emulator.sip.options import SipOptions
from emulator.sip.session import OutgoingInvite, OutgoingRequest
from emulator.sip.uri import NameAddr
from tests.unit.sip.sip_world import ANSWER, OFFER, Node, World, short

PROXY_PORT = 5070


class Proxy:
    """Relays every request to one node, and stays in the path by Record-Route."""

    def __init__(self, world: World, alice: Node, bob: Node) -> None:
        self._world = world
        self._homes = {alice.port: bob, bob.port: alice}
        self.relayed: list[str] = []
        world.relays[PROXY_PORT] = self.receive

    def receive(self, message: Message, source: SourceAddress) -> None:
        self.relayed.append(short(message))
        head, _, body = message.to_bytes().partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        if isinstance(message, Request):
            target = self._homes[source.port]
            lines = self._forward(lines, message)
        else:
            target = self._by_via(lines)
        data = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        origin = SourceAddress("udp", "127.0.0.1", PROXY_PORT)
        self._world.after(0.01, lambda: self._world.deliver(target, data, origin))

    def _forward(self, lines: list[str], request: Request) -> list[str]:
        own = f"sip:127.0.0.1:{PROXY_PORT};lr"
        via = f"Via: SIP/2.0/UDP 127.0.0.1:{PROXY_PORT};branch={request.via.branch}p"
        kept = [line for line in lines[1:] if line != f"Route: <{own}>"]
        record = [] if request.to.tag else [f"Record-Route: <{own}>"]
        return [lines[0], via, *record, *kept]

    def _by_via(self, lines: list[str]) -> Node:
        """Take our own Via off; the next one says who gets the response."""
        index = next(i for i, line in enumerate(lines) if line.startswith("Via:"))
        del lines[index]
        port = int(lines[index].split(":")[2].split(";")[0])
        return next(n for n in self._homes.values() if n.port == port)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def alice(world: World) -> Node:
    return world.node("alice", 5061)


@pytest.fixture
def bob(world: World) -> Node:
    return world.node("bob", 5062, SipOptions(users={"alice": "secret"}))


def register(alice: Node, *headers: tuple[str, str], password: str = "secret") -> None:
    outgoing = OutgoingRequest(
        "REGISTER",
        "sip:127.0.0.1:5062",
        NameAddr("sip:alice@127.0.0.1"),
        NameAddr("sip:alice@127.0.0.1"),
        headers,
        credentials=Credentials("alice", password),
        contact_user=None if headers else "alice",
        call_id="registration",
        cseq=2 * len(alice.completed) + 1,
    )
    _, effects = alice.agent.send_request(outgoing)
    alice.perform(effects)
    alice.world.run(1)


def contacts(alice: Node) -> list[str]:
    response = alice.completed[-1].response
    assert response is not None
    assert response.status == 200
    return [contact.uri for contact in response.contacts]


# --- 2. registration ---


def test_2_1_successful_new_registration(world: World, alice: Node, bob: Node) -> None:
    register(alice)
    assert contacts(alice) == ["sip:alice@127.0.0.1:5061"]
    assert world.sent() == [
        "alice: REGISTER",
        "bob: 401 REGISTER",
        "alice: REGISTER",
        "bob: 200 REGISTER",
    ]


def test_2_2_update_of_contact_list(world: World, alice: Node, bob: Node) -> None:
    register(alice)
    register(alice, ("Contact", "<mailto:alice@example.org>"))
    response = alice.completed[-1].response
    # Phones are what can be called here: a contact of another scheme is refused.
    assert response is not None
    assert response.status == 416
    register(alice, ("Contact", "<sip:alice@192.0.2.9>"))
    assert len(contacts(alice)) == 2


def test_2_3_request_for_current_contact_list(
    world: World, alice: Node, bob: Node
) -> None:
    register(alice)
    register(alice, ("X-Only", "asking"))
    assert contacts(alice) == ["sip:alice@127.0.0.1:5061"]


def test_2_4_cancellation_of_registration(world: World, alice: Node, bob: Node) -> None:
    register(alice)
    register(alice, ("Contact", "*"), ("Expires", "0"))
    assert contacts(alice) == []
    assert bob.agent.bindings("alice", world.now_s) == []


def test_2_5_unsuccessful_registration(world: World, alice: Node, bob: Node) -> None:
    register(alice, password="guess")
    response = alice.completed[-1].response
    assert response is not None
    assert response.status == 403


# --- 3. sessions ---


def dial(
    alice: Node, *, through_proxy: bool, credentials: Credentials | None = None
) -> None:
    hop = Target("udp", "127.0.0.1", PROXY_PORT) if through_proxy else None
    outgoing = OutgoingInvite(
        "sip:bob@127.0.0.1:5062",
        NameAddr("sip:alice@127.0.0.1"),
        NameAddr("sip:bob@127.0.0.1"),
        OFFER,
        next_hop=hop,
        credentials=credentials,
    )
    session, effects = alice.agent.place_call(outgoing)
    alice._add(session)
    alice.perform(effects)
    alice.world.run(1)


def test_3_1_successful_session_establishment(
    world: World, alice: Node, bob: Node
) -> None:
    bob.on_invite = lambda s: [*s.ringing(180, None, ()), *s.answer(ANSWER, ())]
    dial(alice, through_proxy=False)
    bob.do(bob.call.hang_up(()))
    world.run(1)
    assert world.sent() == [
        "alice: INVITE",
        "bob: 100 INVITE",
        "bob: 180 INVITE",
        "bob: 200 INVITE",
        "alice: ACK",
        "bob: BYE",
        "alice: 200 BYE",
    ]


def test_3_2_session_establishment_through_a_proxy(
    world: World, alice: Node, bob: Node
) -> None:
    proxy = Proxy(world, alice, bob)
    dial(alice, through_proxy=True)
    bob.do(bob.call.hang_up(()))
    world.run(1)
    assert alice.latest() == SessionEnded(EndCause.REMOTE_BYE)
    assert bob.latest() == SessionEnded(EndCause.LOCAL_BYE)
    # The route set keeps the proxy in the path: nothing went past it.
    assert proxy.relayed == [
        "INVITE",
        "100 INVITE",
        "200 INVITE",
        "ACK",
        "BYE",
        "200 BYE",
    ]
    bye = next(x.message for x in world.log if x.summary == "BYE")
    assert bye.headers.all("Route") == [f"<sip:127.0.0.1:{PROXY_PORT};lr>"]


def test_3_3_session_with_authentication(world: World, alice: Node, bob: Node) -> None:
    door = DigestServer("pbx", {"alice": "secret"}.get, IdSource(3), is_proxy=True)

    def challenge_first(session: InviteSession) -> list[Effect]:
        if door.check(bob.invites[-1], world.now_s).problem is None:
            return session.answer(ANSWER, ())
        return session.reject(407, None, door.challenge(world.now_s))

    bob.on_invite = challenge_first
    dial(alice, through_proxy=False, credentials=Credentials("alice", "secret"))
    assert world.sent() == [
        "alice: INVITE",
        "bob: 100 INVITE",
        "bob: 407 INVITE",
        "alice: ACK",
        "alice: INVITE",
        "bob: 100 INVITE",
        "bob: 200 INVITE",
        "alice: ACK",
    ]
    ack = world.log[-1].message
    assert "Proxy-Authorization" in ack.headers
    first, second = (x.message for x in world.log if x.summary == "INVITE")
    assert first.call_id == second.call_id
    assert (first.cseq.number, second.cseq.number) == (1, 2)
    assert first.from_.tag == second.from_.tag


def test_3_7_session_with_reinvite(world: World, alice: Node, bob: Node) -> None:
    proxy = Proxy(world, alice, bob)
    dial(alice, through_proxy=True)
    bob.do(bob.call.offer(OFFER))
    world.run(1)
    alice.do(alice.call.answer_offer(ANSWER))
    world.run(1)
    assert proxy.relayed[4:] == ["INVITE", "100 INVITE", "200 INVITE", "ACK"]


def test_3_8_unsuccessful_no_answer(world: World, alice: Node, bob: Node) -> None:
    proxy = Proxy(world, alice, bob)
    bob.on_invite = lambda s: s.ringing(180, None, ())
    dial(alice, through_proxy=True)
    alice.do(alice.call.hang_up(()))
    world.run(1)
    assert alice.latest() == SessionEnded(EndCause.LOCAL_CANCEL, "487")
    assert bob.latest() == SessionEnded(EndCause.REMOTE_CANCEL)
    assert proxy.relayed[3:] == ["CANCEL", "200 CANCEL", "487 INVITE", "ACK"]


@pytest.mark.parametrize(
    ("section", "status"), [("3.9", 486), ("3.10", 480), ("3.11", 480)]
)
def test_3_9_to_3_11_unsuccessful_busy_or_unavailable(
    world: World, alice: Node, bob: Node, section: str, status: int
) -> None:
    bob.on_invite = lambda s: s.reject(status, None, ())
    dial(alice, through_proxy=False)
    rejected = alice.happened[0]
    assert isinstance(rejected, Rejected)
    assert rejected.status == status
    assert world.sent()[-1] == "alice: ACK"


def test_the_proxy_of_these_tests_relays_whole_messages(
    world: World, alice: Node, bob: Node
) -> None:
    Proxy(world, alice, bob)
    dial(alice, through_proxy=True)
    assert bob.invites[0].sdp == OFFER
    response = next(x.message for x in world.log if x.summary == "200 INVITE")
    assert isinstance(parse_message(response.to_bytes()), Response)
