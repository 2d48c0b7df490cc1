"""The rules in force, and which faults a call gets by them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from emulator.faults.kinds import Fault
from emulator.faults.rules import FaultRule
from emulator.ids import IdSource

_DICE_SIDES = 0x10000


@dataclass(frozen=True, slots=True)
class CallTraits:
    """What rules look at.

    Attributes:
        number: The ExoPhone of the call.
        caller: The other party: who called, or whom we call.
    """

    number: str
    caller: str


class FaultBook:
    """Rules that may be replaced while calls run; a call keeps what it was given.

    Every choice comes from the seed and the order of the calls: the same rules, seed
    and calls give the same faults.

    Args:
        canonical: Returns the form under which spellings of a number compare equal.
    """

    def __init__(self, canonical: Callable[[str], str]) -> None:
        self._canonical = canonical
        self.replace((), 0)

    def replace(self, rules: Sequence[FaultRule], seed: int) -> None:
        """Put other rules in force, for calls that begin from now on."""
        self.rules = tuple(rules)
        self.seed = seed
        self._dice = IdSource(seed)
        self._chosen = [0] * len(self.rules)

    @property
    def chosen(self) -> tuple[int, ...]:
        """How many calls got the fault of each rule."""
        return tuple(self._chosen)

    def choose(
        self, call: CallTraits, own: Sequence[FaultRule] = ()
    ) -> tuple[Fault, ...]:
        """Return the faults of a call that begins.

        Args:
            own: Rules that were given with the call itself.
        """
        hit = [rule for index, rule in enumerate(self.rules) if self._hits(index, call)]
        hit += [rule for rule in own if self._falls_on(rule, call)]
        return tuple(
            Fault(rule.kind, self._dice.uint16(), rule.all_parameters()) for rule in hit
        )

    def _hits(self, index: int, call: CallTraits) -> bool:
        rule = self.rules[index]
        if rule.calls is not None and self._chosen[index] >= rule.calls:
            return False
        if not self._falls_on(rule, call):
            return False
        self._chosen[index] += 1
        return True

    def _falls_on(self, rule: FaultRule, call: CallTraits) -> bool:
        return (
            self._is_same(rule.number, call.number)
            and self._is_same(rule.caller, call.caller)
            and self._dice.uint16() < rule.probability * _DICE_SIDES
        )

    def _is_same(self, wanted: str | None, found: str) -> bool:
        return wanted is None or self._canonical(wanted) == self._canonical(found)
