"""The rules, the ledger, and that each rule is one that the code can find broken."""

from __future__ import annotations

import re
from pathlib import Path

import emulator.stream
from emulator.stream.rules import MAX_EXAMPLE_CHARS, RULES, RuleLedger, format_example

ROOM = Path(emulator.stream.__file__).parent
SOURCE = "\n".join(
    path.read_text() for path in ROOM.glob("*.py") if path.name != "rules.py"
)


def test_every_rule_is_used_and_every_used_rule_exists() -> None:
    families = {rule.split(".")[0] for rule in RULES}
    named = set(re.findall(rf'"((?:{"|".join(families)})\.[a-z0-9_]+)"', SOURCE))
    assert named == set(RULES)


def test_every_rule_says_what_was_done_and_where_it_is_written() -> None:
    for rule in RULES.values():
        assert rule.text
        assert re.fullmatch(r"streaming spec §\d+(\.\d+)?", rule.cites)


def test_the_first_break_is_told_and_all_are_counted() -> None:
    ledger = RuleLedger()
    assert ledger.record("media.small", 320) == {
        "rule": "media.small",
        "text": RULES["media.small"].text,
        "cites": "streaming spec §2.5",
        "example": "320 bytes",
    }
    assert ledger.record("media.small", 160) is None
    assert ledger.counts() == {"media.small": 2}


def test_examples_are_cut_to_what_a_reader_wants() -> None:
    assert format_example("short") == "short"
    assert format_example(b"\xff\xfe") == "\ufffd\ufffd"
    long = format_example(b"x" * 1_000_000)
    assert long == "x" * MAX_EXAMPLE_CHARS + "… (1000000 bytes)"
    assert format_example("é" * 300).endswith("… (300 characters)")
