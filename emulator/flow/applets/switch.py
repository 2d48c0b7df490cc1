"""Switch Case: branches on the body of the Passthru before it (spec §4.9)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emulator.flow.applet import Applet, AppletRun, Exit, Outcome, WithoutCaller
from emulator.flow.context import CallState
from emulator.flow.fields import NodeName
from emulator.flow.ports import FetchResult
from emulator.flow.programmable import AnswerError, check_answer

FORM = 'a Switch reads 200, text/plain, {"select": "<case>"}'


class Switch(Applet):
    """``cases`` leads each selected word to a node, exactly and case-sensitively."""

    EXITS: ClassVar[tuple[str, ...]] = ("default",)
    WITHOUT_CALLER: ClassVar[WithoutCaller] = WithoutCaller.RUN

    type: Literal["switch"]
    cases: Annotated[dict[str, NodeName], Field(min_length=1)]
    default: NodeName | None = None

    def exits(self) -> Iterator[Exit]:
        for case, target in self.cases.items():
            yield Exit(f"cases.{case}", target, ("cases", case))
        yield from super().exits()

    def run(self, call: CallState) -> AppletRun:
        yield from ()
        if call.answer is None:
            return Outcome("default", "no sync Passthru came before")
        try:
            selected = _selected(call.answer)
        except AnswerError as error:
            call.note(f"{FORM}; {error}")
            return Outcome("default", str(error))
        if selected in self.cases:
            return Outcome(f"cases.{selected}", f"selected {selected!r}")
        return Outcome("default", f"{selected!r} is no case")


def _selected(answer: FetchResult) -> str:
    body = check_answer(answer, "text/plain")
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise AnswerError(f"the answer was {body[:80]!r}") from None
    selected = data.get("select") if isinstance(data, dict) else None
    if not isinstance(selected, str):
        raise AnswerError(f"the answer was {body[:80]!r}")
    return selected
