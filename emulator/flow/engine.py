"""Walks a flow: runs an applet, takes the exit it chose, runs the next.

```text
            start()                    applet returns, exit leads on
 (new) ----------------> [running] <------------------------------+
                             |  yields a verb                     |
                             v                                    |
                        [waiting] -- resume(result) -> [running] -+
                             |                             | no next applet, hangup,
                             | caller_gone(result)         | max_steps
                             v                             v
                        [finished] <-----------------------+
```

Pure: the caller carries out the verb of each ``Step`` and comes back with its result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from emulator.errors import LocalProtocolError
from emulator.flow.applet import AppletRun, Exit, Outcome
from emulator.flow.context import CallContext, CallState, FlowOptions
from emulator.flow.model import Flow
from emulator.flow.ports import Verb


@dataclass(frozen=True, slots=True)
class AppletEntered:
    """An applet took over the call."""

    flow: str
    node: str
    type: str


@dataclass(frozen=True, slots=True)
class AppletLeft:
    """An applet ended.

    Attributes:
        exit: The name of the exit taken; None when the applet ended the flow.
        target: The node behind it; None when the exit is empty.
    """

    flow: str
    node: str
    type: str
    exit: str | None
    target: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Noted:
    """Something that the user should know: an entry ``note`` of the timeline."""

    text: str


Transition: TypeAlias = AppletEntered | AppletLeft | Noted


@dataclass(frozen=True, slots=True)
class Finished:
    """The flow is over: a call that is still up ends now."""

    why: str


@dataclass(frozen=True, slots=True)
class Step:
    """What happened, in order, and what is to be done now."""

    transitions: tuple[Transition, ...]
    action: Verb[Any] | Finished


class FlowRun:
    """One call's way through a flow.

    Every method that returns a ``Step`` raises ``LocalProtocolError`` when it does not
    fit the state in the module's drawing, and on a result of the wrong class.
    """

    def __init__(
        self, flow: Flow, context: CallContext, options: FlowOptions | None = None
    ) -> None:
        self._flow = flow
        self._call = CallState(context, options or FlowOptions())
        self._node = ""
        self._applet: AppletRun | None = None
        self._verb: Verb[Any] | None = None
        self._steps = 0
        self._transitions: list[Transition] = []

    @property
    def node(self) -> str:
        """The node that has the call; empty before the start."""
        return self._node

    @property
    def is_waiting(self) -> bool:
        """Whether a verb is out whose result, or the call's end, is expected."""
        return self._verb is not None

    def start(self) -> Step:
        """Enter the first applet."""
        if self._steps:
            raise LocalProtocolError("the flow has been started before")
        return self._step(self._enter(self._flow.start))

    def resume(self, result: object) -> Step:
        """Continue with the result of the last step's verb."""
        return self._step(self._advance(self._waiting_for(result), result))

    def caller_gone(self, result: object = None) -> Step:
        """End the flow because the call has ended under it.

        Args:
            result: What became of the verb that was being carried out, such as how
                the stream ended; None when there is nothing to tell.
        """
        why = "the caller has gone"
        if self._applet is None or self._verb is None:
            raise LocalProtocolError("no applet has the call")
        if result is not None:
            ended = self._advance(self._waiting_for(result), result)
            if isinstance(ended, Outcome):
                why = f"{why}: {ended.why}"
        self._applet.close()
        self._left(None, None, why)
        return self._step(Finished("the caller has gone"))

    def _waiting_for(self, result: object) -> AppletRun:
        if self._applet is None or self._verb is None:
            raise LocalProtocolError("the flow waits for no result")
        if not isinstance(result, self._verb.result_type):
            raise LocalProtocolError(
                f"{type(self._verb).__name__} ends with a "
                f"{self._verb.result_type.__name__}, not {type(result).__name__}"
            )
        return self._applet

    def _step(self, action: Verb[Any] | Outcome | Finished) -> Step:
        """Walk on from an applet's end to the next verb, or to the end of the flow."""
        while isinstance(action, Outcome):
            action = self._follow(action)
        self._verb = action if isinstance(action, Verb) else None
        transitions, self._transitions = tuple(self._transitions), []
        return Step(transitions, action)

    def _enter(self, node: str) -> Verb[Any] | Outcome | Finished:
        limit = self._call.options.max_steps
        if self._steps >= limit:
            return Finished(f"flow.max_steps: {limit} applets, and still no end")
        self._steps += 1
        self._node = node
        applet = self._flow.applets[node]
        self._transitions.append(AppletEntered(self._flow.flow, node, applet.type))
        self._applet = applet.run(self._call)
        return self._advance(self._applet, None)

    def _advance(self, applet: AppletRun, result: object) -> Verb[Any] | Outcome:
        try:
            return applet.send(result)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome
        finally:
            self._transitions += [Noted(text) for text in self._call.notes]
            self._call.notes.clear()

    def _follow(self, outcome: Outcome) -> Verb[Any] | Outcome | Finished:
        target = self._exit(outcome.exit).target if outcome.exit else None
        self._left(outcome.exit, target, outcome.why)
        if target is not None:
            return self._enter(target)
        if outcome.exit is None:
            return Finished(outcome.why)
        return Finished(f"nothing follows {self._node!r} at {outcome.exit!r}")

    def _exit(self, name: str) -> Exit:
        exits = self._flow.applets[self._node].exits()
        return next(exit_ for exit_ in exits if exit_.name == name)

    def _left(self, exit_: str | None, target: str | None, why: str) -> None:
        kind = self._flow.applets[self._node].type
        left = AppletLeft(self._flow.flow, self._node, kind, exit_, target, why)
        self._transitions.append(left)
