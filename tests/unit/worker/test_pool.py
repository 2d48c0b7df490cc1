"""Splitting ports; the rest of the pool is tested with real processes."""

import pytest

from emulator.worker.host import split_ports


@pytest.mark.parametrize(
    ("low", "high", "parts", "expected"),
    [
        (10000, 20000, 1, [(10000, 20000)]),
        (10001, 10009, 2, [(10002, 10005), (10006, 10009)]),
        (10000, 10099, 3, [(10000, 10031), (10032, 10065), (10066, 10099)]),
    ],
)
def test_ports_are_split_into_whole_pairs(
    low: int, high: int, parts: int, expected: list[tuple[int, int]]
) -> None:
    assert split_ports(low, high, parts) == expected
