"""This side's own header fields: Via, Contact, Allow, Server; and plain responses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from emulator.sip.address import Transport, bracketed
from emulator.sip.errors import SipParseError
from emulator.sip.headers import Headers
from emulator.sip.message import Request, Response
from emulator.sip.status import reason_phrase_of
from emulator.sip.uri import NameAddr, quoted

METHODS: Final = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "UPDATE")
ACCEPT: Final = "application/sdp"
SUPPORTED: Final = "timer"
INITIAL_MAX_FORWARDS: Final = 70
# RFC 3261 §12.1.1 for 101-299; a 100 and failures need none of them.
_ECHOED: Final = ("Via", "From", "To", "Call-ID", "CSeq")
# Of a malformed request, so that its answer fits a datagram: more is cut. What comes
# back differs then, but such a sender gets an answer at all.
_MAX_ECHOED_CHARS: Final = 8_000
# The door's longest explanation, with a number of the longest that are shown.
_MAX_WARNING_CHARS: Final = 1_000
_WARNING_AGENT: Final = "exotel-emulator"

HeaderItems = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Reply:
    """A response to be: its status and the header fields beside the usual ones."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class LocalParty:
    """What this endpoint calls itself.

    Attributes:
        ports: The listening port of every transport in use.
        methods: Served by this endpoint.
    """

    user_agent: str
    ports: Mapping[Transport, int]
    methods: tuple[str, ...] = METHODS

    @property
    def allow(self) -> str:
        """The value of Allow."""
        return ", ".join(self.methods)

    def via(self, transport: Transport, ip: str, branch: str) -> str:
        """Return a Via for a request; ``rport`` asks for symmetric responses."""
        address = f"{bracketed(ip)}:{self._port(transport)}"
        return f"SIP/2.0/{transport.upper()} {address};rport;branch={branch}"

    def contact(self, transport: Transport, ip: str, user: str | None) -> str:
        """Return a Contact at which in-dialog requests reach us."""
        at = f"{user}@" if user else ""
        suffix = "" if transport == "udp" else f";transport={transport}"
        return f"<sip:{at}{bracketed(ip)}:{self._port(transport)}{suffix}>"

    def route(self, transport: Transport, ip: str) -> str:
        """Return a Record-Route that brings requests back to us."""
        suffix = "" if transport == "udp" else f";transport={transport}"
        return f"<sip:{bracketed(ip)}:{self._port(transport)}{suffix};lr>"

    def _port(self, transport: Transport) -> int:
        """A transport without a listener still carries our requests."""
        return self.ports.get(transport) or next(iter(self.ports.values()))

    def response(
        self,
        request: Request,
        status: int,
        *,
        reason_phrase: str | None = None,
        to_tag: str | None = None,
        headers: HeaderItems = (),
        body: bytes = b"",
    ) -> Response:
        """Answer ``request`` (RFC 3261 §8.2.6); a To tag is added if it has none."""
        items = [item for item in request.headers if item[0] in _ECHOED]
        if to_tag is not None and "tag" not in request.to.params:
            items = [
                (name, str(request.to.with_tag(to_tag)) if name == "To" else value)
                for name, value in items
            ]
        if status == 100:
            items += [("Timestamp", at) for at in request.headers.all("Timestamp")]
        elif status < 300:
            items += [("Record-Route", r) for r in request.headers.all("Record-Route")]
        items.append(("Server", self.user_agent))
        if reason_phrase is None:
            phrase = reason_phrase_of(status)
        else:
            phrase = " ".join(reason_phrase.splitlines())
        # The request's own fields were checked when it was parsed.
        made = (
            Headers.of_canonical(items).plus(*headers)
            if headers
            else (Headers.of_canonical(items))
        )
        return Response(status, phrase, made, body)


def tolerant_response(
    party: LocalParty, request: Request, error: SipParseError
) -> Response:
    """Answer a request whose header fields may be nonsense: they are echoed raw."""
    items = [item for item in request.headers if item[0] in _ECHOED]
    if sum(len(value) for _, value in items) > _MAX_ECHOED_CHARS:
        # The first of each, which is all that is left to tell one answer from another.
        most = _MAX_ECHOED_CHARS // len(_ECHOED)
        items = [(name, value[:most]) for name, value in reversed(items)]
        items = list(dict(items).items())[::-1]
    items += [("Server", party.user_agent), ("Warning", warning(error.reason))]
    phrase = reason_phrase_of(error.status)
    return Response(error.status, phrase, Headers.of_canonical(items))


def warning(text: str) -> str:
    """Return a Warning value that tells a human what was wrong (RFC 3261 §20.43)."""
    text = text[:_MAX_WARNING_CHARS]
    plain = "".join(c if c.isprintable() else "?" for c in text)
    return f"399 {_WARNING_AGENT} {quoted(plain)}"


def because(text: str) -> tuple[str, str]:
    """Return the Warning field of a refusal."""
    return ("Warning", warning(text))


def sdp_headers(sdp: str | None) -> tuple[list[tuple[str, str]], bytes]:
    """Return the Content-Type and the body for a description, or neither."""
    if sdp is None:
        return [], b""
    return [("Content-Type", "application/sdp")], sdp.encode()


def routes(values: Iterable[NameAddr]) -> list[tuple[str, str]]:
    """Return Route fields, one per value."""
    return [("Route", str(value)) for value in values]
