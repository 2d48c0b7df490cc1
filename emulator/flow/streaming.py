"""What Voicebot and Stream have in common: the bot's URL and its parameters."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from emulator.flow import urls
from emulator.flow.applet import Applet, Finding, Need, carry_out
from emulator.flow.context import CallState
from emulator.flow.parameters import add_query, passthru_parameters
from emulator.flow.ports import Capability, Fetch, FetchResult, TellTime, Verb

StreamUrl = Annotated[str, AfterValidator(urls.check_url)]
BLANK = "a blank in the URL: the platform hangs the call up on connect"


class BotApplet(Applet):
    """An applet that dials a bot.

    ``url`` is static (``ws``, ``wss``), or dynamic (``http``, ``https``: it answers
    ``{"url": "wss://…"}``). Its query pairs and ``custom_parameters`` reach the bot in
    ``start``; ``sample-rate`` in the query is 8000, 16000 or 24000. ``codec`` beats the
    setting ``stream.codec``.
    """

    url: StreamUrl | None = None
    custom_parameters: dict[Annotated[str, Field(min_length=1)], str] = {}
    codec: Literal["pcm_s16le", "mulaw"] | None = None

    def needs(self) -> Iterator[Need]:
        if self.url is not None and urls.is_resolver(self.url):
            yield Need(Capability.FETCH, ("url",))
            yield Need(Capability.CLOCK, ("url",))

    def findings(self, limits: urls.CustomParameterLimits) -> Iterator[Finding]:
        if self.url is None:
            return
        if urls.has_blank(self.url):
            yield Finding(BLANK, ("url",))
        if not urls.is_resolver(self.url):
            for trap in self._rate_traps(self.url):
                yield Finding(trap, ("url",))
        yield from self._parameter_findings(self.url, limits)

    def _rate_traps(self, url: str) -> Iterator[str]:
        yield from urls.sample_rate_traps(url)

    def _parameter_findings(
        self, url: str, limits: urls.CustomParameterLimits
    ) -> Iterator[Finding]:
        path = ("custom_parameters",) if self.custom_parameters else ("url",)
        count, chars = urls.count_parameters(url, self.custom_parameters)
        found = f"{count} custom parameter{'s' * (count != 1)}, {chars} characters"
        if count > limits.count or chars > limits.chars:
            message = f"{found}: at most {limits.count} and {limits.chars}"
            yield Finding(message, path, is_error=True)
        elif count > limits.portable_count or chars > limits.portable_chars:
            portable = f"{limits.portable_count} and {limits.portable_chars}"
            message = f"{found}: some accounts take at most {portable}"
            yield Finding(message, path)

    def has_fatal_blank(self, call: CallState) -> bool:
        """Tell whether the call ends here for a blank in the URL (spec §7, 18)."""
        hangs_up = call.options.quirks.blank_in_url_hangs_up
        return hangs_up and self.url is not None and urls.has_blank(self.url)

    def parameters_for(self, call: CallState, url: str) -> Mapping[str, str]:
        """Return all that ``start`` shall show when ``url`` is dialled.

        The flow's own values win over those that a caller can choose.
        """
        return {
            **call.context.sip_parameters,
            **urls.parse_query(url).parameters,
            **self.custom_parameters,
        }


class ResolverError(Exception):
    """A dynamic URL did not lead to a bot; the text says why."""


def find_bot(url: str, call: CallState) -> Generator[Verb[Any], Any, str]:
    """Return the ``ws`` or ``wss`` URL to dial (streaming spec §1.2).

    Raises:
        ResolverError: The dynamic URL did not answer as it must.
    """
    url = urls.without_blanks(url)
    if not urls.is_resolver(url):
        return url
    now = (yield from carry_out(TellTime())).now
    asked = add_query(url, passthru_parameters(call, now))
    verb = Fetch("stream", asked, call.options.resolver_timeout_s)
    return _read_url((yield from carry_out(verb)))


def _read_url(answer: FetchResult) -> str:
    if answer.status != 200:
        raise ResolverError(f"the dynamic URL gave {answer.status or answer.error}")
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
