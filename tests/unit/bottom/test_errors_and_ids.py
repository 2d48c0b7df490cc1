from __future__ import annotations

from datetime import UTC, datetime

import pytest

from emulator.errors import ConfigError, ExitStatus, Problem, WorkerLost
from emulator.ids import IdSource, date_code


@pytest.mark.parametrize(
    ("day", "code"),
    [
        (datetime(2025, 8, 12, tzinfo=UTC), "198c"),
        (datetime(2025, 10, 26, tzinfo=UTC), "19aq"),
        (datetime(2024, 11, 21, tzinfo=UTC), "18bl"),
        (datetime(2025, 4, 7, tzinfo=UTC), "1947"),
        # The date is IST's: half past six in the evening UTC is the next day there.
        (datetime(2025, 6, 12, 18, 30, tzinfo=UTC), "196d"),
    ],
)
def test_the_date_code_is_the_one_seen_on_the_platform(
    day: datetime, code: str
) -> None:
    assert date_code(day) == code


def test_a_seed_makes_identifiers_reproducible() -> None:
    at = datetime(2026, 1, 5, tzinfo=UTC)
    first, again, other = IdSource(1), IdSource(1), IdSource(2)
    assert first.sid(at) == again.sid(at) != other.sid(at)
    assert len(first.sid(at)) == 32
    assert first.branch().startswith("z9hG4bK")


def test_a_configuration_error_lists_every_problem() -> None:
    error = ConfigError(
        "the flow cannot be used",
        (
            Problem("a.yaml", 3, 5, "applets.greet.nxt", "unknown field"),
            Problem("$X", 0, 0, "", "bad"),
        ),
    )
    assert str(error) == (
        "the flow cannot be used\n"
        "  a.yaml:3:5: applets.greet.nxt: unknown field\n"
        "  $X: bad"
    )
    assert error.exit_status is ExitStatus.USAGE


def test_a_lost_worker_says_which_and_why() -> None:
    assert str(WorkerLost(0, "killed by signal 9")) == (
        "media worker 0 lost: killed by signal 9"
    )
