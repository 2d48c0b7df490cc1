"""Where users are: REGISTER and its bindings (RFC 3261 §10.3).

One binding per contact and user, bounded, until it expires. Who may register what is
decided by ``auth.py`` before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from emulator.sip.address import SourceAddress, Target
from emulator.sip.errors import SipParseError
from emulator.sip.message import Request
from emulator.sip.nat import is_loopback, observed_target, target_of_uri
from emulator.sip.party import Reply, because, warning
from emulator.sip.uri import NameAddr, SipUri

DEFAULT_EXPIRES_S: Final = 3_600
# Below a minute a phone's refreshes would be most of its traffic.
MIN_EXPIRES_S: Final = 60
MAX_EXPIRES_S: Final = 7_200
# Phones of one user; a person has two or three.
MAX_BINDINGS: Final = 10


@dataclass(frozen=True, slots=True)
class Binding:
    """One phone of a user.

    Attributes:
        target: Where requests to it go: its observed address where that differs
            from the contact, over the connection that it opened.
        dialled: The host by which it reached us; see ``nat.advertised_ip``.
        expires_at_s: Monotonic seconds.
        is_elsewhere: Whoever registered it does not sit at ``target``.
    """

    contact: SipUri
    target: Target
    dialled: str
    q: float
    call_id: str
    cseq: int
    expires_at_s: float
    is_elsewhere: bool = False


class Registrar:
    """The bindings of every user, in memory.

    Args:
        use_source: Call a UDP phone at its observed address where its contact cannot
            be reached; see ``nat.observed_target``.
        is_ours: Whether a listener of ours is there: no phone can be.
    """

    def __init__(
        self,
        *,
        use_source: bool = True,
        is_ours: Callable[[Target], bool] = lambda target: False,
    ) -> None:
        self._use_source = use_source
        self._is_ours = is_ours
        self._bindings: dict[str, list[Binding]] = {}

    def bindings(self, user: str, now_s: float) -> list[Binding]:
        """Return a user's phones, the preferred first; expired ones are dropped."""
        if user not in self._bindings:
            return []
        alive = [b for b in self._bindings[user] if b.expires_at_s > now_s]
        if alive:
            self._bindings[user] = alive
        else:
            del self._bindings[user]
        return sorted(alive, key=lambda binding: -binding.q)

    def count(self, now_s: float) -> int:
        """Return how many phones of all users are registered."""
        return sum(len(self.bindings(user, now_s)) for user in list(self._bindings))

    def register(
        self, user: str, request: Request, source: SourceAddress, now_s: float
    ) -> Reply:
        """Add, refresh, remove or list the bindings of ``user``: all or nothing.

        Raises:
            SipParseError: A contact is malformed.
        """
        present = self.bindings(user, now_s)
        if "*" in request.headers.values("Contact"):
            return self._remove_all(user, request, present)
        updated = list(present)
        for contact in request.contacts:
            observed = self._observed(contact, request, source)
            target = observed or target_of_uri(contact.sip_uri)
            if target.connection is None and self._is_ours(target):
                what = f"contact {contact.uri[:80]} is the emulator's own port"
                return Reply(403, (("Warning", warning(what)),))
            is_elsewhere = not _is_at(target.host, source.ip)
            refusal = _update(updated, contact, request, target, is_elsewhere, now_s)
            if refusal is not None:
                return refusal
        if len(updated) > MAX_BINDINGS:
            what = f"more than {MAX_BINDINGS} contacts"
            return Reply(403, (("Warning", warning(what)),))
        self._store(user, updated)
        return Reply(200, _contact_headers(updated, now_s))

    def _observed(
        self, contact: NameAddr, request: Request, source: SourceAddress
    ) -> Target | None:
        """The source says where the sender is, and nothing of its other contacts."""
        if contact is not request.contacts[0]:
            return None
        if source.connection is None and not self._use_source:
            return None
        return observed_target(request, source)

    def _remove_all(self, user: str, request: Request, present: list[Binding]) -> Reply:
        """``Contact: *`` stands alone and with ``Expires: 0`` (§10.2.2)."""
        alone = request.headers.values("Contact") == ["*"]
        if not alone or request.headers.get("Expires") != "0":
            return _bad("Contact: * needs Expires: 0 and no other contact")
        if any(_is_out_of_order(binding, request) for binding in present):
            return _bad("CSeq is not above that of the binding")
        self._store(user, [])
        return Reply(200)

    def _store(self, user: str, bindings: list[Binding]) -> None:
        if bindings:
            self._bindings[user] = bindings
        else:
            self._bindings.pop(user, None)


def _update(
    bindings: list[Binding],
    contact: NameAddr,
    request: Request,
    target: Target,
    is_elsewhere: bool,
    now_s: float,
) -> Reply | None:
    """Apply one contact to the list; return a refusal or None."""
    uri = contact.sip_uri
    expires_s = _expires_s(contact, request)
    if 0 < expires_s < MIN_EXPIRES_S:
        why = because(f"the expiry is below {MIN_EXPIRES_S} s")
        return Reply(423, (("Min-Expires", str(MIN_EXPIRES_S)), why))
    known = next((b for b in bindings if b.contact.matches(uri)), None)
    if known is not None:
        if _is_out_of_order(known, request):
            return _bad("CSeq is not above that of the binding")
        bindings.remove(known)
    if expires_s > 0:
        bindings.append(
            Binding(
                contact=uri,
                target=target,
                dialled=request.sip_uri.host,
                q=_q(contact),
                call_id=request.call_id,
                cseq=request.cseq.number,
                expires_at_s=now_s + min(expires_s, MAX_EXPIRES_S),
                is_elsewhere=is_elsewhere,
            )
        )
    return None


def _is_at(host: str, ip: str) -> bool:
    return host == ip or (host == "localhost" and is_loopback(ip))


def _is_out_of_order(binding: Binding, request: Request) -> bool:
    """§10.3 step 7: a late REGISTER of the same phone changes nothing."""
    same_phone = binding.call_id == request.call_id
    return same_phone and request.cseq.number <= binding.cseq


def _expires_s(contact: NameAddr, request: Request) -> int:
    """The contact's own parameter, else the header, else the default."""
    text = contact.params.get("expires") or request.headers.get("Expires")
    if text is None:
        return DEFAULT_EXPIRES_S
    if not (text.isascii() and text.isdigit()):
        # RFC 3261 §20.19: malformed values count as 3600.
        return DEFAULT_EXPIRES_S
    return int(text) if len(text) < 10 else MAX_EXPIRES_S


def _q(contact: NameAddr) -> float:
    text = contact.params.get("q") or "1"
    try:
        q = float(text)
    except ValueError:
        raise SipParseError(f"bad q {text[:10]!r}") from None
    return min(1.0, max(0.0, q))


def _contact_headers(
    bindings: list[Binding], now_s: float
) -> tuple[tuple[str, str], ...]:
    return tuple(
        ("Contact", f"<{b.contact}>;expires={max(0, round(b.expires_at_s - now_s))}")
        for b in bindings
    )


def _bad(what: str) -> Reply:
    return Reply(400, (("Warning", warning(what)),))
