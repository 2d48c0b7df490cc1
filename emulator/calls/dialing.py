"""Whom a call may reach, and the INVITEs that try: never an open relay.

A target is what a flow, the API or a PBX asks for: ``user:alice``, a declared user's
number, ``sip:<trunk sid or name>``. Only what the configuration declares is dialled;
the result is a list of attempts, tried in order until one answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol
from urllib.parse import quote

from emulator.calls import trunk_invite
from emulator.calls.trunks import owns_number
from emulator.config import Settings, SubscriberSettings, TrunkSettings, UserSettings
from emulator.config.telephone import canonical, is_number, local_format
from emulator.errors import EmulatorError
from emulator.sip.address import Target
from emulator.sip.auth import Credentials
from emulator.sip.errors import SipParseError
from emulator.sip.registrar import Binding
from emulator.sip.session import CallSession, OutgoingInvite
from emulator.sip.shape import InviteShape
from emulator.sip.uri import NameAddr, SipUri, parse_sip_uri

# Beside letters and digits, what a user part holds as it is (RFC 3261 §25.1).
_USER_CHARACTERS = "-_.!~*'()&=+$,;?/"
SINGAPORE_NOTE = (
    "a flow dials a SIP trunk; on the platform's singapore instance none does "
    "(account.region)"
)


class NotDialled(EmulatorError):
    """Nobody was rung: the target is unknown, unregistered or has no destination."""


class Phone(Protocol):
    """What dialling needs of the SIP endpoint."""

    def place_call(self, outgoing: OutgoingInvite) -> CallSession:
        """Send an INVITE."""

    def bindings(self, user: str) -> list[Binding]:
        """Return where a user is registered."""

    def advertised_ip_towards(self, host: str) -> str:
        """Return the address that SDP of a call to ``host`` should name."""

    @property
    def loopback(self) -> Target:
        """Where a call to ourselves goes."""


@dataclass(frozen=True)
class Identity:
    """Who the callee shall see, and which call this is.

    Attributes:
        number: The caller's number, or ``sip:<user>``.
        exophone: The ExoPhone that the call came over.
    """

    number: str
    exophone: str
    call_sid: str
    leg_sid: str

    @property
    def user(self) -> str:
        """The caller as the user part of a URI."""
        return quote(self.number.removeprefix("sip:"), safe=_USER_CHARACTERS)


@dataclass(frozen=True)
class Attempt:
    """One INVITE to try.

    Attributes:
        host: Where it goes; decides which of our addresses the SDP names.
        uri: Request-URI and To.
        headers: Beside those that every INVITE has.
        credentials: For a 401 or 407.
        response_timeout_s: As in ``OutgoingInvite``.
        description: The destination, for the timeline.
        srtp: The SDP offers SRTP.
        subscriber: The simulated person who answers it; the INVITE comes to us.
    """

    uri: str
    host: str
    from_: NameAddr
    headers: tuple[tuple[str, str], ...] = ()
    next_hop: Target | None = None
    dialled: str | None = None
    max_forwards: int = 70
    credentials: Credentials | None = field(default=None, repr=False)
    contact_user: str | None = None
    response_timeout_s: float | None = None
    shape: InviteShape = InviteShape()
    description: str = ""
    srtp: bool = False
    subscriber: SubscriberSettings | None = None

    def invite(self, sdp: str, ring_timeout_s: float) -> OutgoingInvite:
        """Return the INVITE with our offer."""
        return OutgoingInvite(
            target=self.uri,
            from_=self.from_,
            to=NameAddr(self.uri),
            sdp=sdp,
            headers=self.headers,
            ring_timeout_s=ring_timeout_s,
            next_hop=self.next_hop,
            dialled=self.dialled,
            max_forwards=self.max_forwards,
            credentials=self.credentials,
            contact_user=self.contact_user,
            response_timeout_s=self.response_timeout_s,
            shape=self.shape,
        )


@dataclass(frozen=True)
class Route:
    """Every way to one callee.

    Attributes:
        callee: As timelines and webhooks name it.
        at_once: Whether all attempts ring at once: one person's phones; else the next
            is tried when one has failed.
    """

    callee: str
    attempts: tuple[Attempt, ...]
    notes: tuple[str, ...] = field(default=())
    at_once: bool = False

    def rounds(self) -> Iterator[tuple[Attempt, ...]]:
        """Yield those that ring at once, in order."""
        if self.at_once:
            yield self.attempts
        else:
            yield from ((attempt,) for attempt in self.attempts)

    def with_hops(self, hops: int) -> Route:
        """Return the route with at most so many hops left (RFC 7332)."""
        attempts = tuple(
            replace(attempt, max_forwards=min(attempt.max_forwards, hops))
            for attempt in self.attempts
        )
        return replace(self, attempts=attempts)

    def with_headers(self, headers: tuple[tuple[str, str], ...]) -> Route:
        """Return the route with further header fields in every INVITE."""
        attempts = tuple(
            replace(attempt, headers=attempt.headers + headers)
            for attempt in self.attempts
        )
        return replace(self, attempts=attempts)


def find_route(
    settings: Settings, phone: Phone, target: str, identity: Identity
) -> Route:
    """Return the ways to ``target``.

    Raises:
        NotDialled: It is nobody that the configuration declares, or nobody is there.
    """
    if target.startswith("user:"):
        return _to_user(settings, phone, target.removeprefix("user:"), identity)
    if target.startswith("sip:"):
        return _to_trunk(settings, target.removeprefix("sip:"), identity)
    if is_number(target):
        return _to_number(settings, phone, target, identity)
    raise NotDialled(f"{target!r} is no user:, sip:<trunk> or telephone number")


def refer_target(settings: Settings, refer_to: str) -> str:
    """Return whom a Refer-To URI means among those that the configuration declares.

    Its user part counts: a telephone number, a user's name, a trunk's SID or name. Its
    host does not: a call goes where the configuration says.

    Raises:
        NotDialled: It is no SIP URI, or names nobody.
    """
    try:
        name = parse_sip_uri(refer_to).user_text
    except SipParseError as error:
        raise NotDialled(f"Refer-To is no sip: URI: {error}") from error
    if is_number(name):
        return name
    if any(user.name == name for user in settings.users):
        return f"user:{name}"
    return f"sip:{name}"


def _to_user(settings: Settings, phone: Phone, name: str, identity: Identity) -> Route:
    user = next((user for user in settings.users if user.name == name), None)
    if user is None:
        raise NotDialled(f"{name!r} is no declared user (users[])")
    return _ring(settings, phone, user, identity)


def _to_number(
    settings: Settings, phone: Phone, number: str, identity: Identity
) -> Route:
    wanted = canonical(number)
    for user in settings.users:
        if user.number and canonical(user.number) == wanted:
            return _ring(settings, phone, user, identity)
    for subscriber in settings.subscribers:
        if canonical(subscriber.number) == wanted:
            return _to_subscriber(settings, phone, subscriber, identity)
    for trunk in settings.trunks:
        if trunk.destinations and owns_number(trunk, wanted):
            return _over_trunk(settings, trunk, identity, wanted)
    raise NotDialled(
        f"{number} is nobody's number (users[].number, subscribers[].number, "
        "trunks[].numbers with mode pstn)"
    )


def _ring(
    settings: Settings, phone: Phone, user: UserSettings, identity: Identity
) -> Route:
    bindings, notes = _phones_of(settings, phone, user)
    if not bindings:
        why = "; ".join(notes) or f"{user.name} is not registered"
        raise NotDialled(f"{why}: no phone of theirs rings")
    from_ = NameAddr(caller_uri(settings, identity))
    headers = (("X-Exotel-CallSid", identity.call_sid),)
    attempts = [
        Attempt(
            uri=str(binding.contact),
            host=binding.target.host,
            from_=from_,
            headers=headers,
            next_hop=binding.target,
            dialled=binding.dialled,
            description=f"{user.name} at {binding.target}",
            srtp=user.srtp or settings.media.srtp == "require",
        )
        for binding in bindings
    ]
    callee = user.number or f"user:{user.name}"
    return Route(callee, tuple(attempts), notes, at_once=True)


def _phones_of(
    settings: Settings, phone: Phone, user: UserSettings
) -> tuple[list[Binding], tuple[str, ...]]:
    """Return the phones that may ring, and notes of those that may not.

    Whoever registers may name any address: ours to call is only where they sit,
    unless the settings say that Contacts are to be obeyed.
    """
    bindings = phone.bindings(user.name)
    if settings.sip.nat == "off":
        return bindings, ()
    notes = tuple(
        f"{user.name}'s contact {binding.contact} is not where it was registered from "
        "and does not ring (sip.nat)"
        for binding in bindings
        if binding.is_elsewhere
    )
    return [binding for binding in bindings if not binding.is_elsewhere], notes


def _to_subscriber(
    settings: Settings, phone: Phone, subscriber: SubscriberSettings, identity: Identity
) -> Route:
    """Ring somebody simulated: a real call, to ourselves."""
    us = phone.loopback
    where = f"{us.host}:{us.port};transport={us.transport}"
    attempt = Attempt(
        uri=f"sip:{canonical(subscriber.number)}@{where}",
        host=us.host,
        from_=NameAddr(caller_uri(settings, identity)),
        headers=(("X-Exotel-CallSid", identity.call_sid),),
        next_hop=us,
        description=f"subscriber {subscriber.number}",
        srtp=settings.media.srtp == "require",
        subscriber=subscriber,
    )
    return Route(local_format(subscriber.number), (attempt,))


def _to_trunk(settings: Settings, name: str, identity: Identity) -> Route:
    trunk, notes = find_trunk(settings.trunks, name)
    if not trunk.destinations:
        raise NotDialled(f"trunk {trunk.name} has no trunks[].destinations")
    if settings.account.region == "singapore":
        notes += (SINGAPORE_NOTE,)
    return _over_trunk(settings, trunk, identity, None, notes)


def _over_trunk(
    settings: Settings,
    trunk: TrunkSettings,
    identity: Identity,
    number: str | None,
    notes: tuple[str, ...] = (),
) -> Route:
    """Return the ways over a trunk to a number; None: to the ExoPhone."""
    attempts = [
        _trunk_attempt(settings, trunk, destination, number, identity)
        for destination in trunk.destinations
    ]
    callee = local_format(number) if number else f"sip:{trunk.sid}"
    return Route(callee, tuple(attempts), notes)


def find_trunk(
    trunks: Sequence[TrunkSettings], name: str
) -> tuple[TrunkSettings, tuple[str, ...]]:
    """Return a trunk by SID, or by name with a note.

    Raises:
        NotDialled: There is none.
    """
    for trunk in trunks:
        if trunk.sid == name:
            return trunk, ()
    for trunk in trunks:
        if trunk.name == name:
            note = f"trunk dialled by name; the platform takes its SID, sip:{trunk.sid}"
            return trunk, (note,)
    raise NotDialled(f"{name!r} is no trunk's SID or name (trunks[])")


def _trunk_attempt(
    settings: Settings,
    trunk: TrunkSettings,
    destination: str,
    number: str | None,
    identity: Identity,
) -> Attempt:
    """Return the INVITE in the shape of ``trunk_invite``."""
    where = parse_sip_uri(f"sip:{destination}")
    if number is None:
        exophone = canonical(identity.exophone)
        number = trunk_invite.number_for(trunk, where.host, exophone)
    caller = caller_uri(settings, identity)
    return Attempt(
        uri=str(SipUri("sip", number, where.host, where.port, where.params)),
        host=where.host,
        from_=NameAddr(caller),
        headers=trunk_invite.headers_for(
            trunk, caller, identity.call_sid, identity.leg_sid
        ),
        max_forwards=trunk_invite.MAX_FORWARDS,
        credentials=trunk_invite.credentials_for(trunk),
        contact_user=identity.user,
        response_timeout_s=settings.sip.destination_timeout_s,
        shape=trunk_invite.shape_for(settings.account),
        description=f"trunk {trunk.name} at {destination}",
        srtp=trunk.srtp or settings.media.srtp == "require",
    )


def caller_uri(settings: Settings, identity: Identity) -> str:
    """Return the URI of From."""
    return f"sip:{identity.user}@{account_domain(settings)}"


def account_domain(settings: Settings) -> str:
    """Return the account's SIP domain: the host of From."""
    return f"{settings.account.sid}.pstn.exotel.com"
