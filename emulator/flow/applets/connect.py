"""Connect: rings people and lets one of them talk to the caller (spec §4.5)."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from emulator.flow.applet import (
    Applet,
    AppletRun,
    Exit,
    Finding,
    Need,
    Outcome,
    carry_out,
)
from emulator.flow.connect_plan import (
    MAX_DESTINATIONS,
    MAX_PARALLEL,
    ConnectAnswer,
    ConnectPlan,
    Destination,
    Music,
    parse_numbers,
)
from emulator.flow.context import CallState, Conversation, RungLeg
from emulator.flow.fields import (
    NodeName,
    PhoneNumber,
    Prompt,
    RecordOptions,
    WebUrl,
    exactly_one,
)
from emulator.flow.ports import Capability, Dial, DialResult, Playback, Verb
from emulator.flow.programmable import AnswerError, ask, check_answer, fetch
from emulator.flow.urls import StreamUrlRules

_WORKER_LOST = "the loss of their media worker"
# A dynamic URL may ask to be asked again for ever.
MAX_ROUNDS = 50
# What the answer of a programmable Connect decides instead.
_OWN_OPTIONS = (
    "ring", "max_ring_s", "max_talk_s", "caller_id", "record", "music_on_hold",
    "playback", "event_url",
)  # fmt: skip


class PlaybackOptions(Prompt):
    """What is played on answer, and to whom."""

    to: Literal["callee", "both"] = "both"


class Connect(Applet):
    """Rings ``dial``, or whom a URL names.

    ``dial`` lists ``user:<name>``, ``sip:<trunk>`` and numbers; ``numbers_url`` answers
    such a list as ``text/plain``, separated by commas; ``url`` (then ``fallback_url``)
    answers the programmable JSON, which brings its own options.

    Exits: ``after_conversation``; ``no_answer`` when all attempts failed;
    ``not_dialled`` when there was nobody to ring, which falls to ``no_answer`` when it
    is left out.
    """

    EXITS: ClassVar[tuple[str, ...]] = (
        "not_dialled",
        "no_answer",
        "after_conversation",
    )

    type: Literal["connect"]
    dial: (
        Annotated[list[Destination], Field(min_length=1, max_length=MAX_DESTINATIONS)]
        | None
    ) = None
    numbers_url: WebUrl | None = None
    url: WebUrl | None = None
    fallback_url: WebUrl | None = None
    ring: Literal["sequential", "parallel"] = "sequential"
    max_ring_s: Annotated[float, Field(gt=0, le=600)] = 45.0
    max_talk_s: Annotated[float, Field(gt=0)] | None = None
    caller_id: PhoneNumber | None = None
    record: RecordOptions | None = None
    music_on_hold: Music | Prompt = "default"
    playback: PlaybackOptions | None = None
    event_url: WebUrl | None = None
    after_conversation: NodeName | None = None
    no_answer: NodeName | None = None
    not_dialled: NodeName | None = None

    _dials_one_way = exactly_one("dial", "numbers_url", "url")

    def exits(self) -> Iterator[Exit]:
        for name in self.EXITS:
            if name == "not_dialled" and self.not_dialled is None:
                yield Exit(name, self.no_answer, ("no_answer",))
            else:
                yield Exit(name, getattr(self, name), (name,))

    def needs(self) -> Iterator[Need]:
        yield Need(Capability.DIAL)
        for name in ("numbers_url", "url"):
            if getattr(self, name) is not None:
                yield Need(Capability.FETCH, (name,))
                yield Need(Capability.CLOCK, (name,))
        for name in ("music_on_hold", "playback"):
            prompt = getattr(self, name)
            if isinstance(prompt, Prompt):
                yield Need(prompt.capability(), (name,))

    def texts(self) -> Iterator[str]:
        for prompt in (self.music_on_hold, self.playback):
            if isinstance(prompt, Prompt):
                yield from prompt.spoken_texts()

    def findings(self, limits: StreamUrlRules) -> Iterator[Finding]:
        if self.url is None:
            yield from self.ignored("it belongs to 'url'", "fallback_url")
        else:
            yield from self.ignored("what 'url' answers brings its own", *_OWN_OPTIONS)
        if self.url is None and self.record is not None and self.record.trap:
            yield Finding(self.record.trap, ("record", "format"))

    def run(self, call: CallState) -> AppletRun:
        legs: list[RungLeg] = []
        reason = "nobody to dial"
        for _ in range(MAX_ROUNDS):
            try:
                plan = yield from self._plan(call)
            except AnswerError as error:
                reason = str(error)
                break
            for note in plan.notes:
                call.note(note)
            outcome = yield from _ring(call, plan, legs)
            if outcome is not None:
                return outcome
            if not (plan.is_asked_again and plan.destinations):
                break
        else:
            reason = f"given up after {MAX_ROUNDS} rounds"
        if not legs:
            return Outcome("not_dialled", reason)
        statuses = ", ".join(leg.outcome.status for leg in legs[-MAX_PARALLEL:])
        return Outcome("no_answer", statuses)

    def _plan(self, call: CallState) -> Generator[Verb[Any], Any, ConnectPlan]:
        silence_ms = call.options.silent_greeting_ms
        if self.url is not None:
            urls = (self.url, self.fallback_url)
            answer = yield from ask("connect", urls, call, ConnectAnswer)
            return answer.plan(silence_ms)
        if self.numbers_url is not None:
            listed = yield from fetch("connect", self.numbers_url, call)
            numbers, notes = parse_numbers(check_answer(listed, "text/plain"))
            return self._own(numbers, call, tuple(notes))
        return self._own(tuple(self.dial or ()), call)

    def _own(
        self,
        destinations: tuple[str, ...],
        call: CallState,
        notes: tuple[str, ...] = (),
    ) -> ConnectPlan:
        silence_ms = call.options.silent_greeting_ms
        music, playback = self.music_on_hold, self.playback
        return ConnectPlan(
            destinations=destinations,
            parallel=MAX_PARALLEL if self.ring == "parallel" else 1,
            ring_s=self.max_ring_s,
            talk_s=self.max_talk_s,
            caller_id=self.caller_id,
            record=self.record.as_recording() if self.record else None,
            music_on_hold=(
                music.source(silence_ms) if isinstance(music, Prompt) else music
            ),
            playback=(
                Playback(playback.to, (playback.source(silence_ms),))
                if playback
                else None
            ),
            event_url=self.event_url,
            notes=notes,
        )


def _ring(
    call: CallState, plan: ConnectPlan, legs: list[RungLeg]
) -> Generator[Verb[Any], Any, Outcome | None]:
    """Ring one round; return the applet's end, or None when nobody answered."""
    for group in plan.groups():
        result = yield from carry_out(_dial(plan, group))
        legs += [RungLeg(leg, _type(group)) for leg in result.legs]
        _remember(call, plan, legs, result)
        if result.talk_s is not None:
            return Outcome("after_conversation", _why(result))
        if result.ended_by is not None:
            return Outcome("no_answer", _why_nobody(result))
        if plan.is_asked_again:
            break
    return None


