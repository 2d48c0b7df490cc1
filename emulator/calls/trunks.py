"""Which numbers are a trunk's."""

from __future__ import annotations

from emulator.config import TrunkSettings
from emulator.config.telephone import canonical


def owns_number(trunk: TrunkSettings, number: str) -> bool:
    """Tell whether a number, in any spelling, is mapped to a trunk with mode pstn."""
    wanted = canonical(number)
    return any(
        entry.mode == "pstn" and canonical(entry.number) == wanted
        for entry in trunk.numbers
    )
