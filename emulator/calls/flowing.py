"""Walks one call through its flow: verbs to their handlers, steps to the timeline."""

from __future__ import annotations

import asyncio
from typing import Any

from emulator.calls.verbs.registry import HANDLERS
from emulator.calls.verbs.stage import Stage
from emulator.errors import LocalProtocolError
from emulator.flow.engine import (
    AppletEntered,
    AppletLeft,
    Finished,
    FlowRun,
    Noted,
    Step,
    Transition,
)
from emulator.flow.ports import Verb
from emulator.text import mask_text, printable


class FlowDriver:
    """One call's walk; owns what its verbs leave running."""

    def __init__(self, run: FlowRun, stage: Stage) -> None:
        self._run = run
        self._stage = stage
        self._listener = stage.listener
        stage.stream_ended = run.stream_ended

    async def drive(self) -> str:
        """Run the flow to its end; return why it ended, and how the last stream did."""
        step = self._run.start()
        while True:
            self._note(step)
            if isinstance(step.action, Finished):
                why = mask_text(step.action.why)
                return "; ".join(filter(None, (why, self._stage.last_stream)))
            result = await self._carry_out(step.action)
            if self._stage.caller_gone.is_set():
                await self._one_way_streams_ended()
                step = self._run.caller_gone(result, self._stage.dialler.ended_at)
            else:
                step = self._run.resume(result)

    async def _one_way_streams_ended(self) -> None:
        """They end with the caller's leg; what follows tells their final values."""
        if streams := self._stage.streams.values():
            await asyncio.wait(streams)

    async def _carry_out(self, verb: Verb[Any]) -> object:
        entry = HANDLERS.get(type(verb))
        if entry is None:
            # The loader refuses flows that need more than the handlers' capabilities.
            raise LocalProtocolError(f"nobody carries out {type(verb).__name__}")
        return await entry.carry_out(self._stage, verb)

    def _note(self, step: Step) -> None:
        for transition in step.transitions:
            self._note_transition(transition)

    def _note_transition(self, transition: Transition) -> None:
        match transition:
            case AppletEntered(node=node, type=kind):
                self._listener.applet_entered(node)
                self._listener.record("applet.entered", applet=node, type=kind)
            case AppletLeft():
                self._listener.record(
                    "applet.left",
                    applet=transition.node,
                    type=transition.type,
                    exit=transition.exit,
                    next=transition.target,
                    why=printable(mask_text(transition.why)),
                )
            case Noted(text=text):
                # It may quote what a customer's server answered.
                self._listener.record("note", text=printable(mask_text(text)))
