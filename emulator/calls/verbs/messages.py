"""SMS and emails: into the outbox; nothing leaves the machine."""

from __future__ import annotations

from emulator.calls.verbs.stage import Stage, handler
from emulator.flow.ports import Capability, Done, SendMessage
from emulator.text import printable


async def _send_message(stage: Stage, verb: SendMessage) -> Done:
    services = stage.services
    message = services.outbox.put(
        verb.kind,
        stage.context.call_sid,
        services.clock.utc(),
        verb.to,
        verb.subject,
        verb.body,
    )
    stage.listener.record(
        "message.sent",
        message=verb.kind,
        number=message.number,
        to=printable(verb.to),
        body=printable(verb.body, keep="\n\t"),
    )
    return Done()


SEND_MESSAGE = handler(SendMessage, _send_message, Capability.SEND_MESSAGE)
