"""How an INVITE of ours looks where RFC 3261 leaves the choice to the caller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emulator.ids import IdSource
from emulator.sip.dialog import routes_of
from emulator.sip.errors import SipParseError
from emulator.sip.message import Response
from emulator.sip.party import SUPPORTED, LocalParty
from emulator.sip.uri import NameAddr, SipUri, parse_name_addr


@dataclass(frozen=True, slots=True)
class InviteShape:
    """What makes one caller's INVITEs differ from another's.

    Attributes:
        call_id_host: Call-ID is ``<uuid>@<host>``; None: random digits alone.
        tag_prefix: Begins the From tag, eight hex digits follow; None: 16 of them.
        allow: Methods in Allow; empty: those that are served.
        supported: Option tags in Supported.
        records_route: Record ourselves as a route, as an edge before the caller does.
        order: Names of header fields in their order on the wire; the others follow.
    """

    call_id_host: str | None = None
    tag_prefix: str | None = None
    allow: tuple[str, ...] = ()
    supported: str = SUPPORTED
    records_route: bool = False
    order: tuple[str, ...] = ()

    def call_id(self, ids: IdSource) -> str:
        """Return a new Call-ID."""
        if self.call_id_host is None:
            return ids.call_id()
        return f"{ids.uuid()}@{self.call_id_host}"

    def tag(self, ids: IdSource) -> str:
        """Return a new From tag."""
        return ids.tag() if self.tag_prefix is None else self.tag_prefix + ids.hex(8)

    def abilities(self, party: LocalParty) -> list[tuple[str, str]]:
        """Return Allow and Supported."""
        allow = ", ".join(self.allow) or party.allow
        supported = [("Supported", self.supported)] if self.supported else []
        return [("Allow", allow), *supported]

    def ordered(self, items: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return the fields in the order of the shape; equal names keep theirs."""
        ranks = {name: rank for rank, name in enumerate(self.order)}
        return sorted(items, key=lambda item: ranks.get(item[0], len(ranks)))


def route_set_of_answer(
    response: Response, own_route: str | None
) -> tuple[NameAddr, ...]:
    """Return the route set of our requests (RFC 3261 §12.1.2).

    The peer sends back every Record-Route of the INVITE. A route that we recorded
    ourselves would be the first hop, and is this very place.

    Args:
        own_route: The value that our INVITE had, or None.
    """
    found = routes_of(response, reverse=True)
    if own_route is None or not found:
        return found
    own = parse_name_addr(own_route).sip_uri
    return found[1:] if _is_same_hop(found[0], own) else found


def _is_same_hop(route: NameAddr, own: SipUri) -> bool:
    """A peer may write the parameters of the route anew."""
    try:
        uri = route.sip_uri
    except SipParseError:
        return False
    return (uri.host, uri.port) == (own.host, own.port)
