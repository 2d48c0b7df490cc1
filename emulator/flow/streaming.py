"""What Voicebot and Stream have in common: the bot's URL and its parameters."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from emulator.flow import urls
from emulator.flow.applet import Applet, Finding, Need, Outcome, carry_out
from emulator.flow.context import CallState, StreamRecord
from emulator.flow.parameters import add_query, passthru_parameters
from emulator.flow.ports import (
    Capability,
    FailStream,
    Fetch,
    FetchResult,
    Recording,
    TellTime,
    Verb,
)

StreamUrl = Annotated[str, AfterValidator(urls.check_url)]
BLANK = "a blank in the URL: the platform hangs the call up on connect"


class BotApplet(Applet):
    """An applet that dials a bot.

    ``url`` is static (``ws``, ``wss``), or dynamic (``http``, ``https``: it answers
    ``{"url": "wss://…"}``). Its query pairs and ``custom_parameters`` reach the bot in
    ``start``. ``sample_rate`` is 8000, 16000 or 24000; ``sample-rate`` in the query
    wins over it. ``codec`` beats the setting ``stream.codec``.
    """

    url: StreamUrl | None = None
    custom_parameters: dict[Annotated[str, Field(min_length=1)], str] = {}
    codec: Literal["pcm_s16le", "mulaw"] | None = None
    sample_rate: Literal[8000, 16000, 24000] | None = None

    def needs(self) -> Iterator[Need]:
        if self.url is not None and urls.is_resolver(self.url):
            yield Need(Capability.FETCH, ("url",))
            yield Need(Capability.CLOCK, ("url",))

    def findings(self, limits: urls.StreamUrlRules) -> Iterator[Finding]:
        if self.url is None:
            return
        if urls.has_blank(self.url):
            yield Finding(BLANK, ("url",))
        if not urls.is_resolver(self.url):
            for trap in self._rate_traps(self.url, limits):
                yield Finding(trap, ("url",))
        yield from self._parameter_findings(self.url, limits)

    def _rate_traps(self, url: str, rules: urls.StreamUrlRules) -> Iterator[str]:
        yield from urls.sample_rate_traps(url, self.sample_rate, rules)

    def _parameter_findings(
        self, url: str, limits: urls.StreamUrlRules
    ) -> Iterator[Finding]:
        path = ("custom_parameters",) if self.custom_parameters else ("url",)
        count, chars = urls.count_parameters(url, self.custom_parameters, limits)
        found = urls.spell_parameters(count, chars)
        if overrun := limits.overrun(count, chars):
            yield Finding(overrun, path, is_error=True)
        elif count > limits.portable_count or chars > limits.portable_chars:
            portable = f"{limits.portable_count} and {limits.portable_chars}"
            message = f"{found}: some accounts take at most {portable}"
            yield Finding(message, path)

    def has_fatal_blank(self, call: CallState) -> bool:
        """Tell whether the call ends here for a blank in the URL (spec §7, 18)."""
        hangs_up = call.options.quirks.blank_in_url_hangs_up
        return hangs_up and self.url is not None and urls.has_blank(self.url)

    def parameters_for(self, call: CallState, url: str) -> Mapping[str, str]:
        """Return what ``start`` shall show beside the parameters of ``url`` itself.

        The flow's own values, those of the URL too, win over those of the caller.
        """
        in_url = urls.parse_query(url, call.options.stream_url).parameters
        given = call.context.sip_parameters.items()
        return {
            **{name: value for name, value in given if name not in in_url},
            **self.custom_parameters,
        }

    def rate_hz(self, call: CallState, url: str) -> int:
        """Return the sample rate of both directions when ``url`` is dialled."""
        return urls.sample_rate_hz(url, self.sample_rate, call.options.stream_url)

    def find_bot(self, url: str, call: CallState) -> Generator[Verb[Any], Any, str]:
        """Return the ``ws`` or ``wss`` URL to dial (streaming spec §1.2).

        Raises:
            ResolverError: The dynamic URL did not answer as it must, or only when the
                caller had left, or with more parameters than there is room for.
        """
        url = urls.without_blanks(url)
        if not urls.is_resolver(url):
            return url
        found = yield from _resolve(url, call)
        rules = call.options.stream_url
        counts = urls.count_parameters(found, self.custom_parameters, rules)
        if overrun := rules.overrun(*counts):
            raise ResolverError(f"the dynamic URL led to {overrun}")
        return found


def fail_stream(
    asked: str,
    error: ResolverError,
    call: CallState,
    *,
    two_way: bool,
    record: Recording | None = None,
) -> Generator[Verb[Any], Any, Outcome]:
    """Leave a failed stream for the applets that follow, as one that was dialled."""
    verb = FailStream(asked, str(error), two_way, record, call.is_caller_gone)
    result = yield from carry_out(verb)
    call.stream = StreamRecord(result.stream_sid, None, result)
    return Outcome("next", f"the stream {_what_became(verb)}: {error}")


def _what_became(verb: FailStream) -> str:
    return "was cancelled" if verb.is_cancelled else "failed"


class ResolverError(Exception):
    """A dynamic URL did not lead to a bot; the text says why."""


def _resolve(url: str, call: CallState) -> Generator[Verb[Any], Any, str]:
    now = (yield from carry_out(TellTime())).now
    asked = add_query(url, passthru_parameters(call, now))
    verb = Fetch("stream", asked, call.options.resolver_timeout_s)
    answer = yield from carry_out(verb)
    if call.is_caller_gone:
        # What it answers, nobody dials: the stream is cancelled while it is set up.
        raise ResolverError("the caller left before the dynamic URL answered")
    return _read_url(answer)


def _read_url(answer: FetchResult) -> str:
    if answer.status != 200:
        raise ResolverError(f"the dynamic URL gave {answer.status or answer.error}")
    if answer.is_cut:
        raise ResolverError("the dynamic URL gave too long a body")
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        raise ResolverError("the dynamic URL gave no JSON") from None
    url = body.get("url") if isinstance(body, dict) else None
    if not isinstance(url, str):
        raise ResolverError('the dynamic URL gave no {"url": "wss://…"}')
    try:
        return urls.check_url(url, urls.STREAM_SCHEMES)
    except ValueError as error:
        raise ResolverError(f"the url of the dynamic answer {error}") from None
