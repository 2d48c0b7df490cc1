"""The asyncio shell: sockets, timers and sessions around the pure user agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from emulator.clock import Clock
from emulator.ids import IdSource
from emulator.sip.address import Transport
from emulator.sip.options import SipOptions
from emulator.sip.session import CallSession, IncomingInvite, OutgoingInvite
from emulator.sip.trace import SipTrace


@dataclass(frozen=True, slots=True)
class BoundListener:
    """A socket that takes SIP."""

    transport: Transport
    ip: str
    port: int


class SipEndpoint:
    """A SIP user agent on one address: takes and places calls.

    Callbacks run on the loop. When ``on_invite`` raises, that call is answered with
    500 and the error logged; no other call notices.

    Args:
        on_invite: Called for every new call, which has been answered with 100 so far.
        observe: Called for every SIP message, also outside calls.
    """

    def __init__(
        self,
        options: SipOptions,
        clock: Clock,
        ids: IdSource,
        *,
        on_invite: Callable[[IncomingInvite], None],
        observe: Callable[[SipTrace], None] | None = None,
    ) -> None:
        raise NotImplementedError

    async def start(self) -> tuple[BoundListener, ...]:
        """Open the sockets.

        Raises:
            ListenError: Names the address, the port and the setting.
        """
        raise NotImplementedError

    def place_call(self, outgoing: OutgoingInvite) -> CallSession:
        """Send an INVITE; what comes of it arrives as events of the session.

        Raises:
            SipParseError: The target is no SIP URI.
        """
        raise NotImplementedError

    def advertised_ip_towards(self, host: str) -> str:
        """Return the address that SDP of an outgoing call to ``host`` should name."""
        raise NotImplementedError

    def stop_accepting(self) -> None:
        """Answer new calls with 503 and Retry-After from now on."""
        raise NotImplementedError

    async def stop(self, deadline_s: float) -> None:
        """Wait for open transactions, at most ``deadline_s``; then close everything."""
        raise NotImplementedError

    def counts(self) -> Mapping[str, int]:
        """Return how many transactions, dialogs, sessions, connections, timers."""
        raise NotImplementedError
