"""One request outside dialogs and its final response: REGISTER, OPTIONS."""

from __future__ import annotations

from emulator.sip.address import SourceAddress, Target
from emulator.sip.auth import DigestClient
from emulator.sip.effects import Completed, Effect, StartRequest, TransactionId
from emulator.sip.headers import Headers
from emulator.sip.invite import SessionSettings
from emulator.sip.message import Request, Response
from emulator.sip.party import INITIAL_MAX_FORWARDS
from emulator.sip.session import OutgoingRequest
from emulator.sip.uri import parse_sip_uri


class RequestUsage:
    """Sends a request, once more when it is challenged, and reports the outcome.

    Raises:
        SipParseError: The target is no SIP URI.
    """

    def __init__(
        self,
        serial: int,
        settings: SessionSettings,
        outgoing: OutgoingRequest,
        target: Target,
        advertised_ip: str,
    ) -> None:
        self.serial = serial
        self.is_ended = False
        self._settings = settings
        self._outgoing = outgoing
        self._target = target
        self._ip = advertised_ip
        self._call_id = outgoing.call_id or settings.ids.call_id()
        self._from = outgoing.from_.with_tag(settings.ids.tag())
        self._uri = str(parse_sip_uri(outgoing.target).without_headers())
        self._cseq = outgoing.cseq
        credentials = outgoing.credentials
        self._digest = (
            DigestClient(credentials, settings.ids) if credentials is not None else None
        )

    def start(self) -> list[Effect]:
        """Send the request."""
        return [StartRequest(self, self._make_request(), self._target)]

    def receive_response(
        self, key: TransactionId, response: Response, source: SourceAddress
    ) -> list[Effect]:
        """Wait for the final response."""
        if response.is_provisional:
            return []
        if response.status in {401, 407} and self._digest is not None:
            if self._digest.accept(response):
                self._cseq += 1
                return self.start()
        return self._complete(response, "")

    def transaction_failed(
        self, key: TransactionId, reason: str, *, timed_out: bool
    ) -> list[Effect]:
        """No final response will come."""
        return self._complete(None, reason)

    def _complete(self, response: Response | None, reason: str) -> list[Effect]:
        self.is_ended = True
        return [Completed(self.serial, response, reason)]

    def _make_request(self) -> Request:
        outgoing, party = self._outgoing, self._settings.party
        transport, method = self._target.transport, outgoing.method
        branch = self._settings.ids.branch()
        items = [
            ("Via", party.via(transport, self._ip, branch)),
            ("Max-Forwards", str(INITIAL_MAX_FORWARDS)),
            ("From", str(self._from)),
            ("To", str(outgoing.to)),
            ("Call-ID", self._call_id),
            ("CSeq", f"{self._cseq} {method}"),
            ("User-Agent", party.user_agent),
        ]
        if outgoing.contact_user is not None:
            contact = party.contact(transport, self._ip, outgoing.contact_user)
            items.append(("Contact", contact))
        if self._digest is not None:
            items += self._digest.headers(method, self._uri)
        headers = Headers([*items, *outgoing.headers])
        return Request(method, self._uri, headers, outgoing.body)
