"""Asks the door about each INVITE, and keeps what the door may not: state.

Digest nonces, the calls of the last minute and who is registered where live here; the
decisions themselves are pure (``door``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from emulator.calls.door import ACCOUNT_HEADER, Answer, Knock, Refused, knock
from emulator.calls.rates import CallRate
from emulator.clock import Clock
from emulator.config import Settings, TrunkSettings
from emulator.ids import IdSource
from emulator.sip.auth import DigestServer, Problem, Verdict
from emulator.sip.errors import SipParseError
from emulator.sip.session import IncomingInvite
from emulator.sip.uri import parse_sip_uri
from emulator.text import printable

CAPACITY_RETRY_AFTER_S = 10


class Doorkeeper:
    """Decides about INVITEs.

    Args:
        realm: Of digest challenges.
        registered_at: Returns the user who has registered from an address, or None.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        ids: IdSource,
        realm: str,
        registered_at: Callable[[str], str | None],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._registered_at = registered_at
        self._rate = CallRate()
        self._passwords = _passwords(settings)
        self._digest = DigestServer(
            realm,
            self._passwords.get,
            ids,
            algorithms=settings.sip.digest_algorithms,
        )

    def facts(self, invite: IncomingInvite) -> Knock:
        """Return what the door looks at.

        Raises:
            SipParseError: The credentials are malformed; suggests 400.
        """
        verdict = self._digest.check(invite.request, self._clock.monotonic_s())
        from_user, from_host = _from(invite)
        return Knock(
            dialled=printable(invite.request.sip_uri.user_text),
            from_user=printable(from_user),
            from_host=printable(from_host),
            source_ip=invite.source.ip,
            transport=invite.source.transport,
            headers=_x_headers(invite),
            registered_user=self._registered_at(invite.source.ip),
            digest=_outcome(verdict),
            digest_user=_named(verdict),
        )

    def admit(self, facts: Knock, active: int) -> Answer:
        """Decide; ``active`` calls are up."""
        limit = self._settings.calls.max_concurrent
        if active >= limit:
            return Refused(
                503, "capacity", f"{limit} calls are up (calls.max_concurrent)",
                (("Retry-After", str(CAPACITY_RETRY_AFTER_S)),),
            )  # fmt: skip
        answer = knock(self._settings, facts)
        if not isinstance(answer, Refused):
            trunk = answer.origin.trunk
            return (self._check_rate(trunk) if trunk else None) or answer
        if answer.challenge:
            challenge = self._digest.challenge(self._clock.monotonic_s())
            return replace(answer, headers=tuple(challenge))
        return answer

    def _check_rate(self, trunk: TrunkSettings) -> Refused | None:
        now_s = self._clock.monotonic_s()
        if self._rate.admit(trunk.sid, trunk.calls_per_minute, now_s):
            return None
        wait_s = self._rate.retry_after_s(trunk.sid, now_s)
        return Refused(
            503, "rate", f"trunk {trunk.name} made {trunk.calls_per_minute} calls in a "
            "minute (trunks[].calls_per_minute)", (("Retry-After", str(wait_s)),),
        )  # fmt: skip


def _passwords(settings: Settings) -> dict[str, str]:
    """Return every digest user; a trunk's name wins over a person's."""
    people = {user.name: user.password for user in settings.users}
    trunks = {
        credential.user_name: credential.password
        for trunk in settings.trunks
        for credential in trunk.credentials
    }
    return {
        name: password.get_secret_value()
        for name, password in {**people, **trunks}.items()
    }


def _named(verdict: Verdict) -> str | None:
    """Return whom the credentials name; unless they are right, for reading alone."""
    return verdict.user if verdict.problem is None else printable(verdict.user) or None


def _outcome(verdict: Verdict) -> Literal["none", "wrong", "verified"]:
    """Return the verdict for the door; a stale nonce asks again, as no credentials."""
    if verdict.problem is None:
        return "verified"
    return "wrong" if verdict.problem is Problem.WRONG else "none"


def _x_headers(invite: IncomingInvite) -> dict[str, str]:
    """Return the first value of every ``X-`` header, by name as typed.

    Two accounts are no account: the header that opens the door has all its values.
    """
    found: dict[str, str] = {}
    accounts = dict.fromkeys(invite.request.headers.all(ACCOUNT_HEADER))
    if accounts:
        found[ACCOUNT_HEADER] = printable(", ".join(accounts))
    for name, value in invite.request.headers:
        lower = name.lower()
        if lower.startswith("x-") and lower != ACCOUNT_HEADER.lower():
            found.setdefault(name, printable(value))
    return found


def _from(invite: IncomingInvite) -> tuple[str, str]:
    """Return user and host of From, which may hold any scheme, such as ``tel:``."""
    uri = invite.request.from_.uri
    try:
        parsed = parse_sip_uri(uri)
        return parsed.user_text or "anonymous", parsed.host
    except SipParseError:
        scheme, _, rest = uri.partition(":")
        is_tel = scheme.lower() == "tel"
        return rest.partition(";")[0] if is_tel else "anonymous", ""
