"""IVR menu: one key, one exit (streaming spec §4.8)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emulator.flow.applet import Applet, AppletRun, Exit, Need, Outcome, carry_out
from emulator.flow.applets.gather import Repeats, Seconds
from emulator.flow.context import CallState
from emulator.flow.fields import Key, NodeName, Prompt
from emulator.flow.ports import Capability, Collect


class IvrMenu(Applet):
    """``keys`` leads each key to a node, another key or none to ``invalid``.

    The menu is played again ``repeat`` times before ``invalid`` is taken.
    """

    EXITS: ClassVar[tuple[str, ...]] = ("invalid",)

    type: Literal["ivr"]
    prompt: Prompt
    keys: Annotated[dict[Key, NodeName], Field(min_length=1)]
    timeout_s: Seconds = 5.0
    repeat: Repeats = 2
    invalid: NodeName | None = None

    def exits(self) -> Iterator[Exit]:
        for key, target in self.keys.items():
            yield Exit(f"keys.{key}", target, ("keys", key))
        yield from super().exits()

    def needs(self) -> Iterator[Need]:
        yield Need(Capability.COLLECT)
        yield Need(self.prompt.capability(), ("prompt",))

    def texts(self) -> Iterator[str]:
        yield from self.prompt.spoken_texts()

    def run(self, call: CallState) -> AppletRun:
        call.digits = None
        menu = Collect(
            (self.prompt.source(call.options.silent_greeting_ms),),
            max_digits=1,
            finish_on_key=None,
            timeout_s=self.timeout_s,
        )
        for _ in range(1 + self.repeat):
            key = (yield from carry_out(menu)).digits
            call.digits = key or call.digits
            if key in self.keys:
                return Outcome(f"keys.{key}", f"key {key}")
        why = "no key was pressed" if call.digits is None else "no such key"
        return Outcome("invalid", why)
