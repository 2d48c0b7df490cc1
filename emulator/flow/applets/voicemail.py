"""Voicemail: a prompt, a beep, and the caller's message (streaming spec §4.10)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from emulator.flow.applet import Applet, AppletRun, Need, Outcome, carry_out
from emulator.flow.context import CallState
from emulator.flow.fields import Key, NodeName, Prompt
from emulator.flow.ports import Capability, RecordVoice


class Voicemail(Applet):
    """Records for the user or group ``mailbox``, at most ``max_s``."""

    type: Literal["voicemail"]
    prompt: Prompt
    mailbox: Annotated[str, Field(min_length=1, max_length=64)]
    max_s: Annotated[float, Field(gt=0, le=600)] = 120.0
    finish_on_key: Literal[""] | Key = "#"
    next: NodeName | None = None

    def needs(self) -> Iterator[Need]:
        yield Need(Capability.RECORD_VOICE)
        yield Need(self.prompt.capability(), ("prompt",))

    def texts(self) -> Iterator[str]:
        yield from self.prompt.spoken_texts()

    def run(self, call: CallState) -> AppletRun:
        recorded = yield from carry_out(
            RecordVoice(
                (self.prompt.source(call.options.silent_greeting_ms),),
                self.mailbox,
                self.max_s,
                self.finish_on_key or None,
            )
        )
        call.has_voicemail = True
        call.recording_url = recorded.recording_url
        return Outcome("next", f"a message of {recorded.duration_s:.0f} s")
