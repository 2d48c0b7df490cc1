"""The door: which INVITE reaches which flow, and why not.

Pure decisions over facts of the INVITE and the settings. Every refusal names the rule,
the value that broke it and the setting that would allow it; every leniency is a note.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from emulator.calls.numbers import canonical, is_e164, is_number, local_format
from emulator.config import NumberSettings, Settings, TrunkSettings, UserSettings

ACCOUNT_HEADER = "X-Exotel-AccountSid"


@dataclass(frozen=True)
class Knock:
    """The facts of an INVITE that the door looks at.

    Attributes:
        dialled: User part of the Request-URI.
        from_user: User part of the From URI.
        source_ip: Where the packet came from.
        headers: First value of each ``X-`` header, by name as typed.
    """

    dialled: str
    from_user: str
    source_ip: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def header(self, name: str) -> str | None:
        """Return a header's value, whatever its case."""
        for key, value in self.headers.items():
            if key.lower() == name.lower():
                return value
        return None


@dataclass(frozen=True)
class Admitted:
    """The call may enter.

    Attributes:
        number: The ExoPhone that was dialled.
        from_: The caller as bot and webhooks read it.
        to: The ExoPhone as bot and webhooks read it.
        sip_parameters: Custom headers, ``X-`` removed.
    """

    number: NumberSettings
    from_: str
    to: str
    sip_parameters: Mapping[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Refused:
    """The call may not enter.

    ``rule`` is a short name for tests and metrics, ``explanation`` one line for people.
    """

    status: int
    rule: str
    explanation: str


def knock(settings: Settings, facts: Knock) -> Admitted | Refused:
    """Decide about an INVITE."""
    notes: list[str] = []
    refused = _check_account(settings, facts, notes)
    if refused:
        return refused
    number = _find_number(settings, facts)
    if isinstance(number, Refused):
        return number
    if not is_e164(facts.dialled):
        notes.append(
            f"{facts.dialled} accepted; the platform wants E.164, "
            f"{canonical(facts.dialled)}"
        )
    return Admitted(
        number=number,
        from_=caller_identity(settings.users, facts.from_user),
        to=local_format(number.number),
        sip_parameters=_custom_headers(settings, number, facts, notes),
        notes=tuple(notes),
    )


def _check_account(
    settings: Settings, facts: Knock, notes: list[str]
) -> Refused | None:
    account = facts.header(ACCOUNT_HEADER)
    if account is not None:
        if account == settings.account.sid:
            return None
        return Refused(
            403,
            "account-header",
            f"{ACCOUNT_HEADER} is {account!r}, this account is "
            f"{settings.account.sid!r} (account.sid)",
        )
    if settings.sip.require_account_header:
        return Refused(
            403,
            "account-header",
            f"{ACCOUNT_HEADER} is missing (sip.require_account_header)",
        )
    if _is_trusted(settings.trunks, facts.source_ip):
        notes.append(f"{ACCOUNT_HEADER} is missing; the platform refuses such calls")
        return None
    return Refused(
        403,
        "source",
        f"{facts.source_ip} is neither loopback nor in a trunk's "
        f"trunks[].whitelisted_ips, and sent no {ACCOUNT_HEADER}",
    )


def _is_trusted(trunks: Sequence[TrunkSettings], source_ip: str) -> bool:
    address = ipaddress.ip_address(source_ip)
    return address.is_loopback or any(
        address in ipaddress.ip_network(network, strict=False)
        for trunk in trunks
        for network in trunk.whitelisted_ips
    )


def _find_number(settings: Settings, facts: Knock) -> NumberSettings | Refused:
    if not is_number(facts.dialled):
        return Refused(
            484, "number", f"{facts.dialled!r} is no telephone number; dial an ExoPhone"
        )
    wanted = canonical(facts.dialled)
    for number in settings.numbers:
        if canonical(number.number) == wanted:
            return number
    ours = ", ".join(number.number for number in settings.numbers) or "none"
    return Refused(
        404, "exophone", f"{facts.dialled} is no ExoPhone; numbers[] has {ours}"
    )


def caller_identity(users: Sequence[UserSettings], from_user: str) -> str:
    """Return the caller as the bot reads it: a user's number, else ``sip:<user>``."""
    for user in users:
        if user.name == from_user and user.number:
            return local_format(user.number)
    return f"sip:{from_user}"


def _custom_headers(
    settings: Settings, number: NumberSettings, facts: Knock, notes: list[str]
) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in settings.sip.custom_headers:
        value = facts.header(name)
        if value is None:
            continue
        limit = settings.sip.custom_header_max_bytes
        if not number.voip:
            notes.append(f"{name} not passed on: {number.number} is no voip number")
        elif len(value.encode()) > limit:
            notes.append(
                f"{name} dropped: {len(value.encode())} bytes, at most {limit} "
                "(sip.custom_header_max_bytes)"
            )
        else:
            found[name.removeprefix("X-")] = value
    return found
