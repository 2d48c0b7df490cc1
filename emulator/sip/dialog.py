"""Dialogs: identity, route set, sequence numbers, requests inside (RFC 3261 §12).

A dialog is a plain object owned by one session; it sends nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from emulator.ids import BRANCH_MAGIC_COOKIE
from emulator.sip.address import Target, Transport
from emulator.sip.errors import SipParseError
from emulator.sip.headers import Headers
from emulator.sip.message import Request, Response
from emulator.sip.nat import is_loopback, target_of_uri
from emulator.sip.party import INITIAL_MAX_FORWARDS, LocalParty, routes
from emulator.sip.uri import NameAddr, parse_name_addr, parse_sip_uri


class DialogId(NamedTuple):
    """Names a dialog as this side sees it."""

    call_id: str
    local_tag: str
    remote_tag: str


def dialog_id_of(request: Request) -> DialogId:
    """Return the dialog that an incoming request names."""
    return DialogId(request.call_id, request.to.tag or "", request.from_.tag or "")


class DialogState(Enum):
    """EARLY until a 2xx."""

    EARLY = auto()
    CONFIRMED = auto()


@dataclass
class Dialog:
    """One dialog.

    Attributes:
        local, remote: From and To of our requests, tags included.
        remote_target: URI that our requests name.
        route_set: In the order in which our requests visit the proxies.
        local_cseq: Of the last request that we sent.
        remote_cseq: Of the last request of the peer, or None.
        transport: What our requests travel over, unless a URI says otherwise.
        local_ip: The address that the peer knows us by.
        contact: Our Contact.
        observed: Goes before the Contact and, where that is unreachable, the route.
    """

    call_id: str
    local: NameAddr
    remote: NameAddr
    remote_target: str
    route_set: tuple[NameAddr, ...]
    local_cseq: int
    remote_cseq: int | None
    transport: Transport
    local_ip: str
    contact: str
    observed: Target | None = None
    state: DialogState = DialogState.EARLY

    @property
    def id(self) -> DialogId:
        """The dialog's name; the remote tag is empty with RFC 2543 peers."""
        return DialogId(self.call_id, self.local.tag or "", self.remote.tag or "")

    def accepts_cseq(self, number: int) -> bool:
        """Take the number of a request of the peer; False when it is out of order."""
        if self.remote_cseq is not None and number < self.remote_cseq:
            return False
        self.remote_cseq = number
        return True

    def refresh_target(self, message: Request | Response) -> None:
        """Take the Contact of a target refresh request or its 2xx (§12.2.1.2).

        Raises:
            SipParseError: It is no SIP URI; the target stays as it was.
        """
        if message.contacts:
            contact = message.contacts[0]
            _ = contact.sip_uri
            self.remote_target = contact.uri

    def next_cseq(self) -> int:
        """Return the number of our next request."""
        self.local_cseq += 1
        return self.local_cseq

    def request(
        self,
        method: str,
        party: LocalParty,
        branch: str,
        *,
        cseq: int | None = None,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> Request:
        """Make a request inside the dialog (§12.2.1.1).

        Args:
            cseq: Only for ACK, which repeats the number of its INVITE.
        """
        uri, route = self._request_uri_and_route()
        number = self.next_cseq() if cseq is None else cseq
        items = [
            ("Via", party.via(self.target().transport, self.local_ip, branch)),
            *routes(route),
            ("Max-Forwards", str(INITIAL_MAX_FORWARDS)),
            ("From", str(self.local)),
            ("To", str(self.remote)),
            ("Call-ID", self.call_id),
            ("CSeq", f"{number} {method}"),
            ("User-Agent", party.user_agent),
        ]
        if method in {"INVITE", "UPDATE", "REFER", "SUBSCRIBE", "NOTIFY"}:
            items.append(("Contact", self.contact))
        return Request(method, uri, Headers([*items, *headers]), body)

    @property
    def request_uri(self) -> str:
        """What our requests carry in their request line."""
        return self._request_uri_and_route()[0]

    def _request_uri_and_route(self) -> tuple[str, Sequence[NameAddr]]:
        """Loose routing, or the strict routing of RFC 2543 proxies (§12.2.1.1)."""
        if not self.route_set or _is_loose(self.route_set[0]):
            return self.remote_target, self.route_set
        first, *rest = self.route_set
        return first.uri, [*rest, NameAddr(self.remote_target)]

    def target(self) -> Target:
        """Return where requests go: the first route, or the peer itself."""
        if not self.route_set:
            return self.observed or self._target_of(self.remote_target)
        hop = self._target_of(self.route_set[0].uri)
        observed = self.observed
        if observed is not None and (
            is_loopback(hop.host) != is_loopback(observed.host)
            or observed.connection is not None
        ):
            return observed
        return hop

    def _target_of(self, uri: str) -> Target:
        return target_of_uri(parse_sip_uri(uri), self.transport)


def _is_loose(route: NameAddr) -> bool:
    return "lr" in route.sip_uri.params


def is_rfc3261(request: Request) -> bool:
    """Say whether the sender knows RFC 3261's branches."""
    return (request.via.branch or "").startswith(BRANCH_MAGIC_COOKIE)


def routes_of(
    message: Request | Response, *, reverse: bool = False
) -> tuple[NameAddr, ...]:
    """Return the route set of Record-Route; a UAC reads it backwards (§12.1.2)."""
    found = [parse_name_addr(v) for v in message.headers.values("Record-Route")]
    for route in found:
        _ = route.sip_uri
    return tuple(reversed(found)) if reverse else tuple(found)


def contact_uri(message: Request | Response) -> str:
    """Return the remote target that a dialog-forming message names.

    An RFC 2543 caller, known by a branch without the magic cookie, may leave it out;
    then From has to do.

    Raises:
        SipParseError: It names none, or no SIP URI.
    """
    if message.contacts:
        contact = message.contacts[0]
    elif isinstance(message, Request) and not is_rfc3261(message):
        contact = message.from_
    else:
        raise SipParseError("no Contact")
    _ = contact.sip_uri
    return contact.uri
