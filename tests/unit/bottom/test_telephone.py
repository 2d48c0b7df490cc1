from __future__ import annotations

import pytest

from emulator.config.telephone import canonical, is_e164, is_number, local_format

SPELLINGS = ["08010000001", "8010000001", "918010000001", "+918010000001"]


@pytest.mark.parametrize(
    "spelling", [*SPELLINGS, "+91 80-1000(0001)", "00918010000001"]
)
def test_every_spelling_of_a_number_is_the_same_number(spelling: str) -> None:
    assert canonical(spelling) == "+918010000001"
    assert local_format(spelling) == "08010000001"


@pytest.mark.parametrize("other", ["08010000002", "+18010000001", "118010000001"])
def test_another_number_is_another_number(other: str) -> None:
    assert canonical(other) != canonical("08010000001")


def test_a_foreign_number_stays_as_it_is() -> None:
    assert canonical("+15551234567") == "+15551234567"
    assert local_format("+15551234567") == "+15551234567"


@pytest.mark.parametrize(
    "text", ["", "echo", "+", "12", "080x", "0801000000100000000", "٠١٢٣"]
)
def test_what_is_no_number_is_told_apart(text: str) -> None:
    assert not is_number(text)


def test_only_a_plus_makes_e164() -> None:
    assert is_e164("+918010000001")
    assert not is_e164("918010000001")
