"""The closed list of timeline events: each kind is recorded somewhere."""

from __future__ import annotations

from pathlib import Path

from emulator.events import EVENT_KINDS

ROOT = Path(__file__).resolve().parent.parent / "emulator"


def test_every_declared_kind_is_recorded_somewhere() -> None:
    source = "\n".join(
        path.read_text() for path in ROOT.rglob("*.py") if path.name != "events.py"
    )
    unused = [kind for kind in EVENT_KINDS if f'"{kind}"' not in source]
    assert not unused


def test_every_kind_says_what_it_means() -> None:
    assert all(meaning.strip() for meaning in EVENT_KINDS.values())
