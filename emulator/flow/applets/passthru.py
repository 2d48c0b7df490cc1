"""Passthru: tells a customer's server about the call, which may decide the way.

Implements streaming spec §4.4: sync waits in silence and takes the exit ``on_ok`` on
HTTP 200, ``on_other`` on anything else, a time-out included; async goes on at once.
After the caller has gone it is still sent, once, and its answer leads nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field

from emulator.flow import urls
from emulator.flow.applet import (
    Applet,
    AppletRun,
    Exit,
    Finding,
    Need,
    Outcome,
    WithoutCaller,
    carry_out,
)
from emulator.flow.context import CallState
from emulator.flow.fields import NodeName, WebUrl, fields_together
from emulator.flow.parameters import Pair, add_query, passthru_parameters
from emulator.flow.ports import Capability, Fetch, FetchResult, Hangup, TellTime
from emulator.flow.streaming import BLANK

_SYNC_EXITS = ("on_ok", "on_other")


def _exits_of_the_other_mode(
    cls: type[BaseModel], data: Mapping[str, Any]
) -> str | None:
    is_async = data.get("async", data.get("is_async", False))
    if is_async is True and any(data.get(name) for name in _SYNC_EXITS):
        return "an async Passthru has the one exit 'next'"
    if is_async is False and data.get("next"):
        return "a sync Passthru has the exits 'on_ok' and 'on_other'"
    return None


class Passthru(Applet):
    """A GET with everything that is known of the call.

    Sync has the exits ``on_ok`` (HTTP 200) and ``on_other``; ``async: true`` has the
    one exit ``next``.
    """

    EXITS: ClassVar[tuple[str, ...]] = (*_SYNC_EXITS, "next")
    WITHOUT_CALLER: ClassVar[WithoutCaller] = WithoutCaller.RUN_LAST
    EMPTY_EXIT_STAYS: ClassVar[bool] = True

    type: Literal["passthru"]
    url: WebUrl
    is_async: bool = Field(default=False, alias="async", strict=True)
    on_ok: NodeName | None = None
    on_other: NodeName | None = None
    next: NodeName | None = None

    _has_the_exits_of_its_mode = fields_together(_exits_of_the_other_mode)

    def exits(self) -> Iterator[Exit]:
        for name in ("next",) if self.is_async else _SYNC_EXITS:
            yield Exit(name, getattr(self, name), (name,))

    def pass_over(self, call: CallState) -> str | None:
        return "next" if self.is_async else "on_other"

    def needs(self) -> Iterator[Need]:
        yield Need(Capability.FETCH)
        yield Need(Capability.CLOCK)

    def findings(self, limits: urls.StreamUrlRules) -> Iterator[Finding]:
        if urls.has_blank(self.url):
            yield Finding(BLANK, ("url",))
        for way in self.exits():
            if way.target is None:
                message = (
                    f"{way.name} is empty: the call stays open and silent; "
                    "lead it to a hangup"
                )
                yield Finding(message)

    def run(self, call: CallState) -> AppletRun:
        quirks = call.options.quirks
        if quirks.blank_in_url_hangs_up and urls.has_blank(self.url):
            yield from carry_out(Hangup("a blank in the Passthru's URL"))
            return Outcome(None, BLANK)
        now = (yield from carry_out(TellTime())).now
        request = self._request(call, passthru_parameters(call, now))
        answer = yield from carry_out(request)
        if self.is_async:
            return Outcome("next", "sent, without waiting for the answer")
        call.answer = answer
        exit_ = "on_ok" if answer.status == 200 else "on_other"
        return Outcome(exit_, _why(answer))

    def _request(self, call: CallState, pairs: list[Pair]) -> Fetch:
        options = call.options.passthru
        is_post = options.method == "POST"
        url = urls.without_blanks(self.url)
        return Fetch(
            "passthru",
            url if is_post else add_query(url, pairs),
            options.timeout_s,
            method=options.method,
            form=tuple(pairs) if is_post else (),
            is_awaited=not self.is_async,
        )


def _why(answer: FetchResult) -> str:
    if answer.status is None:
        return f"no answer: {answer.error}"
    return f"the answer was {answer.status}"
