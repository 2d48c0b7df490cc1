"""Email: the call's details to an address, into the outbox (streaming spec §4.10)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from emulator.flow.applet import Applet, AppletRun, Need, Outcome, carry_out
from emulator.flow.context import CallState
from emulator.flow.fields import EmailAddress, NodeName
from emulator.flow.parameters import passthru_parameters
from emulator.flow.ports import Capability, SendMessage, TellTime


class Email(Applet):
    """Mails what a Passthru would tell to the address ``to``."""

    type: Literal["email"]
    to: EmailAddress
    subject: Annotated[str, Field(min_length=1, max_length=200)] = "A call"
    next: NodeName | None = None

    def needs(self) -> Iterator[Need]:
        yield Need(Capability.SEND_MESSAGE)
        yield Need(Capability.CLOCK)

    def run(self, call: CallState) -> AppletRun:
        now = (yield from carry_out(TellTime())).now
        pairs = passthru_parameters(call, now)
        body = "".join(f"{name}: {value}\n" for name, value in pairs)
        yield from carry_out(SendMessage("email", self.to, self.subject, body))
        return Outcome("next", f"an email to {self.to}")
