"""What needs no session: OPTIONS and REGISTER outside dialogs (RFC 3261 §10, §11)."""

from __future__ import annotations

import logging

from emulator.ids import IdSource
from emulator.sip.address import SourceAddress, Target
from emulator.sip.auth import DigestServer, Problem
from emulator.sip.errors import SipParseError
from emulator.sip.message import Request
from emulator.sip.nat import is_own_host
from emulator.sip.options import OwnNetworks, SipOptions
from emulator.sip.party import ACCEPT, SUPPORTED, LocalParty, Reply, because, warning
from emulator.sip.registrar import Binding, Registrar
from emulator.sip.screening import objection_from

logger = logging.getLogger(__name__)
_WHO = because("REGISTER takes the credentials of a user (users[])")
_STALE = because("the nonce of these credentials is too old: take the new one")


class OutsideRequests:
    """Answers what comes from outside every call."""

    def __init__(
        self,
        options: SipOptions,
        networks: OwnNetworks,
        party: LocalParty,
        ids: IdSource,
    ) -> None:
        self._options = options
        self._networks = networks
        self._party = party
        self._registrar = Registrar(
            use_source=options.nat == "auto", is_ours=self._is_ours
        )
        self._digest = DigestServer(
            options.realm,
            options.users.get,
            ids,
            algorithms=options.digest_algorithms,
        )

    def _is_ours(self, target: Target) -> bool:
        listeners = {*self._party.ports.items(), *self._options.extra_ports}
        if (target.transport, target.port) not in listeners:
            return False
        return is_own_host(self._networks, target.host, self._options.bind_ip)

    def bindings(self, user: str, now_s: float) -> list[Binding]:
        """Return where a user is registered, the preferred phone first."""
        return self._registrar.bindings(user, now_s)

    def registrations(self, now_s: float) -> int:
        """Return how many phones are registered."""
        return self._registrar.count(now_s)

    def busy(self, text: str = "the emulator takes no new calls now") -> Reply:
        """No new work is taken now, and why."""
        logger.info("a SIP request gets 503: %s", text)
        return Reply(
            503,
            (
                ("Retry-After", str(self._options.retry_after_s)),
                ("Reason", f'SIP;cause=503;text="{text}"'),
                because(text),
            ),
        )

    def options(self, *, is_accepting: bool) -> Reply:
        """RFC 3261 §11.2; a balancer that pings learns here that we drain."""
        if not is_accepting:
            return self.busy()
        supported = [("Supported", SUPPORTED)] if SUPPORTED else []
        return Reply(
            200, (("Allow", self._party.allow), ("Accept", ACCEPT), *supported)
        )

    def register(self, request: Request, source: SourceAddress, now_s: float) -> Reply:
        """RFC 3261 §10.3: who is it, may they, then the bindings."""
        reply = self._register(request, source, now_s)
        if reply.status >= 400:
            why = dict(reply.headers).get("Warning", "")
            logger.info("REGISTER from %s gets %d: %s", source, reply.status, why)
        return reply

    def _register(self, request: Request, source: SourceAddress, now_s: float) -> Reply:
        try:
            verdict = self._digest.check(request, now_s)
            user = request.to.sip_uri.user_text
            if verdict.problem in {Problem.MISSING, Problem.STALE}:
                stale = verdict.problem is Problem.STALE
                challenge = self._digest.challenge(now_s, stale=stale)
                return Reply(401, (*challenge, _STALE if stale else _WHO))
            if verdict.problem is Problem.WRONG or verdict.user != user:
                what = warning(f"no user {user[:80]!r} with these credentials")
                return Reply(403, (("Warning", what),))
            return self._registrar.register(user, request, source, now_s)
        except SipParseError as error:
            return objection_from(error)
