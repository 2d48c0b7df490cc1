"""The door: which INVITE may enter, as whose, and why not.

Pure decisions over facts of the INVITE and the settings. Every refusal names the rule,
the value that broke it and the setting that would allow it; every leniency is a note.

```text
 transport -> account header -> who is it? -> From domain -> trunk's rate -> number
                                 loopback, a registered phone, a whitelisted trunk,
                                 digest credentials; else 401, which asks for them
```
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, TypeAlias

from emulator.calls.custom_headers import reserved_notes, surfaced_headers
from emulator.calls.trunks import owns_number
from emulator.config import NumberSettings, Settings, TrunkSettings, UserSettings
from emulator.config.telephone import canonical, is_e164, is_number, local_format

ACCOUNT_HEADER = "X-Exotel-AccountSid"
# Observed beside 403 when a digest does not match.
DIGEST_MISMATCH_HEADER = ("X-Exotel-ErrorCode", "4001")
ACCOUNT_DOMAIN_SUFFIX = ".pstn.exotel.com"


@dataclass(frozen=True)
class Knock:
    """The facts of an INVITE that the door looks at.

    Attributes:
        dialled: User part of the Request-URI.
        from_user, from_host: Of the From URI.
        source_ip: Where the packet came from.
        transport: ``udp``, ``tcp`` or ``tls``.
        headers: First value of each ``X-`` header, by name as typed.
        registered_user: Who has registered from this source, if anybody.
        digest: ``none`` without credentials, ``wrong`` or ``verified``.
        digest_user: Who the credentials say they are of; believed when verified.
    """

    dialled: str
    from_user: str
    source_ip: str
    headers: Mapping[str, str] = field(default_factory=dict)
    from_host: str = ""
    transport: str = "udp"
    registered_user: str | None = None
    digest: Literal["none", "wrong", "verified"] = "none"
    digest_user: str | None = None

    def header(self, name: str) -> str | None:
        """Return a header's value, whatever its case."""
        for key, value in self.headers.items():
            if key.lower() == name.lower():
                return value
        return None


@dataclass(frozen=True)
class Origin:
    """Who is calling: a trunk, a user, or somebody on this machine."""

    trunk: TrunkSettings | None = None
    user: UserSettings | None = None


