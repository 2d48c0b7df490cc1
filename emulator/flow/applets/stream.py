"""Stream: forks the caller's audio to a bot that only listens (streaming spec §3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel

from emulator.flow import urls
from emulator.flow.applet import AppletRun, Need, Outcome, carry_out
from emulator.flow.context import CallState, StreamRecord
from emulator.flow.fields import NodeName, fields_together
from emulator.flow.ports import (
    Capability,
    Hangup,
    StartStream,
    StopStream,
)
from emulator.flow.streaming import BLANK, BotApplet, ResolverError, fail_stream


def _url_without_start(cls: type[BaseModel], data: Mapping[str, Any]) -> str | None:
    action, has_url = data.get("action"), data.get("url") is not None
    if action not in ("start", "stop") or (action == "start") == has_url:
        return None
    return "'url' belongs to action: start, and only to it"


class Stream(BotApplet):
    """``action: start`` begins a stream and goes on at once; it runs beside the
    applets that follow. ``action: stop`` ends the one that was started last."""

    type: Literal["stream"]
    action: Literal["start", "stop"]
    next: NodeName | None = None

    _has_url_to_start = fields_together(_url_without_start)

    def needs(self) -> Iterator[Need]:
        yield Need(Capability.FORK_STREAM)
        yield from super().needs()

    def _rate_traps(self, url: str, rules: urls.StreamUrlRules) -> Iterator[str]:
        # Without a sample-rate nothing surprises: a listener reads the start message.
        if urls.parse_query(url, rules).sample_rate is not None:
            yield from super()._rate_traps(url, rules)

    def run(self, call: CallState) -> AppletRun:
        if self.url is None:
            return (yield from self._stop(call))
        if self.has_fatal_blank(call):
            yield from carry_out(Hangup("a blank in the Stream's URL"))
            return Outcome(None, BLANK)
        try:
            url = yield from self.find_bot(self.url, call)
        except ResolverError as error:
            return (yield from fail_stream(self.url, error, call, two_way=False))
        started = yield from carry_out(
            StartStream(
                url=url,
                sample_rate_hz=self.rate_hz(call, url),
                codec=self.codec,
                custom_parameters=self.parameters_for(call, url),
            )
        )
        call.stream = StreamRecord(started.stream_sid, url, started.result)
        if refused := started.result:
            return Outcome("next", f"the stream failed: {refused.detailed_status}")
        call.live_streams.append(started.stream_sid)
        return Outcome("next", "the stream runs beside what follows")

    def _stop(self, call: CallState) -> AppletRun:
        if not call.live_streams:
            return Outcome("next", "no stream runs")
        sid = call.live_streams.pop()
        result = yield from carry_out(StopStream(sid))
        url = call.stream.url if call.stream and call.stream.stream_sid == sid else None
        call.stream = StreamRecord(sid, url, result)
        return Outcome("next", f"the stream was {result.status}")
