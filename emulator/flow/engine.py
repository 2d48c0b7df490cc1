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
                     [without caller] ---------------> [finished]
                       walks on to the first Passthru, which is sent once
```

Pure: the caller carries out the verb of each ``Step`` and comes back with its result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from emulator.errors import LocalProtocolError
from emulator.flow.applet import Applet, AppletRun, Outcome, WithoutCaller
from emulator.flow.context import CallContext, CallState, FlowOptions, StreamRecord
from emulator.flow.model import Flow
from emulator.flow.ports import FailStream, Fetch, StayOnLine, StreamResult, Verb


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


@dataclass(frozen=True, slots=True)
class _LeadOn:
    """Take an exit of the node that has the call; None has no target."""

    exit: str | None


_Action: TypeAlias = Verb[Any] | Outcome | _LeadOn | Finished
_GONE = "the caller has gone"


def _no_flow(name: str) -> Flow | None:
    return None


class FlowRun:
    """One call's way through a flow.

    Every method that returns a ``Step`` raises ``LocalProtocolError`` when it does not
    fit the state in the module's drawing, and on a result of the wrong class.

    Args:
        find_flow: Finds the flow that a Transfer names, by name or app id.
    """

    def __init__(
        self,
        flow: Flow,
        context: CallContext,
        options: FlowOptions | None = None,
        find_flow: Callable[[str], Flow | None] = _no_flow,
    ) -> None:
        self._flow = flow
        self._find_flow = find_flow
        self._call = CallState(context, options or FlowOptions(), flow.app_id)
        self._node = ""
        self._run: AppletRun | None = None
        self._verb: Verb[Any] | None = None
        self._was_asked_before = False
        self._steps = 0
        self._passed_over: list[str] = []
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
        return self._step(self._advance(result))

    def caller_gone(self, result: object = None, at: datetime | None = None) -> Step:
        """Go on without the caller: to the Passthru behind the applet, if any.

        Steps may follow that are carried out and resumed as any other; none of their
        verbs needs a caller. Called again, it is the same as ``resume``.

        Args:
            result: What became of the verb that was being carried out, such as how
                the stream ended; None when there is nothing to tell.
            at: When the caller left, as webhooks are told; None: as late as now.
        """
        if self._run is None or self._verb is None:
            raise LocalProtocolError("no applet has a caller to lose")
        if self._call.is_caller_gone:
            return self.resume(result)
        self._call.is_caller_gone = True
        self._call.ended_at = at
        self._was_asked_before = isinstance(self._verb, Fetch)
        if isinstance(self._verb, StayOnLine):
            return self._step(Finished(_GONE))
        applet = self._applet
        ended = None if result is None else self._advance(result)
        if isinstance(ended, FailStream):
            return self._step(ended)  # It was being set up: that has a StreamSID.
        if isinstance(ended, Verb) and not self._is_passed_over(applet):
            return self._step(ended)
        self._run.close()
        if isinstance(ended, Outcome):
            why = f"{_GONE}: {ended.why}"
            return self._step(Outcome(ended.exit, why, ended.transfer_to))
        return self._step(Outcome(applet.pass_over(self._call), _GONE))

    def stream_ended(self, result: StreamResult) -> None:
        """Take note of the end of a one-way stream, whichever applet runs."""
        call = self._call
        if result.stream_sid in call.live_streams:
            call.live_streams.remove(result.stream_sid)
        if call.stream and call.stream.stream_sid == result.stream_sid:
            call.stream = StreamRecord(result.stream_sid, call.stream.url, result)

    @property
    def _applet(self) -> Applet:
        return self._flow.applets[self._node]

    def _step(self, action: _Action) -> Step:
        """Walk on from an applet's end to the next verb, or to the end of the flow."""
        while not isinstance(action, (Verb, Finished)):
            if isinstance(action, Outcome):
                action = self._follow(action)
            else:
                action = self._lead_on(action.exit)
        self._verb = action if isinstance(action, Verb) else None
        transitions, self._transitions = tuple(self._transitions), []
        return Step(transitions, action)

    def _advance(self, result: object) -> Verb[Any] | Outcome:
        """Hand the verb's result to the applet; return what it wants next."""
        if self._run is None or self._verb is None:
            raise LocalProtocolError("the flow waits for no result")
        if not isinstance(result, self._verb.result_type):
            raise LocalProtocolError(
                f"{type(self._verb).__name__} ends with a "
                f"{self._verb.result_type.__name__}, not {type(result).__name__}"
            )
        return self._send(self._run, result)

    def _send(self, run: AppletRun, result: object) -> Verb[Any] | Outcome:
        try:
            return run.send(result)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome
        finally:
            self._transitions += [Noted(text) for text in self._call.notes]
            self._call.notes.clear()

    def _enter(self, node: str) -> _Action:
        limit = self._call.options.max_steps
        if self._steps >= limit:
            return Finished(f"flow.max_steps: {limit} applets, and still no end")
        self._steps += 1
        self._node = node
        self._was_asked_before = False
        applet = self._applet
        if self._is_passed_over(applet):
            self._passed_over.append(node)
            return _LeadOn(applet.pass_over(self._call))
        if self._passed_over:
            note = f"passed over {', '.join(self._passed_over)}: {_GONE}"
            self._transitions.append(Noted(note))
            self._passed_over.clear()
        if applet.WITHOUT_CALLER is WithoutCaller.PASS_OVER:
            # Told of the previous applet only; those that decide the way are none.
            self._call.recording_url = None
        self._transitions.append(AppletEntered(self._flow.flow, node, applet.type))
        self._run = applet.run(self._call)
        return self._send(self._run, None)

    def _is_passed_over(self, applet: Applet) -> bool:
        pass_over = applet.WITHOUT_CALLER is WithoutCaller.PASS_OVER
        return self._call.is_caller_gone and pass_over

    def _follow(self, outcome: Outcome) -> _Action:
        """Leave the applet that has the call by the exit that it chose."""
        applet, exit_ = self._applet, outcome.exit
        target = applet.target(exit_) if exit_ else outcome.transfer_to
        left = AppletLeft(
            self._flow.flow, self._node, applet.type, exit_, target, outcome.why
        )
        self._transitions.append(left)
        if outcome.transfer_to is not None:
            return self._transfer(outcome.transfer_to)
        if exit_ is None and not self._call.is_caller_gone:
            return Finished(outcome.why)
        # A request that was out when the caller left is not the last one.
        is_last = applet.WITHOUT_CALLER is WithoutCaller.RUN_LAST
        was_last = is_last and not self._was_asked_before
        if self._call.is_caller_gone and (was_last or self._sends_nothing_more()):
            return Finished(_GONE)
        return _LeadOn(exit_)

    def _sends_nothing_more(self) -> bool:
        return self._call.options.passthru.after_hangup == "never"

    def _lead_on(self, exit_: str | None) -> _Action:
        """Enter the node behind an exit, or do what an empty exit means."""
        target = self._applet.target(exit_) if exit_ else None
        if target is not None:
            return self._enter(target)
        if self._call.is_caller_gone:
            return Finished(_GONE)
        why = f"nothing follows {self._node!r} at {exit_!r}"
        stays = self._call.options.passthru.empty_exit == "open"
        if stays and self._applet.EMPTY_EXIT_STAYS:
            self._run = _stay_on_line(why)
            return self._send(self._run, None)
        return Finished(why)

    def _transfer(self, name: str) -> _Action:
        flow = self._find_flow(name)
        if flow is None:
            return Finished(f"there is no flow {name!r}")
        self._flow = flow
        self._call.flow_id = flow.app_id
        return self._enter(flow.start)


def _stay_on_line(why: str) -> AppletRun:
    yield StayOnLine(why)
    return Outcome(None, why)