@dataclass(frozen=True)
class Admitted:
    """The call may run the flow of a number.

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
    origin: Origin
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Refused:
    """The call may not enter.

    Attributes:
        rule: A short name for tests and metrics.
        explanation: One line for people.
        headers: Further fields of the response.
        challenge: True when the caller is asked for credentials.
    """

    status: int
    rule: str
    explanation: str
    headers: tuple[tuple[str, str], ...] = ()
    challenge: bool = False


@dataclass(frozen=True)
class Terminated:
    """A trunk may call a person or another trunk: the dialled number is theirs.

    Attributes:
        from_: The trunk's number that the call comes from.
        to: The dialled number.
    """

    from_: str
    to: str
    origin: Origin
    notes: tuple[str, ...]


Answer: TypeAlias = Admitted | Terminated | Refused


def knock(settings: Settings, facts: Knock) -> Answer:
    """Decide about an INVITE."""
    notes: list[str] = []
    refused = _check_transport(settings, facts) or _check_account(settings, facts)
    if refused:
        return refused
    origin = _identify(settings, facts, notes)
    if isinstance(origin, Refused):
        return origin
    refused = _check_domain(settings, facts, origin, notes)
    if refused:
        return refused
    refused = _check_spelling(settings, facts, notes)
    if refused:
        return refused
    terminated = _to_people(settings, facts, origin, notes)
    if terminated is not None:
        return terminated
    number = _find_number(settings, facts, origin)
    if isinstance(number, Refused):
        return number
    _note_region(settings, origin, notes)
    notes += reserved_notes(facts.headers)
    parameters, dropped = surfaced_headers(settings.sip, number, facts.headers)
    return Admitted(
        number=number,
        from_=caller_identity(settings.users, facts.from_user),
        to=local_format(number.number),
        sip_parameters=parameters,
        origin=origin,
        notes=(*notes, *dropped),
    )


def _check_transport(settings: Settings, facts: Knock) -> Refused | None:
    if settings.sip.strict_transport and facts.transport == "udp":
        return Refused(
            403, "transport", "UDP, and the trunks want TCP or TLS "
            "(sip.strict_transport)",
        )  # fmt: skip
    return None


def _check_account(settings: Settings, facts: Knock) -> Refused | None:
    account = facts.header(ACCOUNT_HEADER)
    if account is not None and account != settings.account.sid:
        return Refused(
            403,
            "account-header",
            f"{ACCOUNT_HEADER} is {account!r}, this account is "
            f"{settings.account.sid!r} (account.sid)",
        )
    if account is None and settings.sip.require_account_header:
        return Refused(
            403,
            "account-header",
            f"{ACCOUNT_HEADER} is missing (sip.require_account_header)",
        )
    return None


def _identify(settings: Settings, facts: Knock, notes: list[str]) -> Origin | Refused:
    """Find out who calls; a trunk with credentials is challenged in any case."""
    if facts.digest == "wrong":
        return Refused(
            403, "digest", f"the digest credentials of {facts.digest_user!r} match "
            "none of trunks[].credentials or users[]", (DIGEST_MISMATCH_HEADER,),
        )  # fmt: skip
    if facts.digest == "verified":
        origin = _origin_of_credentials(settings, facts.digest_user or "")
        return _check_whitelist(settings, facts, origin, notes) or origin
    trunk = whitelisting_trunk(settings.trunks, facts.source_ip)
    if trunk is not None and trunk.credentials:
        return _challenge(f"trunk {trunk.name} has trunks[].credentials")
    if trunk is not None:
        _note_missing_account(facts, notes)
        return Origin(trunk=trunk)
    return _identify_phone(settings, facts, notes)


def _identify_phone(
    settings: Settings, facts: Knock, notes: list[str]
) -> Origin | Refused:
    user = _user(settings.users, facts.registered_user)
    if user is not None or _address(facts.source_ip).is_loopback:
        _note_missing_account(facts, notes)
        return Origin(user=user)
    if facts.header(ACCOUNT_HEADER) is not None:
        return _identify_by_account(settings, facts, notes)
    return _challenge(
        f"{facts.source_ip} is neither loopback, nor a registered phone, nor in "
        f"trunks[].whitelisted_ips, and sent no {ACCOUNT_HEADER}"
    )


def _identify_by_account(
    settings: Settings, facts: Knock, notes: list[str]
) -> Origin | Refused:
    """A stranger names the account: no secret, so it opens no closed door (§8.6)."""
    listed = f"{facts.source_ip} is in no trunk's whitelisted_ips"
    if _admits_by_account(settings):
        notes.append(f"{listed}; the platform refuses such calls")
        return Origin()
    if any(
        trunk.credentials and not trunk.whitelisted_ips for trunk in settings.trunks
    ):
        return _challenge(f"{listed}, and one trunk has trunks[].credentials alone")
    return Refused(
        403,
        "source",
        f"{listed}, and {ACCOUNT_HEADER} alone admits nobody "
        "(trunks[].whitelisted_ips, sip.account_header_admits)",
    )


def _admits_by_account(settings: Settings) -> bool:
    """``auto``: as long as no trunk says who may call."""
    if settings.sip.account_header_admits != "auto":
        return settings.sip.account_header_admits == "always"
    return not any(
        trunk.whitelisted_ips or trunk.credentials for trunk in settings.trunks
    )


def _challenge(why: str) -> Refused:
    return Refused(401, "source", f"{why}: credentials are asked for", challenge=True)


def _check_whitelist(
    settings: Settings, facts: Knock, origin: Origin, notes: list[str]
) -> Refused | None:
    """A trunk that has credentials and a whitelist wants both (§8.5, §8.6)."""
    trunk = origin.trunk
    if trunk is None or not trunk.whitelisted_ips:
        return None
    if whitelisting_trunk([trunk], facts.source_ip) is not None:
        return None
    why = (
        f"{facts.source_ip} has the credentials of trunk {trunk.name} and is not in "
        "its whitelist (trunks[].whitelisted_ips, sip.credentials_replace_whitelist)"
    )
    is_local = _address(facts.source_ip).is_loopback
    if not is_local and not settings.sip.credentials_replace_whitelist:
        return Refused(403, "source", why)
    notes.append(f"{why}; the platform refuses such calls")
    return None


def _origin_of_credentials(settings: Settings, name: str) -> Origin:
    for trunk in settings.trunks:
        if any(credential.user_name == name for credential in trunk.credentials):
            return Origin(trunk=trunk)
    return Origin(user=_user(settings.users, name))


def _user(users: Sequence[UserSettings], name: str | None) -> UserSettings | None:
    return next((user for user in users if user.name == name), None)


@lru_cache(maxsize=256)
def _address(ip: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(ip)


def whitelisting_trunk(
    trunks: Sequence[TrunkSettings], source_ip: str
) -> TrunkSettings | None:
    """Return the first trunk that has ``source_ip`` in its whitelist."""
    address = _address(source_ip)
    for trunk in trunks:
        for network in trunk.whitelisted_ips:
            if address in ipaddress.ip_network(network, strict=False):
                return trunk
    return None


def _note_missing_account(facts: Knock, notes: list[str]) -> None:
    if facts.header(ACCOUNT_HEADER) is None:
        notes.append(f"{ACCOUNT_HEADER} is missing; the platform refuses such calls")


def _check_domain(
    settings: Settings, facts: Knock, origin: Origin, notes: list[str]
) -> Refused | None:
    """Check From's host; a user's phone is no trunk and has its own domain."""
    wanted = f"{settings.account.sid}{ACCOUNT_DOMAIN_SUFFIX}"
    if facts.from_host.lower() == wanted or origin.user is not None:
        return None
    if settings.sip.require_account_domain:
        return Refused(
            403,
            "from-domain",
            f"From's host is {facts.from_host!r}, not {wanted!r} "
            "(sip.require_account_domain)",
        )
    notes.append(f"From's host is {facts.from_host}; the platform wants {wanted}")
    return None


def _check_spelling(
    settings: Settings, facts: Knock, notes: list[str]
) -> Refused | None:
    if not is_number(facts.dialled):
        return Refused(
            484, "number", f"{facts.dialled!r} is no telephone number; dial an ExoPhone"
        )
    if is_e164(facts.dialled):
        return None
    if settings.sip.require_e164:
        return Refused(
            484, "e164", f"{facts.dialled} is not E.164, {canonical(facts.dialled)}"
            " is (sip.require_e164)",
        )  # fmt: skip
    notes.append(
        f"{facts.dialled} accepted; the platform wants E.164, "
        f"{canonical(facts.dialled)}"
    )
    return None


def _find_number(
    settings: Settings, facts: Knock, origin: Origin
) -> NumberSettings | Refused:
    number = _exophone(settings.numbers, facts.dialled)
    if number is None:
        ours = ", ".join(number.number for number in settings.numbers) or "none"
        return Refused(
            404, "exophone", f"{facts.dialled} is no ExoPhone; numbers[] has {ours}"
        )
    return _check_mapping(number, origin)


def _to_people(
    settings: Settings, facts: Knock, origin: Origin, notes: list[str]
) -> Terminated | Refused | None:
    """Let a trunk's own number call people (§8.3); None: it is no such call.

    Only from a number that is mapped to the trunk with mode pstn: another caller id is
    not the account's to show.
    """
    trunk = origin.trunk
    own = (
        [entry.number for entry in trunk.numbers if entry.mode == "pstn"]
        if trunk
        else []
    )
    if trunk is None or not own or _exophone(settings.numbers, facts.dialled):
        return None
    if is_number(facts.from_user) and owns_number(trunk, facts.from_user):
        return Terminated(
            from_=local_format(facts.from_user),
            to=local_format(facts.dialled),
            origin=origin,
            notes=tuple(notes),
        )
    return Refused(
        403,
        "cli",
        f"From is {facts.from_user!r}; trunk {trunk.name} calls people from "
        f"{', '.join(own)} alone (trunks[].numbers with mode pstn)",
    )


def _exophone(numbers: Sequence[NumberSettings], dialled: str) -> NumberSettings | None:
    wanted = canonical(dialled)
    return next((n for n in numbers if canonical(n.number) == wanted), None)


def _check_mapping(number: NumberSettings, origin: Origin) -> NumberSettings | Refused:
    """A trunk that lists numbers reaches the flows of those with mode flow only."""
    trunk = origin.trunk
    if trunk is None or not trunk.numbers:
        return number
    wanted = canonical(number.number)
    for entry in trunk.numbers:
        if canonical(entry.number) == wanted and entry.mode == "flow":
            return number
    return Refused(
        404,
        "mapping",
        f"{number.number} is not mapped to trunk {trunk.name} with mode flow "
        "(trunks[].numbers)",
    )


def _note_region(settings: Settings, origin: Origin, notes: list[str]) -> None:
    if origin.trunk is not None and settings.account.region == "singapore":
        notes.append(
            "a SIP trunk reaches a flow; on the platform's singapore instance none "
            "does (account.region)"
        )


def caller_identity(users: Sequence[UserSettings], from_user: str) -> str:
    """Return the caller as the bot reads it: a user's number, else ``sip:<user>``."""
    for user in users:
        if user.name == from_user and user.number:
            return local_format(user.number)
    return f"sip:{from_user}"
