"""Gather: asks the caller for digits (streaming spec §4.7)."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from emulator.flow.applet import Applet, AppletRun, Finding, Need, Outcome, carry_out
from emulator.flow.context import CallState
from emulator.flow.fields import Key, NodeName, Prompt, WebUrl, exactly_one, spoken
from emulator.flow.ports import AudioUrl, Capability, Collect, Source, Verb
from emulator.flow.programmable import Answer, AnswerError, ask
from emulator.flow.urls import StreamUrlRules

MAX_DIGITS = 255
# A caller who has not answered by then has left the phone.
MAX_REPEATS = 20
# What the answer of a programmable Gather decides instead.
_OWN_OPTIONS = ("repeat_prompt", "max_digits", "finish_on_key", "timeout_s", "repeat")

Digits = Annotated[int, Field(ge=1, le=MAX_DIGITS)]
Seconds = Annotated[float, Field(gt=0, le=120)]
Repeats = Annotated[int, Field(ge=0, le=MAX_REPEATS)]


class AnsweredPrompt(Answer):
    """``{"text": …}`` or ``{"audio_url": …}``."""

    ESSENTIAL: ClassVar[frozenset[str]] = frozenset({"text", "audio_url"})

    text: Annotated[str, Field(max_length=1000)] | None = None
    audio_url: WebUrl | None = None

    @model_validator(mode="after")
    def _has_one_source(self) -> AnsweredPrompt:
        if (self.text is None) == (self.audio_url is None):
            raise ValueError("needs exactly one of 'text' and 'audio_url'")
        return self

    def source(self, silence_ms: int) -> Source:
        if self.audio_url is not None:
            return AudioUrl(self.audio_url)
        return spoken(self.text or "", silence_ms)


class GatherAnswer(Answer):
    """What a Gather URL answers."""

    gather_prompt: AnsweredPrompt
    max_input_digits: Digits = MAX_DIGITS
    finish_on_key: Literal[""] | Key = "#"
    input_timeout: Seconds = 5.0
    repeat_menu: Repeats = 0
    repeat_gather_prompt: AnsweredPrompt | None = None


@dataclass(frozen=True, slots=True)
class _Plan:
    prompt: Source
    repeat_prompt: Source
    max_digits: int
    finish_on_key: str
    timeout_s: float
    repeats: int


class Gather(Applet):
    """Plays ``prompt`` and waits for digits, or asks ``url`` what to play.

    Exits: ``on_digits``, with the digits for a later Passthru; ``on_nothing``. When
    neither ``url`` nor ``fallback_url`` answers, the call is dropped.
    """

    EXITS: ClassVar[tuple[str, ...]] = ("on_nothing", "on_digits")

    type: Literal["gather"]
    prompt: Prompt | None = None
    repeat_prompt: Prompt | None = None
    max_digits: Digits = MAX_DIGITS
    finish_on_key: Literal[""] | Key = "#"
    timeout_s: Seconds = 5.0
    repeat: Repeats = 0
    url: WebUrl | None = None
    fallback_url: WebUrl | None = None
    on_digits: NodeName | None = None
    on_nothing: NodeName | None = None

    _asks_one_way = exactly_one("prompt", "url")

    def needs(self) -> Iterator[Need]:
        yield Need(Capability.COLLECT)
        for name in ("prompt", "repeat_prompt"):
            prompt = getattr(self, name)
            if prompt is not None:
                yield Need(prompt.capability(), (name,))
        if self.url is not None:
            for capability in (Capability.FETCH, Capability.CLOCK):
                yield Need(capability, ("url",))

    def texts(self) -> Iterator[str]:
        for prompt in (self.prompt, self.repeat_prompt):
            if prompt is not None:
                yield from prompt.spoken_texts()

    def findings(self, limits: StreamUrlRules) -> Iterator[Finding]:
        if self.url is None:
            yield from self.ignored("it belongs to 'url'", "fallback_url")
        else:
            yield from self.ignored("what 'url' answers brings its own", *_OWN_OPTIONS)

    def run(self, call: CallState) -> AppletRun:
        call.digits = None
        try:
            plan = yield from self._plan(call)
        except AnswerError as error:
            return Outcome(None, f"the call is dropped: {error}")
        for turn in range(1 + plan.repeats):
            gathered = yield from carry_out(
                Collect(
                    (plan.repeat_prompt if turn else plan.prompt,),
                    plan.max_digits,
                    plan.finish_on_key or None,
                    plan.timeout_s,
                )
            )
            if gathered.digits:
                call.digits = gathered.digits
                return Outcome("on_digits", f"{len(gathered.digits)} digits entered")
        return Outcome("on_nothing", "nothing was entered")

    def _plan(self, call: CallState) -> Generator[Verb[Any], Any, _Plan]:
        silence_ms = call.options.silent_greeting_ms
        if self.prompt is not None:
            prompt = self.prompt.source(silence_ms)
            again = self.repeat_prompt
            return _Plan(
                prompt,
                again.source(silence_ms) if again else prompt,
                self.max_digits,
                self.finish_on_key,
                self.timeout_s,
                self.repeat,
            )
        urls = (self.url, self.fallback_url)
        answer = yield from ask("gather", urls, call, GatherAnswer)
        repeated = answer.repeat_gather_prompt or answer.gather_prompt
        return _Plan(
            answer.gather_prompt.source(silence_ms),
            repeated.source(silence_ms),
            answer.max_input_digits,
            answer.finish_on_key,
            answer.input_timeout,
            answer.repeat_menu,
        )
