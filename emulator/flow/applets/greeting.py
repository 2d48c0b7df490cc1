"""Greeting: says a text or plays audio, then goes on (streaming spec §4.1)."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, Literal

from emulator.flow.applet import Applet, AppletRun, Need, Outcome, carry_out
from emulator.flow.context import CallState
from emulator.flow.fields import Audible, NodeName, WebUrl, exactly_one, spoken
from emulator.flow.parameters import add_query, greeting_parameters, mask_secrets
from emulator.flow.ports import AudioUrl, Capability, Fetch, Play, Source, Verb
from emulator.flow.urls import RESOLVER_SCHEMES, check_url
from emulator.text import printable

# A dynamic greeting is a few lines; more would keep a caller for minutes.
MAX_LINES = 20
MAX_LINE_CHARS = 1000
_METHODS: tuple[Literal["HEAD", "GET"], ...] = ("HEAD", "GET")


class Greeting(Audible, Applet):
    """Exactly one of ``text``, ``file``, ``audio_url`` and ``url``.

    ``url`` is dynamic: it answers ``text/plain`` with words or audio URLs, one per
    line, played in order. A text without a speakable word, such as the manual's
    ``...``, is a short silence.
    """

    type: Literal["greeting"]
    url: WebUrl | None = None
    next: NodeName | None = None

    _has_one_source = exactly_one("text", "file", "audio_url", "url")

    def needs(self) -> Iterator[Need]:
        if self.audio_url is not None:
            yield Need(Capability.AUDIO_URL, ("audio_url",))
        elif self.url is not None:
            yield Need(Capability.FETCH, ("url",))
            yield Need(Capability.AUDIO_URL, ("url",))
        else:
            yield Need(Capability.PLAY)

    def texts(self) -> Iterator[str]:
        yield from self.spoken_texts()

    def run(self, call: CallState) -> AppletRun:
        silence_ms = call.options.silent_greeting_ms
        if self.url is None:
            sources: tuple[Source, ...] | str = (self.source(silence_ms),)
        else:
            sources = yield from _ask(self.url, call)
        if isinstance(sources, str):
            # What the platform does is not stated; an emulator goes on and says why.
            return Outcome("next", f"nothing to play: {sources}")
        played = yield from carry_out(Play(sources))
        if played.outcome == "failed":
            return Outcome("next", f"the prompt failed: {played.error}")
        return Outcome("next", f"the prompt was {played.outcome}")


def _ask(
    url: str, call: CallState
) -> Generator[Verb[Any], Any, tuple[Source, ...] | str]:
    """Return what a dynamic URL wants played, or why there is nothing.

    HEAD comes first and must give the same headers (streaming spec §7, 8).
    """
    asked = add_query(url, greeting_parameters(call))
    quirks = call.options.quirks
    for method in _METHODS if quirks.head_before_get else _METHODS[1:]:
        verb = Fetch("greeting", asked, call.options.resolver_timeout_s, method=method)
        answer = yield from carry_out(verb)
        if answer.status != 200:
            return f"{method} gave {answer.status or answer.error}"
        if quirks.strict_content_type and answer.content_type != "text/plain":
            found = answer.content_type or "no content type"
            return f"{method} gave {found}, not exactly text/plain"
    lines = [line.strip() for line in answer.body.splitlines() if line.strip()]
    if len(lines) > MAX_LINES or any(len(line) > MAX_LINE_CHARS for line in lines):
        return f"more than {MAX_LINES} lines or {MAX_LINE_CHARS} characters in one"
    if not lines:
        return "the answer is empty"
    asked_for = [_line(line, call) for line in lines]
    usable = tuple(source for source in asked_for if source is not None)
    return usable or "no line of the answer can be played"


def _line(line: str, call: CallState) -> Source | None:
    """Return what a line wants played; None, with a note, for an unusable URL."""
    if not line.startswith(("http://", "https://")):
        text = printable(line, max_chars=MAX_LINE_CHARS)
        return spoken(text, call.options.silent_greeting_ms)
    try:
        return AudioUrl(check_url(line, RESOLVER_SCHEMES))
    except ValueError as error:
        call.note(f"{mask_secrets(line)[:200]!r} is not played: it {error}")
        return None
