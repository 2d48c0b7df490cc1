"""What a verb's handler works with: one call, as far as flows may touch it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from emulator.calls.leg import Leg, LegListener
from emulator.calls.services import CallServices
from emulator.flow.context import CallContext
from emulator.flow.ports import Capability, StreamResult, Verb

V = TypeVar("V", bound=Verb[Any])


class FlowListener(LegListener, Protocol):
    """Who is told how the flow goes."""

    def applet_entered(self, node: str) -> None:
        """An applet took over the call."""


class Stage:
    """One call on which verbs are carried out.

    Args:
        leg: The caller's media.
        listener: Takes what belongs on the timeline.
        caller_gone: Set once the call has ended under the flow.

    Attributes:
        stream_ended: Told the end of a one-way stream, whichever applet runs.
        last_stream: How the stream that ended last did, in words; empty for none.
    """

    def __init__(
        self,
        context: CallContext,
        leg: Leg,
        services: CallServices,
        listener: FlowListener,
        caller_gone: asyncio.Event,
    ) -> None:
        self.context = context
        self.leg = leg
        self.services = services
        self.listener = listener
        self.caller_gone = caller_gone
        self.stream_ended: Callable[[StreamResult], None] = lambda _: None
        self.last_stream = ""


@dataclass(frozen=True, slots=True)
class VerbHandler:
    """Carries out one verb.

    Attributes:
        capabilities: What flows may ask for because this handler is there.
        carry_out: Returns the verb's result. Ends soon after ``Stage.caller_gone`` when
            the verb needs a caller.
    """

    verb: type[Verb[Any]]
    capabilities: frozenset[Capability]
    carry_out: Callable[[Stage, Any], Awaitable[object]]


def handler(
    verb: type[V],
    carry_out: Callable[[Stage, V], Awaitable[object]],
    *capabilities: Capability,
) -> VerbHandler:
    """Return the handler of ``verb``, its two types checked against each other."""
    return VerbHandler(verb, frozenset(capabilities), carry_out)
