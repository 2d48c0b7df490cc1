"""The shape that every applet has."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, ClassVar, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict

from emulator.flow.context import CallState
from emulator.flow.ports import Capability, Verb
from emulator.flow.urls import StreamUrlRules

R = TypeVar("R")


class WithoutCaller(Enum):
    """What an applet does that comes up after the caller has gone (spec §4.4)."""

    PASS_OVER = auto()
    RUN = auto()
    RUN_LAST = auto()


@dataclass(frozen=True, slots=True)
class Exit:
    """A way out of an applet.

    Attributes:
        name: As ``Outcome.exit`` names it.
        target: The node that it leads to; None when it is left empty.
        path: Where it stands in the applet's YAML.
    """

    name: str
    target: str | None
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of an applet.

    Attributes:
        exit: The exit taken; None: the flow ends here.
        transfer_to: The flow that takes over instead.
    """

    exit: str | None
    why: str
    transfer_to: str | None = None


@dataclass(frozen=True, slots=True)
class Need:
    """Something that an applet can only do with a capability of the calls room."""

    capability: Capability
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong or risky inside one applet, at ``path`` of its YAML."""

    message: str
    path: tuple[str, ...] = ()
    is_error: bool = False


AppletRun: TypeAlias = Generator[Verb[Any], Any, Outcome]


def carry_out(verb: Verb[R]) -> Generator[Verb[Any], Any, R]:
    """Yield ``verb`` and return its result: ``played = yield from carry_out(…)``."""
    result: R = yield verb
    return result


class Applet(BaseModel):
    """A node of a flow.

    Subclasses add ``type``, their fields and, when they have others than ``next``,
    the names of the fields that are exits.

    Attributes:
        EXITS: The first is the one taken when an applet is passed over.
        WITHOUT_CALLER: What to do once the caller has gone.
        EMPTY_EXIT_STAYS: An empty exit leaves the call open (streaming spec §4.0).
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, defer_build=True
    )

    EXITS: ClassVar[tuple[str, ...]] = ("next",)
    WITHOUT_CALLER: ClassVar[WithoutCaller] = WithoutCaller.PASS_OVER
    EMPTY_EXIT_STAYS: ClassVar[bool] = False

    type: str

    @abstractmethod
    def run(self, call: CallState) -> AppletRun:
        """Do the applet's work: yield verbs, return the exit taken."""

    def exits(self) -> Iterator[Exit]:
        """Yield every exit, empty ones too."""
        for name in self.EXITS:
            yield Exit(name, getattr(self, name), (name,))

    def target(self, exit_: str) -> str | None:
        """Return the node behind an exit."""
        return next(way.target for way in self.exits() if way.name == exit_)

    def pass_over(self, call: CallState) -> str | None:
        """Return the exit taken without running, because the caller has gone."""
        return self.EXITS[0] if self.EXITS else None

    def ignored(self, deciding: str, *fields: str) -> Iterator[Finding]:
        """Yield each of ``fields`` that is set and means nothing beside another."""
        for field in fields:
            if field in self.model_fields_set:
                yield Finding(f"is ignored: {deciding}", (field,))

    def needs(self) -> Iterator[Need]:
        """Yield what the calls room must be able to do for this applet."""
        yield from ()

    def texts(self) -> Iterator[str]:
        """Yield the texts that will be spoken and are known beforehand."""
        yield from ()

    def findings(self, limits: StreamUrlRules) -> Iterator[Finding]:
        """Yield traps in this applet's own fields."""
        yield from ()
