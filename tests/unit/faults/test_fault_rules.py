"""Which calls get which faults: rules, seeds, settings and the page about them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emulator.config import Settings, load_settings
from emulator.config.telephone import canonical
from emulator.errors import ConfigError
from emulator.faults import KINDS, CallTraits, FaultBook, FaultRule
from emulator.faults.page import render_page

PAGE = Path(__file__).resolve().parents[3] / "docs" / "faults.md"
CALL = CallTraits("08010000002", "09900000001")


def book(*rules: FaultRule, seed: int = 0) -> FaultBook:
    made = FaultBook(canonical)
    made.replace(rules, seed)
    return made


def settings(text: str) -> Settings:
    return load_settings(file="e.yaml", text=text, env={}, options={}).settings


def test_every_kind_says_what_it_does_and_what_it_stands_for() -> None:
    assert all(kind.does.endswith(".") for kind in KINDS)
    assert all(kind.stands_for.endswith(".") for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_defaults_of_a_kind_are_legal(kind: Any) -> None:
    for parameter in kind.parameters:
        if parameter.choices:
            assert parameter.default in parameter.choices
        else:
            assert parameter.minimum <= parameter.default <= parameter.maximum


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == render_page(), (
        "python -m emulator.faults > docs/faults.md"
    )


def test_without_rules_nothing_goes_wrong() -> None:
    assert book().choose(CALL) == ()


def test_a_rule_fills_in_the_defaults_of_its_kind() -> None:
    (fault,) = book(FaultRule("drop", {"how": "rst"})).choose(CALL)
    assert fault.parameters == {"after_s": 5.0, "how": "rst", "code": 1012}


@pytest.mark.parametrize("code", [1004, 1005, 1006, 1015])
def test_a_close_code_that_no_frame_carries_is_refused(code: int) -> None:
    with pytest.raises(ConfigError, match="none of 1004, 1005, 1006, 1015"):
        settings(f"faults: {{rules: [{{kind: drop, how: close, code: {code}}}]}}")


@pytest.mark.parametrize("condition", ["number", "caller"])
def test_a_condition_that_no_call_can_meet_is_refused(condition: str) -> None:
    with pytest.raises(ConfigError, match=condition):
        settings(f"faults: {{rules: [{{kind: rtp, {condition}: abc def}}]}}")
    settings("faults: {rules: [{kind: rtp, caller: 'sip:alice'}]}")


def test_a_number_is_no_switch() -> None:
    with pytest.raises(ConfigError, match="must be a number, not true or false"):
        settings("faults: {rules: [{kind: latency, jitter_ms: true}]}")


@pytest.mark.parametrize("number", ["08010000002", "+918010000002", "8010000002"])
def test_a_rule_for_a_number_takes_any_spelling(number: str) -> None:
    assert book(FaultRule("drop", number=number)).choose(CALL)


@pytest.mark.parametrize(
    "condition", [{"number": "08010000001"}, {"caller": "sip:bob"}]
)
def test_a_rule_for_other_calls_does_not_match(condition: dict[str, str]) -> None:
    rule = FaultRule("drop", **condition)  # type: ignore[arg-type]
    made = book(rule)
    assert made.choose(CALL) == ()
    assert made.chosen == (0,)


def test_a_rule_is_spent_after_its_calls() -> None:
    made = book(FaultRule("drop", calls=2))
    assert [len(made.choose(CALL)) for _ in range(4)] == [1, 1, 0, 0]
    assert made.chosen == (2,)


def test_a_call_may_bring_a_fault_of_its_own() -> None:
    made = book(FaultRule("drop"))
    own = FaultRule("latency"), FaultRule("refuse", number="08010000001")
    assert [fault.kind for fault in made.choose(CALL, own)] == ["drop", "latency"]
    assert [fault.kind for fault in made.choose(CALL)] == ["drop"]


def test_the_same_seed_and_calls_give_the_same_faults() -> None:
    rules = FaultRule("drop", probability=0.5), FaultRule("latency", probability=0.5)

    def chosen(seed: int) -> list[Any]:
        made = book(*rules, seed=seed)
        return [made.choose(CALL) for _ in range(50)]

    assert chosen(1) == chosen(1)
    assert chosen(1) != chosen(2)
    hits = sum(bool(faults) for faults in chosen(3))
    assert 25 < hits < 48


def test_settings_give_the_rules() -> None:
    found = settings(
        "faults: {seed: 7, rules: [{kind: drop, after_s: 2, number: '08010000002'}]}"
    ).faults
    assert found.as_rules() == (
        FaultRule("drop", {"after_s": 2.0}, number="08010000002"),
    )
    assert found.seed == 7


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ("{kind: dorp}", "did you mean 'drop'?"),
        ("{kind: refuse, status: 999}", "must be at most 599, not 999"),
        ("{kind: drop, how: bang}", "'bang' is none of fin, rst, close"),
        ("{kind: drop, aftr_s: 1}", "did you mean 'after_s'?"),
        ("{kind: latency, delay_ms: .nan}", "delay_ms"),
        ("{probability: 1}", "kind"),
    ],
)
def test_a_rule_that_makes_no_sense_is_told_with_its_place(
    rule: str, complaint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(f"faults:\n  rules:\n    - {rule}\n")
    assert complaint in str(caught.value)
    assert "e.yaml:3" in str(caught.value)
