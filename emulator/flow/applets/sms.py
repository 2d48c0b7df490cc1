"""SMS: a text to the caller, into the outbox (streaming spec §4.10)."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from emulator.flow.applet import Applet, AppletRun, Need, Outcome, carry_out
from emulator.flow.context import CallState
from emulator.flow.fields import NodeName, WebUrl, exactly_one
from emulator.flow.ports import Capability, SendMessage, Verb
from emulator.flow.programmable import AnswerError, check_answer, fetch

# Ten parts of an ordinary SMS; longer texts are refused by every carrier.
MAX_CHARS = 1600


class Sms(Applet):
    """A fixed ``text``, or the ``text/plain`` body that ``url`` answers.

    ``to`` is the caller unless given.
    """

    type: Literal["sms"]
    text: Annotated[str, Field(min_length=1, max_length=MAX_CHARS)] | None = None
    url: WebUrl | None = None
    to: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    next: NodeName | None = None

    _has_one_text = exactly_one("text", "url")

    def needs(self) -> Iterator[Need]:
        yield Need(Capability.SEND_MESSAGE)
        if self.url is not None:
            for capability in (Capability.FETCH, Capability.CLOCK):
                yield Need(capability, ("url",))

    def run(self, call: CallState) -> AppletRun:
        try:
            text = yield from self._text(call)
        except AnswerError as error:
            return Outcome("next", f"nothing was sent: {error}")
        to = self.to or call.context.from_
        yield from carry_out(SendMessage("sms", to, "", text))
        return Outcome("next", f"an SMS to {to}")

    def _text(self, call: CallState) -> Generator[Verb[Any], Any, str]:
        if self.url is None:
            return self.text or ""
        body = check_answer((yield from fetch("sms", self.url, call)), "text/plain")
        text = body.strip()
        if not 0 < len(text) <= MAX_CHARS:
            raise AnswerError(f"the URL gave a text of {len(text)} characters")
        return text
