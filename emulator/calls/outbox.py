"""SMS and emails that flows send: kept to be read, never delivered."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes:
        number: Counts from 1 without holes, forgotten ones included.
        kind: ``sms`` or ``email``.
        at: When it was sent, in UTC.
    """

    number: int
    kind: str
    call_sid: str
    at: datetime
    to: str
    subject: str
    body: str


class Outbox:
    """The newest messages of all calls; the oldest go first."""

    def __init__(self, max_messages: int) -> None:
        self._messages: deque[Message] = deque(maxlen=max_messages)
        self._count = 0

    def put(
        self, kind: str, call_sid: str, at: datetime, to: str, subject: str, body: str
    ) -> Message:
        """Keep a message and return it with its number."""
        self._count += 1
        message = Message(self._count, kind, call_sid, at, to, subject, body)
        self._messages.append(message)
        return message

    def messages(self, call_sid: str | None = None) -> list[Message]:
        """Return those of one call, or all, oldest first."""
        return [m for m in self._messages if call_sid in (None, m.call_sid)]
