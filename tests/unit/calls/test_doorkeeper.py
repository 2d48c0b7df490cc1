"""What the door is told of an INVITE."""

from __future__ import annotations

from typing import cast

import pytest

from emulator.calls.door import Refused
from emulator.calls.doorkeeper import Doorkeeper
from emulator.clock import SystemClock
from emulator.config import Settings
from emulator.ids import IdSource
from emulator.sip.address import SourceAddress
from emulator.sip.headers import Headers
from emulator.sip.message import Request
from emulator.sip.session import CallSession, IncomingInvite

OURS = ("X-Exotel-AccountSid", "exotel1")


def invite(*headers: tuple[str, str]) -> IncomingInvite:
    items = [
        ("Via", "SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bK1"),
        ("From", "<sip:x@127.0.0.1>;tag=1"),
        ("To", "<sip:08010000001@127.0.0.1>"),
        ("Call-ID", "c"),
        ("CSeq", "1 INVITE"),
        *headers,
    ]
    request = Request("INVITE", "sip:08010000001@127.0.0.1", Headers(items))
    source = SourceAddress("udp", "127.0.0.1", 5062)
    return IncomingInvite(request, source, cast(CallSession, None), None)


@pytest.fixture
def doorkeeper() -> Doorkeeper:
    settings = Settings.model_validate({})
    return Doorkeeper(settings, SystemClock(), IdSource(), "realm", lambda ip: None)


@pytest.mark.parametrize("name", ["X-Exotel-AccountSid", "x-exotel-accountsid"])
def test_a_second_account_is_refused_behind_the_right_one(
    doorkeeper: Doorkeeper, name: str
) -> None:
    facts = doorkeeper.facts(invite(OURS, (name, "other")))
    answer = doorkeeper.admit(facts, active=0)
    assert isinstance(answer, Refused)
    assert (answer.status, answer.rule) == (403, "account-header")
    assert "'exotel1, other'" in answer.explanation


def test_the_same_account_twice_is_one(doorkeeper: Doorkeeper) -> None:
    facts = doorkeeper.facts(invite(OURS, OURS))
    assert not isinstance(doorkeeper.admit(facts, active=0), Refused)


def test_wrong_credentials_are_refused_with_the_name_that_was_tried(
    doorkeeper: Doorkeeper,
) -> None:
    fields = 'username="al", realm="realm", nonce="n", uri="sip:x", response="0"'
    facts = doorkeeper.facts(invite(("Authorization", f"Digest {fields}")))
    answer = doorkeeper.admit(facts, active=0)
    assert isinstance(answer, Refused)
    assert answer.rule == "digest"
    assert "'al'" in answer.explanation
