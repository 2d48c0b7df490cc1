"""Voicebot: the caller talks to a bot until one of them ends it (streaming spec §4.2).

There is one exit, whatever became of the stream: how it ended is left for a Passthru
behind it (``CallState.last_stream``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from emulator.flow import urls
from emulator.flow.applet import (
    Applet,
    AppletRun,
    Finding,
    Need,
    Outcome,
    carry_out,
)
from emulator.flow.context import CallState
from emulator.flow.fields import NodeName
from emulator.flow.ports import Capability, Hangup, OpenStream, StreamResult


class Voicebot(Applet):
    """A two-way stream.

    ``url`` is static (``ws``, ``wss``). Its query pairs and ``custom_parameters``
    reach the bot in ``start``; ``sample-rate`` in the query is 8000, 16000 or 24000.
    ``codec`` beats the setting ``stream.codec``.
    """

    type: Literal["voicebot"]
    url: Annotated[str, AfterValidator(urls.check_url)]
    custom_parameters: dict[Annotated[str, Field(min_length=1)], str] = {}
    codec: Literal["pcm_s16le", "mulaw"] | None = None
    next: NodeName | None = None

    def needs(self) -> Iterator[Need]:
        yield Need(Capability.STREAM)
        if urls.is_resolver(self.url):
            yield Need(Capability.FETCH, ("url",))

    def findings(self, limits: urls.CustomParameterLimits) -> Iterator[Finding]:
        if urls.has_blank(self.url):
            message = "a blank in the URL: the platform hangs the call up on connect"
            yield Finding(message, ("url",))
        if not urls.is_resolver(self.url):
            for trap in urls.sample_rate_traps(self.url):
                yield Finding(trap, ("url",))
        yield from self._parameter_findings(limits)

    def _parameter_findings(
        self, limits: urls.CustomParameterLimits
    ) -> Iterator[Finding]:
        path = ("custom_parameters",) if self.custom_parameters else ("url",)
        count, chars = urls.count_parameters(self.url, self.custom_parameters)
        found = f"{count} custom parameter{'s' * (count != 1)}, {chars} characters"
        if count > limits.count or chars > limits.chars:
            message = f"{found}: at most {limits.count} and {limits.chars}"
            yield Finding(message, path, is_error=True)
        elif count > limits.portable_count or chars > limits.portable_chars:
            portable = f"{limits.portable_count} and {limits.portable_chars}"
            message = f"{found}: some accounts take at most {portable}"
            yield Finding(message, path)

    def run(self, call: CallState) -> AppletRun:
        if urls.has_blank(self.url):
            yield from carry_out(Hangup("a blank in the Voicebot's URL"))
            return Outcome(None, "a blank in the URL: the platform hangs up")
        result = yield from carry_out(self._stream(call))
        call.last_stream = result
        return Outcome("next", _why(result))

    def _stream(self, call: CallState) -> OpenStream:
        return OpenStream(
            url=self.url,
            sample_rate_hz=urls.sample_rate_hz(self.url),
            codec=self.codec,
            # The flow's own values win over those that a caller can choose.
            custom_parameters={
                **call.context.sip_parameters,
                **urls.parse_query(self.url).parameters,
                **self.custom_parameters,
            },
        )


def _why(result: StreamResult) -> str:
    if result.status == "failed":
        return f"the stream failed: {result.error or result.detailed_status}"
    return f"the stream was {result.status}, disconnected by {result.disconnected_by}"
