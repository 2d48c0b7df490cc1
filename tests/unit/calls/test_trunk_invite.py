"""The INVITE to a trunk, byte by byte from seeded identifiers, and its dialog."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.calls.dialing import Attempt, Identity, find_route
from emulator.config import Settings
from emulator.ids import IdSource
from emulator.sip.address import SourceAddress, Transport
from emulator.sip.agent import UserAgent
from emulator.sip.auth import Credentials
from emulator.sip.effects import Effect, SendMessage
from emulator.sip.message import Request, Response, parse_message
from emulator.sip.options import OwnNetworks, SipOptions
from tests.unit.calls.test_dialing import FakePhone

IDENTITY = Identity("09811111111", "08010000001", call_sid="c" * 32, leg_sid="d" * 32)
OFFER = "v=0\r\n"
INVITE = """\
INVITE sip:+918010000001@pbx.example:5070;transport=tcp SIP/2.0
Record-Route: <sip:127.0.0.1:5060;transport=tcp;lr>
Via: SIP/2.0/TCP 127.0.0.1:5060;rport;branch=z9hG4bK{branch}
Max-Forwards: 67
From: <sip:09811111111@exotel1.pstn.exotel.com>;tag=as{tag}
To: <sip:+918010000001@pbx.example:5070;transport=tcp>
Contact: <sip:09811111111@127.0.0.1:5060;transport=tcp>
Call-ID: {uuid}@pstn.in1.exotel.com
CSeq: 1 INVITE
User-Agent: exotel-emulator
Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, SUBSCRIBE, NOTIFY, INFO, PUBLISH, \
MESSAGE
Supported: replaces
P-Asserted-Identity: <sip:09811111111@exotel1.pstn.exotel.com>
P-Early-Media: supported
X-Exotel-CallSid: cccccccccccccccccccccccccccccccc
X-Exotel-LegSid: dddddddddddddddddddddddddddddddd
X-Exotel-TrunkSid: trmum1pbx
Content-Type: application/sdp
Content-Length: 5

v=0
"""


def attempt(account: dict[str, Any] | None = None, **trunk: Any) -> Attempt:
    given = {
        "name": "pbx",
        "sid": "trmum1pbx",
        "destinations": ["pbx.example:5070;transport=tcp"],
        **trunk,
    }
    settings = Settings.model_validate({"account": account or {}, "trunks": [given]})
    return find_route(settings, FakePhone(), "sip:trmum1pbx", IDENTITY).attempts[0]


def agent(ids: IdSource | None = None) -> UserAgent:
    ports: dict[Transport, int] = {"udp": 5060, "tcp": 5060, "tls": 5061}
    return UserAgent(SipOptions(), OwnNetworks(), ports, ids or IdSource(1))


def sent(effects: list[Effect]) -> list[Request | Response]:
    return [effect.message for effect in effects if isinstance(effect, SendMessage)]


def test_every_byte_of_the_invite() -> None:
    _, effects = agent().place_call(attempt().invite(OFFER, 30))
    (invite,) = sent(effects)
    # A twin of that agent has drawn as much; then in the order of a session.
    ids = IdSource(1)
    agent(ids)
    drawn = {"uuid": ids.uuid(), "tag": ids.hex(8), "branch": ids.hex(16)}
    expected = INVITE.format(**drawn).replace("\n", "\r\n")
    assert invite.to_bytes().decode() == expected


def test_each_account_region_has_its_edge() -> None:
    found = attempt({"region": "singapore", "sid": "acme1"})
    assert found.shape.call_id_host == "pstn.sgp1.exotel.com"
    assert found.from_.uri == "sip:09811111111@acme1.pstn.exotel.com"


@pytest.mark.parametrize("peer_writes", ["{}", "<sip:127.0.0.1:5060;lr=on>"])
def test_our_own_route_is_no_hop_of_ours_and_a_proxys_is(peer_writes: str) -> None:
    ours = agent()
    session, effects = ours.place_call(attempt().invite(OFFER, 30))
    (invite,) = sent(effects)
    assert isinstance(invite, Request)
    own = peer_writes.format(invite.headers.get("Record-Route"))
    echoed = [
        (name, invite.headers.get(name) or "")
        for name in ("Via", "From", "Call-ID", "CSeq")
    ]
    items = [
        *echoed,
        ("To", f"{invite.headers.get('To')};tag=peer"),
        ("Record-Route", f"<sip:10.0.0.9;transport=tcp;lr>, {own}"),
        ("Contact", "<sip:peer@10.0.0.10;transport=tcp>"),
    ]
    text = "\r\n".join(["SIP/2.0 200 OK", *(f"{n}: {v}" for n, v in items), "", ""])
    answer = parse_message(text.encode())
    source = SourceAddress("tcp", "10.0.0.9", 5060, 1)
    (ack,) = sent(ours.receive(answer, source, 0.0))
    assert isinstance(ack, Request)
    assert ack.headers.all("Route") == ["<sip:10.0.0.9;transport=tcp;lr>"]
    assert session.is_established


def test_who_answers_a_challenge() -> None:
    own = {"user_name": "pbx", "password": "secret"}
    other = {"user_name": "edge", "password": "hidden"}
    assert attempt().credentials is None
    assert attempt(credentials=[own]).credentials == Credentials("pbx", "secret")
    both = attempt(credentials=[own], destination_credentials=other)
    assert both.credentials == Credentials("edge", "hidden")
    assert "hidden" not in repr(both)


@pytest.mark.parametrize(
    ("destination", "user"),
    [("pbx.example", "+15550001"), ("192.0.2.7", "+918010000001")],
)
def test_an_alias_is_called_where_the_destination_is_a_name(
    destination: str, user: str
) -> None:
    found = attempt(destinations=[destination], external_alias="+15550001")
    assert found.uri == f"sip:{user}@{destination}"


@pytest.mark.parametrize(
    ("number", "user"),
    [
        ("sip:alice", "alice"),
        ("+911234567890", "+911234567890"),
        ("a b@c", "a%20b%40c"),
    ],
)
def test_the_caller_is_a_user_part(number: str, user: str) -> None:
    assert Identity(number, "08010000001", "c", "d").user == user
