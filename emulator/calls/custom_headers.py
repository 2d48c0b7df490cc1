"""Custom SIP headers of an INVITE: which the bot may see, which are reserved.

The manuals name ``X-UUI`` and ``X-Custom-Header``, 45 bytes each, on VoIP ExoPhones.
Headers that the platform sets itself may not come from outside (REST, SIP spec §8.2).
"""

from __future__ import annotations

from collections.abc import Mapping

from emulator.config import RESERVED_HEADER_PREFIXES, NumberSettings, SipSettings

_ACCOUNT = "x-exotel-accountsid"


def surfaced_headers(
    sip: SipSettings, number: NumberSettings, headers: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """Return what the bot sees, ``X-`` removed, and a note for each that it does not.

    Args:
        headers: ``X-`` headers of the INVITE, by name as typed.
    """
    given = {name.lower(): value for name, value in headers.items()}
    found: dict[str, str] = {}
    notes: list[str] = []
    for name in sip.custom_headers:
        value = given.get(name.lower())
        if value is None:
            continue
        refusal = _refusal(sip, number, value)
        if refusal is None:
            found[name[2:] if name[:2].lower() == "x-" else name] = value
        else:
            notes.append(f"{name} {refusal}")
    return found, notes


def _refusal(sip: SipSettings, number: NumberSettings, value: str) -> str | None:
    if not number.voip:
        return f"not passed on: {number.number} is no voip number (numbers[].voip)"
    size_bytes, limit_bytes = len(value.encode()), sip.custom_header_max_bytes
    if size_bytes > limit_bytes:
        return (
            f"dropped: {size_bytes} bytes, at most {limit_bytes} "
            "(sip.custom_header_max_bytes)"
        )
    return None


def reserved_notes(headers: Mapping[str, str]) -> list[str]:
    """Return a note for each header that only the platform may set."""
    return [
        f"{name} ignored: the platform sets it itself"
        for name in headers
        if name.lower() != _ACCOUNT and is_reserved(name)
    ]


def is_reserved(name: str) -> bool:
    """Tell whether a header's name is the platform's own."""
    return name.lower().startswith(RESERVED_HEADER_PREFIXES)