def _type(group: tuple[str, ...]) -> Literal["single", "parallel"]:
    return "single" if len(group) == 1 else "parallel"


def _dial(plan: ConnectPlan, group: tuple[str, ...]) -> Dial:
    return Dial(
        destinations=group,
        ring_s=plan.ring_s,
        talk_s=plan.talk_s,
        caller_id=plan.caller_id,
        record=plan.record,
        music_on_hold=plan.music_on_hold,
        playback=plan.playback,
        sip_headers=plan.sip_headers,
        event_url=plan.event_url,
    )


def _remember(
    call: CallState, plan: ConnectPlan, legs: list[RungLeg], result: DialResult
) -> None:
    call.recording_url = result.recording_url
    if not legs and result.ended_by is None:
        return  # Nobody could be rung: that is no attempt to converse.
    if result.talk_s is not None:
        call.has_voicemail = False  # The last that was recorded decides CallType.
    call.conversation = Conversation(
        tuple(legs),
        result.talk_s,
        plan.caller_id or call.context.to,
        result.ended_by == "caller",
    )


def _why(result: DialResult) -> str:
    by = _WORKER_LOST if result.ended_by == "worker" else result.ended_by
    return f"they talked for {result.talk_s:.0f} s, ended by {by}"


def _why_nobody(result: DialResult) -> str:
    if result.ended_by == "worker":
        return f"ended by {_WORKER_LOST} while it rang"
    return "the caller left while it rang"
