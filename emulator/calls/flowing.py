"""Carries out a flow: verbs on the caller's leg, transitions on the timeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias, Unpack, cast

from emulator.calls.leg import Leg, LegListener, Prompt
from emulator.calls.services import CallServices
from emulator.errors import LocalProtocolError
from emulator.events import JsonValue
from emulator.flow.context import CallContext
from emulator.flow.engine import (
    AppletEntered,
    AppletLeft,
    Finished,
    FlowRun,
    Noted,
    Step,
    Transition,
)
from emulator.flow.ports import (
    AudioFile,
    Capability,
    Done,
    Hangup,
    OpenStream,
    Play,
    PlayResult,
    Say,
    Silence,
    Source,
    StreamResult,
    Verb,
)
from emulator.worker import messages as worker

# Stands for speech where no speech engine is there; built into the worker.
FALLBACK_TONE = "two-tone"

# What the verbs below can do; a flow that needs more is refused when it is loaded.
CAPABILITIES = frozenset({Capability.PLAY, Capability.STREAM, Capability.HANG_UP})


StreamStatus: TypeAlias = Literal["completed", "failed", "cancelled"]
DisconnectedBy: TypeAlias = Literal["user", "bot", "NA"]


class FlowListener(LegListener, Protocol):
    """Who is told how the flow goes."""

    def applet_entered(self, node: str) -> None:
        """An applet took over the call."""


class FlowDriver:
    """Walks one call through its flow.

    Args:
        is_caller_gone: Tells whether the call has ended under the flow.
    """

    def __init__(
        self,
        run: FlowRun,
        context: CallContext,
        leg: Leg,
        services: CallServices,
        listener: FlowListener,
        is_caller_gone: Callable[[], bool],
    ) -> None:
        self._run = run
        self._context = context
        self._leg = leg
        self._services = services
        self._listener = listener
        self._is_caller_gone = is_caller_gone
        self._last_stream = ""

    async def drive(self) -> str:
        """Run the flow to its end; return why it ended, and how the last stream did."""
        step = self._run.start()
        while True:
            self._note(step)
            if isinstance(step.action, Finished):
                return "; ".join(filter(None, (step.action.why, self._last_stream)))
            result = await self._carry_out(step.action)
            if self._is_caller_gone():
                step = self._run.caller_gone(result)
            else:
                step = self._run.resume(result)

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
                    why=transition.why,
                )
            case Noted(text=text):
                self._listener.record("note", text=text)

    async def _carry_out(self, verb: Verb[Any]) -> object:
        match verb:
            case Play():
                return await self._play(verb)
            case OpenStream():
                return await self._open_stream(verb)
            case Hangup():
                return Done()
            case _:
                raise _not_ours(verb)

    # Prompts.

    async def _play(self, verb: Play) -> PlayResult:
        for source in verb.sources:
            result = await self._play_source(source)
            if result.outcome != "played":
                return result
        return PlayResult("played")

    async def _play_source(self, source: Source) -> PlayResult:
        match source:
            case Say():
                return await self._say(source.text)
            case AudioFile():
                return await self._play_on_leg({"file": source.path}, path=source.path)
            case Silence():
                return await self._play_on_leg(
                    {"silence_ms": source.duration_ms}, silence_ms=source.duration_ms
                )
            case _:
                raise _not_ours(source)

    async def _say(self, text: str) -> PlayResult:
        speech = self._services.speech
        rendering = speech.lookup(text)
        if rendering.path is None:
            rendering = (await speech.render([text]))[text]
        if rendering.path is None:
            self._listener.record(
                "note", text=f"no speech, a two-tone prompt instead: {rendering.error}"
            )
            return await self._play_on_leg({"text": text}, tone=FALLBACK_TONE)
        return await self._play_on_leg({"text": text}, path=str(rendering.path))

    async def _play_on_leg(
        self, said: dict[str, JsonValue], **what: Unpack[Prompt]
    ) -> PlayResult:
        ended = await self._leg.play(said, **what)
        self._listener.record(
            "prompt.ended",
            outcome=ended.outcome,
            played_ms=ended.played_ms,
            error=ended.error,
        )
        if ended.outcome == "played":
            return PlayResult("played")
        if ended.outcome == "failed":
            return PlayResult("failed", ended.error)
        return PlayResult("stopped")

    # Streams.

    async def _open_stream(self, verb: OpenStream) -> StreamResult:
        settings = self._services.settings
        command = worker.OpenStream(
            leg_id=self._leg.leg_id,
            stream_sid=self._services.ids.sid(self._services.clock.utc()),
            call_sid=self._context.call_sid,
            account_sid=settings.account.sid,
            url=verb.url,
            from_=self._context.from_,
            to=self._context.to,
            custom_parameters=verb.custom_parameters,
            sample_rate_hz=verb.sample_rate_hz,
            codec=verb.codec or "pcm_s16le",
            two_way=verb.two_way,
            options=settings.stream.model_dump(),
        )
        ended = await self._leg.stream(command)
        self._last_stream = _say_how(ended)
        return _stream_result(ended)


def _not_ours(asked: object) -> LocalProtocolError:
    """The loader refuses flows that need more than ``CAPABILITIES``."""
    return LocalProtocolError(f"nobody carries out {type(asked).__name__}")


def _say_how(ended: worker.StreamEnded) -> str:
    """Return a stream's end in a few words, for whoever asks why the call ended."""
    if ended.error:
        return f"stream {ended.status}: {ended.error}"
    code = f" with {ended.close_code}" if ended.close_code else ""
    return f"stream {ended.status}, closed first by the {ended.closed_first}{code}"


def _stream_result(ended: worker.StreamEnded) -> StreamResult:
    """Return the stream's end in the flow's words; absent fields stay absent (§5)."""
    cancelled = ended.status == "cancelled"
    return StreamResult(
        stream_sid=ended.stream_sid,
        # The worker speaks the platform's words; the stream room's tests hold it to.
        status=cast(StreamStatus, ended.status),
        disconnected_by=cast(DisconnectedBy, ended.disconnected_by),
        error=ended.error,
        duration_s=None if cancelled else ended.duration_s,
    )
