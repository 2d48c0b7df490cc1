"""``docs/fidelity.md``, made of the declarations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from emulator.fidelity import flows, telephone, trunks, wire
from emulator.fidelity.conflicts import CONFLICTS, Conflict
from emulator.fidelity.row import Row

TABLES: Mapping[str, Sequence[Row]] = {
    "The stream to the bot": tuple(wire.rows()),
    "Flows and webhooks": flows.ROWS,
    "Numbers, SIP, audio and recordings": telephone.ROWS,
    "Calls to trunks": trunks.ROWS,
}

_HEAD = """\
# Fidelity

What is imitated, and how well that is known. *verified*: a capture of real traffic
agrees. *documented*: a manual says so. *assumed*: nothing does, and we chose. *not
imitated*: the platform does it, the emulator does not. A setting in the table changes
the behaviour; `profile: documented` sets those that follow the manuals to the letter.

This page is made of the declarations in `emulator/fidelity/` and
`emulator/stream_options.py` (`python -m emulator.fidelity`).
"""

_CONFLICTS = """\
## Where the references disagree

| # | Question | One side | The other | Setting | Default | `documented` |
|---|---|---|---|---|---|---|"""


def render_page() -> str:
    """Return the page."""
    return "\n".join([_HEAD, *_tables(), _CONFLICTS, *map(_conflict, CONFLICTS), ""])


def _tables() -> Iterator[str]:
    for title, rows in TABLES.items():
        yield f"## {title}\n"
        yield "| Behaviour | Evidence | Source | Setting | Known to differ | Where |"
        yield "|---|---|---|---|---|---|"
        yield from map(_line, rows)
        yield ""


def _line(row: Row) -> str:
    knob = f"`{row.knob}`" if row.knob else ""
    cells = (
        row.behaviour, row.basis, row.cites, knob, row.differs, f"`{row.where}`"
    )  # fmt: skip
    return _table_row(cells)


def _conflict(row: Conflict) -> str:
    head = (str(row.number), row.topic, row.one, row.other)
    if not row.knob:
        return _table_row((*head, row.settled, "", ""))
    documented = row.default if row.documented is None else row.documented
    return _table_row((*head, f"`{row.knob}`", _value(row.default), _value(documented)))


def _value(value: object) -> str:
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _table_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
