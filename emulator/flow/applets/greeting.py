"""Greeting: says a text or plays a file, then goes on (streaming spec §4.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import model_validator

from emulator.flow.applet import Applet, AppletRun, Need, Outcome, carry_out
from emulator.flow.context import CallState
from emulator.flow.fields import AudioPath, NodeName, SpokenText, is_speakable
from emulator.flow.ports import AudioFile, Capability, Play, Say, Silence, Source


class Greeting(Applet):
    """Exactly one of ``text`` and ``file``.

    A text without a speakable word, such as the manual's ``...``, is a short silence.
    """

    type: Literal["greeting"]
    text: SpokenText | None = None
    file: AudioPath | None = None
    next: NodeName | None = None

    @model_validator(mode="after")
    def _has_one_source(self) -> Greeting:
        if (self.text is None) == (self.file is None):
            raise ValueError("needs exactly one of 'text' and 'file'")
        return self

    def needs(self) -> Iterator[Need]:
        yield Need(Capability.PLAY)

    def texts(self) -> Iterator[str]:
        if self.text is not None and is_speakable(self.text):
            yield self.text

    def run(self, call: CallState) -> AppletRun:
        played = yield from carry_out(Play((self._source(call),)))
        if played.outcome == "failed":
            # The platform's behaviour is not stated; an emulator goes on.
            return Outcome("next", f"the prompt failed: {played.error}")
        return Outcome("next", f"the prompt was {played.outcome}")

    def _source(self, call: CallState) -> Source:
        if self.file is not None:
            return AudioFile(self.file)
        if self.text is not None and is_speakable(self.text):
            return Say(self.text)
        return Silence(call.options.silent_greeting_ms)
