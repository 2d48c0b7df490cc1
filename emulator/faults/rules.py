"""A rule: one fault, and the calls that it is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from emulator.faults.kinds import Value, find_kind


@dataclass(frozen=True, slots=True)
class FaultRule:
    """Calls that match get the fault; unset conditions match every call.

    Attributes:
        parameters: Of the fault, as far as they differ from its defaults.
        number: The ExoPhone, in any spelling.
        caller: The other party, as ``start.from`` shows it, or in another spelling.
        probability: Part of the matching calls that get the fault, from 0 to 1.
        calls: How many calls get it at most, then the rule is spent; None: no limit.
    """

    kind: str
    parameters: Mapping[str, Value] = field(default_factory=dict)
    number: str | None = None
    caller: str | None = None
    probability: float = 1.0
    calls: int | None = None

    def all_parameters(self) -> dict[str, Value]:
        """Return every parameter of the fault, defaults included."""
        defaults = {p.name: p.default for p in find_kind(self.kind).parameters}
        return {**defaults, **self.parameters}
