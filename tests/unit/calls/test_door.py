from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from emulator.calls.door import (
    Admitted,
    Knock,
    Refused,
    Terminated,
    caller_identity,
    knock,
)
from emulator.calls.rates import CallRate
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


ACCOUNT = {"x-exotel-accountsid": "exotel1"}
DOMAIN = "exotel1.pstn.exotel.com"


def test_a_call_as_the_manual_wants_it_needs_no_note() -> None:
    facts = Knock("+918010000002", "x", LOOPBACK, ACCOUNT, from_host=DOMAIN)
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


STRANGER = "10.1.2.3"
LOCAL = {"name": "local", "sid": "trmum1local", "whitelisted_ips": ["10.0.0.0/8"]}


def test_a_stranger_is_asked_for_credentials() -> None:
    answer = refused(Knock("08010000001", "x", STRANGER))
    assert (answer.status, answer.rule, answer.challenge) == (401, "source", True)
    assert STRANGER in answer.explanation
    assert "trunks[].whitelisted_ips" in answer.explanation


def test_a_whitelisted_trunk_may_call() -> None:
    answer = admitted(Knock("08010000001", "x", STRANGER), trunks=[LOCAL])
    assert answer.origin.trunk and answer.origin.trunk.name == "local"


def test_the_account_header_lets_a_stranger_in_with_a_note() -> None:
    answer = admitted(Knock("08010000001", "x", STRANGER, ACCOUNT))
    assert any("whitelisted_ips" in note for note in answer.notes)


GUARDED = {**LOCAL, "credentials": [{"user_name": "pbx", "password": "secret"}]}
ELSEWHERE = "192.0.2.7"


@pytest.mark.parametrize("trunk", [LOCAL, GUARDED])
def test_the_account_header_opens_no_door_that_a_whitelist_closes(
    trunk: dict[str, Any],
) -> None:
    facts = Knock("08010000001", "x", ELSEWHERE, ACCOUNT)
    answer = refused(facts, trunks=[trunk])
    assert (answer.status, answer.rule, answer.challenge) == (403, "source", False)
    assert ELSEWHERE in answer.explanation
    assert "trunks[].whitelisted_ips" in answer.explanation
    assert "sip.account_header_admits" in answer.explanation


def test_the_account_header_spares_nobody_a_trunks_credentials() -> None:
    trunk = {**GUARDED, "whitelisted_ips": []}
    facts = Knock("08010000001", "x", ELSEWHERE, ACCOUNT)
    assert refused(facts, trunks=[trunk]).challenge
    verified = replace(facts, digest="verified", digest_user="pbx")
    assert admitted(verified, trunks=[trunk]).origin.trunk


def test_this_machine_needs_no_place_on_a_whitelist() -> None:
    assert admitted(Knock("08010000001", "x", LOOPBACK, ACCOUNT), trunks=[LOCAL])


def test_the_setting_decides_what_the_account_header_opens() -> None:
    facts = Knock("08010000001", "x", ELSEWHERE, ACCOUNT)
    always, never = ({"account_header_admits": how} for how in ("always", "never"))
    assert admitted(facts, trunks=[GUARDED], sip=always).notes
    assert refused(facts, sip=never).status == 403


def test_a_registered_phone_may_call() -> None:
    answer = admitted(Knock("08010000001", "alice", STRANGER, registered_user="alice"))
    assert answer.origin.user and answer.origin.user.name == "alice"
    assert answer.from_ == "09900000001"


def test_a_trunk_with_credentials_is_challenged_whatever_its_address() -> None:
    trunk = {**LOCAL, "credentials": [{"user_name": "pbx", "password": "secret"}]}
    facts = Knock("08010000001", "x", STRANGER)
    assert refused(facts, trunks=[trunk]).challenge
    verified = replace(facts, digest="verified", digest_user="pbx")
    answer = admitted(verified, trunks=[trunk])
    assert answer.origin.trunk and answer.origin.trunk.name == "local"


def test_a_trunk_with_a_whitelist_and_credentials_wants_both() -> None:
    trunk = {**LOCAL, "credentials": [{"user_name": "pbx", "password": "secret"}]}
    facts = Knock("08010000001", "x", ELSEWHERE, digest="verified", digest_user="pbx")
    answer = refused(facts, trunks=[trunk])
    assert (answer.status, answer.rule) == (403, "source")
    assert "sip.credentials_replace_whitelist" in answer.explanation
    ease = admitted(facts, trunks=[trunk], sip={"credentials_replace_whitelist": True})
    here = admitted(replace(facts, source_ip=LOOPBACK), trunks=[trunk])
    for taken in (ease, here):
        assert any("whitelist" in note for note in taken.notes)


