"""The section ``faults``: rules made of the declared kinds, each in one place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Union

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    create_model,
)

from emulator.config.section import Section, TelephoneNumber
from emulator.faults import KINDS, FaultKind, FaultRule, Parameter
from emulator.faults.kinds import Value

# Each call looks at every rule.
MAX_RULES = 100


class FaultRuleSettings(BaseModel):
    """The calls that a fault is for; the fault's parameters stand beside them."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    number: TelephoneNumber | None = Field(
        None, description="Only calls on this ExoPhone, in any spelling."
    )
    caller: str | None = Field(
        None,
        pattern=r"^(\+?[0-9][0-9 ()-]*|\S+)$",
        description="Only calls with this other party, as start.from shows it.",
    )
    probability: float = Field(
        1.0, ge=0, le=1, description="Part of the matching calls that get the fault."
    )
    calls: int | None = Field(
        None, ge=1, description="At most so many calls, then the rule is spent."
    )

    def as_rule(self) -> FaultRule:
        """Return the rule, without the parameters that have their defaults."""
        conditions = set(FaultRuleSettings.model_fields)
        given: Mapping[str, Any] = self.model_dump(exclude_unset=True)
        parameters: dict[str, Value] = {
            name: value for name, value in given.items() if name not in conditions
        }
        kind = str(parameters.pop("kind"))
        return FaultRule(
            kind, parameters, self.number, self.caller, self.probability, self.calls
        )


def _type_of(parameter: Parameter) -> Any:
    if parameter.choices:
        return Literal[parameter.choices]
    # A whole number by default stays one: statuses, codes, counts, rates.
    kind = type(parameter.default)
    limits = Field(ge=parameter.minimum, le=parameter.maximum)
    return Annotated[kind, limits, BeforeValidator(_no_switch), _all_but(parameter)]


def _no_switch(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    return value


def _all_but(parameter: Parameter) -> AfterValidator:
    def check(value: Value) -> Value:
        if value in parameter.never:
            never = ", ".join(map(str, parameter.never))
            raise ValueError(f"must be none of {never}. {parameter.why}")
        return value

    return AfterValidator(check)


def _describe(parameter: Parameter) -> str:
    return f"{parameter.why} [{parameter.unit}]" if parameter.unit else parameter.why


def _rule_model(kind: FaultKind) -> type[FaultRuleSettings]:
    fields: dict[str, Any] = {
        "kind": (Literal[kind.name], Field(description=kind.does)),
        **{
            parameter.name: (
                _type_of(parameter),
                Field(parameter.default, description=_describe(parameter)),
            )
            for parameter in kind.parameters
        },
    }
    name = "".join(word.capitalize() for word in kind.name.split("_"))
    return create_model(
        f"{name}Fault",
        __base__=FaultRuleSettings,
        __doc__=f"{kind.does} Stands for: {kind.stands_for}",
        **fields,
    )


def _rule_models() -> Iterator[type[FaultRuleSettings]]:
    for kind in KINDS:
        yield _rule_model(kind)


AnyRule: Any = Annotated[Union[tuple(_rule_models())], Field(discriminator="kind")]  # noqa: UP007


class FaultsSettings(Section):
    """What shall go wrong on purpose: docs/faults.md."""

    seed: int = Field(
        0, ge=0, description="Of every choice: the same seed gives the same faults."
    )
    rules: tuple[AnyRule, ...] = Field(
        (), max_length=MAX_RULES, description="One fault each, and the calls it is for."
    )

    def as_rules(self) -> tuple[FaultRule, ...]:
        """Return the rules as the bottom layer has them."""
        return tuple(rule.as_rule() for rule in self.rules)
