from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from emulator.calls.causes import (
    Cause,
    DialResult,
    cause_of_status,
    may_try_next,
    result_of_status,
)
from emulator.calls.dialing import (
    Identity,
    NotDialled,
    Route,
    find_route,
    refer_target,
)
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


SUBSCRIBER = {"number": "09910000001"}


def test_a_subscriber_is_called_over_the_loopback() -> None:
    (attempt,) = route("+919910000001", subscribers=[SUBSCRIBER]).attempts
    assert attempt.next_hop == Target("udp", "127.0.0.1", 5060)
    assert attempt.subscriber and attempt.subscriber.number == "09910000001"


def test_a_number_of_a_trunk_is_called_over_it() -> None:
    trunk = {**TRUNK, "numbers": [{"number": "08044440001", "mode": "pstn"}]}
    found = route("08044440001", trunks=[trunk])
    assert found.callee == "08044440001"
    assert [attempt.uri for attempt in found.attempts] == [
        "sip:+918044440001@pbx.example:5070;transport=tcp",
        "sip:+918044440001@192.0.2.7",
    ]


def test_the_phones_of_a_user_ring_at_once_and_destinations_in_turn() -> None:
    assert [len(attempts) for attempts in route("user:alice").rounds()] == [1]
    assert route("user:alice").at_once
    assert [len(attempts) for attempts in route("sip:pbx").rounds()] == [1, 1]


class StrayPhone(FakePhone):
    """Alice has registered somebody else's address beside her own."""

    def bindings(self, user: str) -> list[Binding]:
        stray = parse_sip_uri("sip:x@192.0.2.99:9999")
        target = Target("udp", "192.0.2.99", 9999)
        binding = Binding(stray, target, "127.0.0.1", 1.0, "id", 1, 100.0, True)
        return [*super().bindings(user), binding]


def test_a_contact_that_is_somebody_elses_does_not_ring() -> None:
    found = find_route(Settings(), StrayPhone(), "user:alice", IDENTITY)
    assert [attempt.host for attempt in found.attempts] == ["198.51.100.1"]
    (note,) = found.notes
    assert "192.0.2.99" in note and "sip.nat" in note
    obeying = Settings.model_validate({"sip": {"nat": "off"}})
    obeyed = find_route(obeying, StrayPhone(), "user:alice", IDENTITY)
    assert len(obeyed.attempts) == 2


def test_hops_only_get_fewer() -> None:
    (attempt,) = route("user:alice").with_hops(3).attempts
    assert attempt.max_forwards == 3
    assert route("sip:pbx").with_hops(69).attempts[0].max_forwards == 67


@pytest.mark.parametrize(
    ("refer_to", "target"),
    [
        ("sip:09910000001@evil.example;transport=tcp", "09910000001"),
        ("sip:alice@127.0.0.1", "user:alice"),
        ("sip:trmum1pbx@127.0.0.1", "sip:trmum1pbx"),
        ("sip:mallory@evil.example", "sip:mallory"),
    ],
)
def test_refer_to_names_whom_the_settings_declare(refer_to: str, target: str) -> None:
    settings = Settings.model_validate({"trunks": [TRUNK]})
    assert refer_target(settings, refer_to) == target


def test_refer_to_without_a_sip_uri_names_nobody() -> None:
    with pytest.raises(NotDialled, match="no sip: URI"):
        refer_target(Settings(), "tel:+15551234567")


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (404, Cause.UNALLOCATED_NUMBER),
        (486, Cause.USER_BUSY),
        (603, Cause.USER_BUSY),
        (699, Cause.USER_BUSY),
        (480, Cause.NO_USER_RESPONSE),
        (503, Cause.NORMAL_TEMPORARY_FAILURE),
        (302, Cause.INTERWORKING),
    ],
)
def test_final_responses_stand_for_causes(status: int, cause: Cause) -> None:
    assert cause_of_status(status) is cause


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"busy": True, "no_answer": True}, "busy and no_answer"),
        ({"plays": "nowhere.wav"}, "no file nowhere.wav"),
        ({"presses": "12x"}, "presses"),
        ({"answers_after_s": -1}, "answers_after_s"),
    ],
)
def test_a_subscriber_does_one_thing(given: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        Settings.model_validate({"subscribers": [{**SUBSCRIBER, **given}]})
