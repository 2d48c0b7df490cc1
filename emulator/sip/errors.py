"""What can go wrong in the SIP room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.errors import LocalProtocolError, RemoteProtocolError, TransportError

if TYPE_CHECKING:
    from emulator.sip.message import Request

# A reason quotes what the peer wrote, and goes into a Warning and the log.
MAX_REASON_CHARS: Final = 160


class SipParseError(RemoteProtocolError):
    """Bytes that are no SIP message, or one that breaks a rule of its syntax.

    Attributes:
        reason: At most ``MAX_REASON_CHARS``; what is longer is cut.
        status: The response that tells the sender so.
        request: The request as far as it was understood, if it can be answered:
            its header fields are there, but their values may be nonsense.
    """

    def __init__(
        self, reason: str, *, status: int = 400, request: Request | None = None
    ) -> None:
        if len(reason) > MAX_REASON_CHARS:
            reason = reason[: MAX_REASON_CHARS - 3] + "..."
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.request = request

    def __str__(self) -> str:
        return f"malformed SIP: {self.reason}"


class RequestFailed(TransportError):
    """A request outside calls got no final response."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"no final response: {reason}")
        self.reason = reason


class SessionStateError(LocalProtocolError):
    """A verb that the session's state does not allow, such as ringing after 200."""

    def __init__(self, verb: str, state: str) -> None:
        super().__init__(f"cannot {verb} a session that is {state}")
        self.verb = verb
        self.state = state
