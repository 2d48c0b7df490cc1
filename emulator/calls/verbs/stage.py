"""What a verb's handler works with: one call, as far as flows may touch it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from emulator.calls.dialing import Identity, Route
from emulator.calls.dialled import DialledLeg
from emulator.calls.ending import EndCause, Ending
from emulator.calls.leg import Leg, LegListener
from emulator.calls.services import CallServices
from emulator.calls.talking import Caller
from emulator.flow.context import CallContext
from emulator.flow.ports import Capability, Recording, StreamResult, Verb

V = TypeVar("V", bound=Verb[Any])
R = TypeVar("R")

# More keys than any input takes; who presses on is no person.
MAX_WAITING_KEYS = 300
# Requests of one call that nobody waits for: a loop through an async Passthru must not
# flood its server.
MAX_UNAWAITED_REQUESTS = 10


class FlowListener(LegListener, Protocol):
    """Who is told how the flow goes.

    Attributes:
        hides_digits: While it is set, no key comes on the timeline.
    """

    hides_digits: bool

    def applet_entered(self, node: str) -> None:
        """An applet took over the call."""

    def end(self, kind: EndCause, text: str) -> None:
        """The call is to end; only the first ending counts."""


class Keys:
    """The keys of the caller's phone: they count while somebody listens."""

    def __init__(self) -> None:
        self._pressed: asyncio.Queue[str] | None = None

    def press(self, digit: str) -> None:
        """Tell whoever listens."""
        if self._pressed is not None and not self._pressed.full():
            self._pressed.put_nowait(digit)

    @contextmanager
    def listen(self) -> Iterator[asyncio.Queue[str]]:
        """Yield a queue of what is pressed from now on."""
        self._pressed = asyncio.Queue(MAX_WAITING_KEYS)
        try:
            yield self._pressed
        finally:
            self._pressed = None


class Dialler(Caller, Protocol):
    """The call as it rings further parties."""

    @property
    def ending(self) -> Ending | None:
        """How the call ended; None while it is up."""

    @property
    def ended_at(self) -> datetime | None:
        """When the call ended, in UTC; None while it is up."""

    def dial(self, route: Route, ring_timeout_s: float, sid: str) -> DialledLeg:
        """Return a further party, which ``DialledLeg.ring`` rings."""

    def new_leg_sid(self) -> str:
        """Return a SID for a further party."""

    def identity(self, leg_sid: str, caller_id: str | None = None) -> Identity:
        """Return what a callee is told of the caller."""


class Stage:
    """One call on which verbs are carried out.

    Args:
        leg: The caller's media.
        listener: Takes what belongs on the timeline.
        caller_gone: Set once the call has ended under the flow.
        beside: Owns what goes on beside the flow; the call is over when it is.
        dialler: Rings further parties.

    Attributes:
        stream_ended: Told the end of a one-way stream, whichever applet runs.
        streams: The one-way streams of the call, by SID, those that ended too.
        last_stream: How the two-way stream that ended last did; empty for none.
        has_greeted: Whether something was played to the caller.
        has_recorded: Whether a conversation of the call has been recorded.
    """

    def __init__(
        self,
        context: CallContext,
        leg: Leg,
        services: CallServices,
        listener: FlowListener,
        caller_gone: asyncio.Event,
        beside: asyncio.TaskGroup,
        dialler: Dialler,
    ) -> None:
        self.context = context
        self.leg = leg
        self.services = services
        self.listener = listener
        self.caller_gone = caller_gone
        self.beside = beside
        self.unawaited_requests = asyncio.Semaphore(MAX_UNAWAITED_REQUESTS)
        self.keys = Keys()
        self.dialler = dialler
        self.stream_ended: Callable[[StreamResult], None] = lambda _: None
        self.streams: dict[str, asyncio.Task[StreamResult]] = {}
        self.last_stream = ""
        self.has_greeted = False
        self.has_recorded = False


async def unless_gone(stage: Stage, work: Coroutine[Any, Any, R]) -> R | None:
    """Return what ``work`` does; None when the caller leaves first.

    It goes on beside the flow then. It is not left when the caller has gone before.
    """
    if stage.caller_gone.is_set():
        return await work
    task = stage.beside.create_task(work)
    gone = asyncio.create_task(stage.caller_gone.wait())
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
    return task.result() if task.done() else None


@contextmanager
def hidden_digits(listener: FlowListener, wanted: Recording | None) -> Iterator[None]:
    """Keep keys off the timeline meanwhile, if the recording is to hide them."""
    listener.hides_digits = wanted is not None and wanted.encrypt_dtmf
    try:
        yield
    finally:
        listener.hides_digits = False


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
