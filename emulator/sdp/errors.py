"""What can go wrong in the SDP room, beside ``emulator.errors.NegotiationError``."""

from __future__ import annotations

from emulator.errors import RemoteProtocolError


class SdpParseError(RemoteProtocolError):
    """Text that is no session description (suggests SIP 400)."""

    def __init__(self, reason: str, line: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line

    def __str__(self) -> str:
        return f"malformed SDP, line {self.line}: {self.reason}"
