"""The platform's INVITE to a trunk, as captures show it (REST and SIP spec §8.4).

Whoever takes such calls reads the headers: LiveKit and ElevenLabs find the number in
the Request-URI and the call in ``X-Exotel-CallSid``.
"""

from __future__ import annotations

from typing import Final

from emulator.config import AccountSettings, TrunkSettings
from emulator.sip.auth import Credentials
from emulator.sip.nat import is_literal
from emulator.sip.shape import InviteShape

# Three hops below 70: the media server, and the edge that records itself as a route.
MAX_FORWARDS: Final = 67
# What the platform's caller names, whatever it then serves: 405 to most of them here.
ALLOW: Final = (
    "INVITE", "ACK", "CANCEL", "OPTIONS", "BYE", "REFER", "SUBSCRIBE", "NOTIFY",
    "INFO", "PUBLISH", "MESSAGE",
)  # fmt: skip
# Assumed, as the captures were printed without it: the order of the family of callers
# whose tags begin with ``as``, below the edge's Record-Route.
ORDER: Final = (
    "Record-Route", "Via", "Max-Forwards", "From", "To", "Contact", "Call-ID", "CSeq",
    "User-Agent", "Allow", "Supported", "Authorization", "Proxy-Authorization",
)  # fmt: skip
_EDGES: Final = {"mumbai": "pstn.in1.exotel.com", "singapore": "pstn.sgp1.exotel.com"}


def shape_for(account: AccountSettings) -> InviteShape:
    """Return the shape of every INVITE to a trunk of the account."""
    return InviteShape(
        call_id_host=_EDGES[account.region],
        tag_prefix="as",
        allow=ALLOW,
        supported="replaces",
        records_route=True,
        order=ORDER,
    )


def headers_for(
    trunk: TrunkSettings, caller: str, call_sid: str, leg_sid: str
) -> tuple[tuple[str, str], ...]:
    """Return the header fields that are the platform's own.

    Args:
        caller: URI of the caller.
    """
    return (
        ("P-Asserted-Identity", f"<{caller}>"),
        ("P-Early-Media", "supported"),
        ("X-Exotel-CallSid", call_sid),
        ("X-Exotel-LegSid", leg_sid),
        ("X-Exotel-TrunkSid", trunk.sid),
    )


def number_for(trunk: TrunkSettings, host: str, exophone: str) -> str:
    """Return the user part of the Request-URI: the ExoPhone, or the trunk's alias.

    The alias is for destinations that are names.
    """
    alias = trunk.external_alias
    return alias if alias and not is_literal(host) else exophone


def credentials_for(trunk: TrunkSettings) -> Credentials | None:
    """Return what answers a 401 or 407 of the trunk.

    Assumed: a trunk that is to know us by digest has the same user for both
    directions, unless the settings name another one.
    """
    entry = trunk.destination_credentials or next(iter(trunk.credentials), None)
    if entry is None:
        return None
    return Credentials(entry.user_name, entry.password.get_secret_value())
