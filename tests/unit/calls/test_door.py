from __future__ import annotations

from typing import Any

import pytest

from emulator.calls.door import Admitted, Knock, Refused, caller_identity, knock
from emulator.config import Settings

LOOPBACK = "127.0.0.1"


def settings(**sections: Any) -> Settings:
    return Settings.model_validate(sections)


def admitted(facts: Knock, **sections: Any) -> Admitted:
    answer = knock(settings(**sections), facts)
    assert isinstance(answer, Admitted), answer
    return answer


def refused(facts: Knock, **sections: Any) -> Refused:
    answer = knock(settings(**sections), facts)
    assert isinstance(answer, Refused), answer
    return answer


def test_an_exophone_is_found_and_the_spelling_noted() -> None:
    answer = admitted(Knock("08010000002", "sipp", LOOPBACK))
    assert answer.number.flow == "echo"
    assert answer.to == "08010000002"
    assert any("wants E.164, +918010000002" in note for note in answer.notes)


def test_e164_and_account_header_need_no_note() -> None:
    facts = Knock("+918010000002", "x", LOOPBACK, {"x-exotel-accountsid": "exotel1"})
    assert admitted(facts).notes == ()


@pytest.mark.parametrize(
    ("dialled", "status", "rule"),
    [
        ("0999", 404, "exophone"),
        ("+918010000009", 404, "exophone"),
        ("bob", 484, "number"),
    ],
)
def test_a_wrong_number_is_refused_with_the_numbers_we_have(
    dialled: str, status: int, rule: str
) -> None:
    answer = refused(Knock(dialled, "x", LOOPBACK))
    assert (answer.status, answer.rule) == (status, rule)
    assert dialled in answer.explanation


def test_another_account_is_refused_from_anywhere() -> None:
    facts = Knock("08010000001", "x", LOOPBACK, {"X-Exotel-AccountSid": "other"})
    answer = refused(facts)
    assert (answer.status, answer.rule) == (403, "account-header")
    assert "'other'" in answer.explanation and "account.sid" in answer.explanation


def test_a_missing_account_header_is_refused_when_the_setting_asks() -> None:
    answer = refused(
        Knock("08010000001", "x", LOOPBACK), sip={"require_account_header": True}
    )
    assert "sip.require_account_header" in answer.explanation


def test_a_stranger_needs_a_trunk_or_the_account_header() -> None:
    facts = Knock("08010000001", "x", "10.1.2.3")
    answer = refused(facts)
    assert (answer.status, answer.rule) == (403, "source")
    assert "10.1.2.3" in answer.explanation
    trunk = {"name": "local", "sid": "trmum1local", "whitelisted_ips": ["10.0.0.0/8"]}
    assert admitted(facts, trunks=[trunk]).number.flow == "voicebot"
    with_header = Knock(
        "08010000001", "x", "10.1.2.3", {"X-Exotel-AccountSid": "exotel1"}
    )
    assert admitted(with_header)


def test_custom_headers_reach_the_bot_without_their_prefix() -> None:
    facts = Knock(
        "08010000001",
        "x",
        LOOPBACK,
        {"x-uui": "7", "X-Custom-Header": "Sales", "X-Other": "no"},
    )
    assert admitted(facts).sip_parameters == {"UUI": "7", "Custom-Header": "Sales"}


def test_a_long_custom_header_is_dropped_with_a_note() -> None:
    facts = Knock("08010000001", "x", LOOPBACK, {"X-UUI": "é" * 23})
    answer = admitted(facts)
    assert answer.sip_parameters == {}
    assert any("46 bytes, at most 45" in note for note in answer.notes)


def test_custom_headers_stay_out_of_a_number_that_is_not_voip() -> None:
    numbers = [{"number": "08010000001", "flow": "voicebot", "voip": False}]
    answer = admitted(
        Knock("08010000001", "x", LOOPBACK, {"X-UUI": "7"}), numbers=numbers
    )
    assert answer.sip_parameters == {}
    assert any("no voip number" in note for note in answer.notes)


def test_a_declared_user_calls_from_the_users_number() -> None:
    users = settings().users
    assert caller_identity(users, "alice") == "09900000001"
    assert caller_identity(users, "sipp") == "sip:sipp"
