"""``/emulator/v1/faults``: what shall go wrong on purpose, while the emulator runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastapi import APIRouter
from fastapi.params import Depends
from pydantic import Field

from emulator.api.schemas import Body
from emulator.config import FaultsSettings
from emulator.faults import KINDS, FaultBook, FaultKind, FaultRule, find_kind


class Rule(Body):
    """A rule that is in force."""

    kind: str
    stands_for: str = Field(description="The failure of the real world behind it.")
    parameters: dict[str, str | int | float] = Field(description="All, with defaults.")
    conditions: dict[str, str | int | float] = Field(description="Those that are set.")
    chosen: int = Field(description="How many calls got it so far.")


class ParameterBody(Body):
    """A parameter of a kind."""

    name: str
    default: str | int | float
    unit: str
    legal: list[str | float] = Field(description="The words, or minimum and maximum.")
    why: str


class Kind(Body):
    """A fault that can be asked for."""

    kind: str
    layer: str
    does: str
    stands_for: str
    parameters: list[ParameterBody]


class Faults(Body):
    """The rules in force, and every kind that there is."""

    seed: int
    rules: list[Rule]
    kinds: list[Kind]


def add_faults(router: APIRouter, book: FaultBook, guard: Sequence[Depends]) -> None:
    """Add the routes."""

    @router.get("/faults", dependencies=guard)
    async def faults() -> Faults:
        """Show the rules in force, how many calls got each, and every kind."""
        return _body(book)

    @router.put("/faults", dependencies=guard)
    async def replace(wanted: FaultsSettings) -> Faults:
        """Put these rules in force, for calls that begin from now on."""
        book.replace(wanted.as_rules(), wanted.seed)
        return _body(book)

    @router.delete("/faults", status_code=204, dependencies=guard)
    async def clear() -> None:
        """Let nothing go wrong any more; running calls keep their faults."""
        book.replace((), 0)


def _body(book: FaultBook) -> Faults:
    return Faults(
        seed=book.seed,
        rules=[
            _rule(rule, chosen)
            for rule, chosen in zip(book.rules, book.chosen, strict=True)
        ],
        kinds=[_kind(kind) for kind in KINDS],
    )


def _rule(rule: FaultRule, chosen: int) -> Rule:
    conditions: Mapping[str, str | float | None] = {
        "number": rule.number,
        "caller": rule.caller,
        "probability": rule.probability,
        "calls": rule.calls,
    }
    return Rule(
        kind=rule.kind,
        stands_for=find_kind(rule.kind).stands_for,
        parameters=rule.all_parameters(),
        conditions={k: v for k, v in conditions.items() if v is not None},
        chosen=chosen,
    )


def _kind(kind: FaultKind) -> Kind:
    return Kind(
        kind=kind.name,
        layer=kind.layer.value,
        does=kind.does,
        stands_for=kind.stands_for,
        parameters=[
            ParameterBody(
                name=parameter.name,
                default=parameter.default,
                unit=parameter.unit,
                legal=list(parameter.choices or (parameter.minimum, parameter.maximum)),
                why=parameter.why,
            )
            for parameter in kind.parameters
        ],
    )
