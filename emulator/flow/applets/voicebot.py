"""Voicebot: the caller talks to a bot until one of them ends it (streaming spec §4.2).

There is one exit, whatever became of the stream: how it ended is left for a Passthru
behind it (``CallState.stream``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from emulator.flow.applet import AppletRun, Finding, Need, Outcome, carry_out
from emulator.flow.context import CallState, StreamRecord
from emulator.flow.fields import NodeName, RecordOptions
from emulator.flow.ports import Capability, Hangup, OpenStream, StreamResult
from emulator.flow.streaming import (
    BLANK,
    BotApplet,
    ResolverError,
    StreamUrl,
    fail_stream,
)
from emulator.flow.urls import StreamUrlRules

# The stream was never tried (streaming spec §5.2).
NEVER_TRIED = StreamRecord(None, None, StreamResult(None, "cancelled", "user"))


class Voicebot(BotApplet):
    """A two-way stream. ``record`` keeps what caller and bot say."""

    type: Literal["voicebot"]
    url: StreamUrl
    record: RecordOptions | None = None
    next: NodeName | None = None

    def needs(self) -> Iterator[Need]:
        yield Need(Capability.STREAM)
        if self.record is not None:
            yield Need(Capability.RECORD_STREAM, ("record",))
        yield from super().needs()

    def findings(self, limits: StreamUrlRules) -> Iterator[Finding]:
        yield from super().findings(limits)
        if self.record is not None and self.record.trap:
            yield Finding(self.record.trap, ("record", "format"))

    def pass_over(self, call: CallState) -> str | None:
        call.stream = NEVER_TRIED
        return "next"

    def run(self, call: CallState) -> AppletRun:
        if self.has_fatal_blank(call):
            yield from carry_out(Hangup("a blank in the Voicebot's URL"))
            return Outcome(None, BLANK)
        record = self.record.as_recording() if self.record else None
        try:
            url = yield from self.find_bot(self.url, call)
        except ResolverError as error:
            return (
                yield from fail_stream(
                    self.url, error, call, two_way=True, record=record
                )
            )
        result = yield from carry_out(
            OpenStream(
                url=url,
                sample_rate_hz=self.rate_hz(call, url),
                codec=self.codec,
                custom_parameters=self.parameters_for(call, url),
                record=record,
            )
        )
        call.stream = StreamRecord(result.stream_sid, url, result)
        return Outcome("next", _why(result))


def _why(result: StreamResult) -> str:
    if result.status == "failed":
        return f"the stream failed: {result.error or result.detailed_status}"
    return f"the stream was {result.status}, disconnected by {result.disconnected_by}"
