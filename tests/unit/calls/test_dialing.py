from __future__ import annotations

from typing import Any

import pytest

from emulator.calls.causes import DialResult, may_try_next, result_of_status
from emulator.calls.dialing import Identity, NotDialled, Route, find_route
from emulator.config import Settings
from emulator.sip.address import Target
from emulator.sip.registrar import Binding
from emulator.sip.session import CallSession, OutgoingInvite
from emulator.sip.uri import parse_sip_uri

IDENTITY = Identity("09811111111", "08010000001", call_sid="c" * 32, leg_sid="l" * 32)
TRUNK = {
    "name": "pbx",
    "sid": "trmum1pbx",
    "destinations": ["pbx.example:5070;transport=tcp", "192.0.2.7"],
}


class FakePhone:
    """Alice has a phone; nobody else has."""

    def place_call(self, outgoing: OutgoingInvite) -> CallSession:
        raise AssertionError("finding a route rings nobody")

    def bindings(self, user: str) -> list[Binding]:
        if user != "alice":
            return []
        contact = parse_sip_uri("sip:alice@192.0.2.5:5062")
        target = Target("udp", "198.51.100.1", 40000)
        return [Binding(contact, target, "127.0.0.1", 1.0, "id", 1, 100.0)]

    def advertised_ip_towards(self, host: str) -> str:
        return "127.0.0.1"

    @property
    def loopback(self) -> Target:
        return Target("udp", "127.0.0.1", 5060)


def route(target: str, **sections: Any) -> Route:
    settings = Settings.model_validate({"trunks": [TRUNK], **sections})
    return find_route(settings, FakePhone(), target, IDENTITY)


@pytest.mark.parametrize("target", ["user:alice", "09900000001", "+919900000001"])
def test_a_user_is_rung_where_the_phone_is(target: str) -> None:
    (attempt,) = route(target).attempts
    assert attempt.uri == "sip:alice@192.0.2.5:5062"
    assert attempt.next_hop == Target("udp", "198.51.100.1", 40000)
    assert attempt.from_.uri == "sip:09811111111@exotel1.pstn.exotel.com"


def test_a_trunk_is_called_at_its_destinations_in_order() -> None:
    first, second = route("sip:trmum1pbx").attempts
    assert first.uri == "sip:+918010000001@pbx.example:5070;transport=tcp"
    assert second.uri == "sip:+918010000001@192.0.2.7"
    headers = dict(first.headers)
    assert headers["X-Exotel-CallSid"] == IDENTITY.call_sid
    assert headers["X-Exotel-LegSid"] == IDENTITY.leg_sid
    assert headers["X-Exotel-TrunkSid"] == "trmum1pbx"
    assert headers["P-Asserted-Identity"] == f"<{first.from_.uri}>"
    assert first.max_forwards == 67


def test_a_trunk_called_by_name_gets_a_note_with_its_sid() -> None:
    assert any("sip:trmum1pbx" in note for note in route("sip:pbx").notes)
    assert route("sip:trmum1pbx").notes == ()


def test_a_trunk_in_singapore_gets_a_note() -> None:
    found = route("sip:trmum1pbx", account={"region": "singapore"})
    assert any("account.region" in note for note in found.notes)


@pytest.mark.parametrize(
    ("target", "word"),
    [
        ("user:bob", "not registered"),
        ("user:mallory", "users[]"),
        ("sip:evil@192.0.2.66", "trunks[]"),
        ("08010000001", "nobody's number"),
        ("https://example.com", "no user:"),
        ("", "no user:"),
    ],
)
def test_nobody_else_is_rung(target: str, word: str) -> None:
    with pytest.raises(NotDialled) as caught:
        route(target)
    assert word in str(caught.value)


def test_a_trunk_without_destinations_is_not_dialled() -> None:
    with pytest.raises(NotDialled, match="destinations"):
        route("sip:pbx", trunks=[{**TRUNK, "destinations": []}])


@pytest.mark.parametrize(
    ("status", "result", "next_one"),
    [
        (404, DialResult.FAILED, False),
        (408, DialResult.NO_ANSWER, False),
        (480, DialResult.NO_ANSWER, False),
        (486, DialResult.BUSY, False),
        (487, DialResult.NO_ANSWER, False),
        (488, DialResult.FAILED, False),
        (503, DialResult.FAILED, True),
        (600, DialResult.BUSY, False),
        (603, DialResult.BUSY, False),
        (302, DialResult.FAILED, False),
    ],
)
def test_final_responses_have_the_platforms_words(
    status: int, result: DialResult, next_one: bool
) -> None:
    assert result_of_status(status) is result
    assert may_try_next(status) is next_one
