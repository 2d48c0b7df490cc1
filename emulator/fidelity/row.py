"""One imitated behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Basis = Literal["verified", "documented", "assumed", "not imitated"]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the fidelity table.

    Attributes:
        basis: The evidence; ``not imitated``: the platform does it, we do not.
        cites: Where the behaviour is described; ``rest spec`` is the reference of REST,
            SIP and legs.
        where: The module that does it, below ``emulator/``.
        knob: Dotted name of the setting that changes it; empty for none.
        differs: What is known to differ from the platform.
    """

    behaviour: str
    basis: Basis
    cites: str
    where: str
    knob: str = ""
    differs: str = ""