def test_wrong_credentials_are_403_with_the_platforms_error_code() -> None:
    facts = Knock("08010000001", "x", LOOPBACK, digest="wrong", digest_user="al")
    answer = refused(facts)
    assert "'al'" in answer.explanation
    assert (answer.status, answer.rule) == (403, "digest")
    assert answer.headers == (("X-Exotel-ErrorCode", "4001"),)


def test_the_from_domain_is_noted_or_required() -> None:
    facts = Knock("08010000001", "x", LOOPBACK, from_host="pbx.example")
    assert any(DOMAIN in note for note in admitted(facts).notes)
    answer = refused(facts, sip={"require_account_domain": True})
    assert (answer.status, answer.rule) == (403, "from-domain")
    assert "sip.require_account_domain" in answer.explanation


def test_udp_is_refused_when_transports_are_strict() -> None:
    strict = {"strict_transport": True}
    answer = refused(Knock("08010000001", "x", LOOPBACK), sip=strict)
    assert (answer.status, answer.rule) == (403, "transport")
    assert admitted(Knock("08010000001", "x", LOOPBACK, transport="tcp"), sip=strict)


def test_short_spellings_are_484_when_e164_is_required() -> None:
    answer = refused(Knock("08010000001", "x", LOOPBACK), sip={"require_e164": True})
    assert (answer.status, answer.rule) == (484, "e164")
    assert "+918010000001" in answer.explanation


@pytest.mark.parametrize(
    ("numbers", "reached"),
    [
        ([], True),
        ([{"number": "+918010000001", "mode": "flow"}], True),
        ([{"number": "08010000001", "mode": "pstn"}], False),
        ([{"number": "08010000002", "mode": "flow"}], False),
    ],
)
def test_a_trunk_reaches_the_flows_of_its_numbers(
    numbers: list[dict[str, str]], reached: bool
) -> None:
    trunk = {**LOCAL, "numbers": numbers}
    answer = knock(settings(trunks=[trunk]), Knock("08010000001", "x", STRANGER))
    assert isinstance(answer, Admitted) is reached
    if isinstance(answer, Refused):
        assert (answer.status, answer.rule) == (404, "mapping")


def test_a_trunk_in_singapore_gets_a_note() -> None:
    facts = Knock("08010000001", "x", STRANGER)
    answer = admitted(facts, trunks=[LOCAL], account={"region": "singapore"})
    assert any("account.region" in note for note in answer.notes)


def test_headers_of_the_platform_are_ignored_with_a_note() -> None:
    headers = {"X-Exotel-CallSid": "1", "X-UUI": "7"}
    answer = admitted(Knock("08010000001", "x", LOOPBACK, headers))
    assert answer.sip_parameters == {"UUI": "7"}
    assert any("X-Exotel-CallSid ignored" in note for note in answer.notes)


def test_a_reserved_header_cannot_be_surfaced() -> None:
    with pytest.raises(ValidationError, match="reserved for the platform"):
        settings(sip={"custom_headers": ["X-Exotel-LegSid"]})


def test_a_trunk_has_its_share_of_calls_in_every_minute() -> None:
    rate = CallRate()
    assert [rate.admit("t", 2, now_s) for now_s in (0, 1, 2, 59, 61, 62)] == [
        True, True, False, False, True, True,
    ]  # fmt: skip
    assert rate.retry_after_s("t", 62) == 59
    assert rate.admit("other", 2, 62)


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


PSTN = {
    **LOCAL,
    "numbers": [
        {"number": "08010000009", "mode": "pstn"},
        {"number": "08010000001", "mode": "flow"},
    ],
}


def test_a_trunks_own_number_calls_people() -> None:
    facts = Knock("9988776655", "+918010000009", STRANGER)
    answer = knock(settings(trunks=[PSTN]), facts)
    assert isinstance(answer, Terminated)
    assert (answer.from_, answer.to) == ("08010000009", "09988776655")


def test_another_caller_id_calls_nobody() -> None:
    answer = refused(Knock("09988776655", "09811111111", STRANGER), trunks=[PSTN])
    assert (answer.status, answer.rule) == (403, "cli")
    assert "08010000009" in answer.explanation


def test_an_exophone_is_no_person() -> None:
    facts = Knock("08010000001", "08010000009", STRANGER)
    assert admitted(facts, trunks=[PSTN]).number.flow == "voicebot"
    other = refused(Knock("08010000002", "08010000009", STRANGER), trunks=[PSTN])
    assert (other.status, other.rule) == (404, "mapping")


def test_a_trunk_without_such_a_number_calls_no_people() -> None:
    answer = refused(Knock("09988776655", "x", STRANGER), trunks=[LOCAL])
    assert (answer.status, answer.rule) == (404, "exophone")
