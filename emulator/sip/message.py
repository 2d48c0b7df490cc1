"""Requests and responses: parse and serialise (RFC 3261 §7, §25).

A message is immutable. What a transaction needs (Via, From, To, Call-ID, CSeq) is
checked while parsing; all other header fields are read when somebody asks, and their
readers raise ``SipParseError``.

Content-Length is not among the header fields of a parsed message: it describes the
bytes on the wire, so the serialiser writes it and the parser obeys it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, TypeAlias

from emulator.sip.body import find_part
from emulator.sip.errors import SipParseError
from emulator.sip.headers import (
    FAST_NAMES,
    TOKEN_PATTERN,
    CSeq,
    Headers,
    Via,
    canonical_name,
    lookup_key,
    parse_cseq,
    parse_via,
    split_values,
)
from emulator.sip.lazy import lazy
from emulator.sip.uri import NameAddr, SipUri, parse_name_addr, parse_sip_uri

SIP_VERSION: Final = "SIP/2.0"
MAX_HEADERS: Final = 256
# Of the fields that a response repeats: it must fit a datagram with its own beside.
# A real message has some 500.
MAX_ECHOED_BYTES: Final = 48_000
_ECHOED: Final = ("Via", "From", "To", "Call-ID", "CSeq", "Record-Route")
# RFC 3261 §20.22.
MAX_MAX_FORWARDS: Final = 255

_REQUEST_LINE = re.compile(rf"({TOKEN_PATTERN}) ([^\s]+) (SIP/[0-9]+\.[0-9]+)", re.I)
# Begins where white space begins: tried within a run of it, each would cost the square.
_FOLD = re.compile(r"(?<![ \t])[ \t]*+(?:\r\n[ \t]++)++")
# Above 699 is no class of the RFC's; dropped, such a refusal would look like silence.
_STATUS_LINE = re.compile(r"(SIP/[0-9]+\.[0-9]+) ([1-9][0-9]{2})(?: (.*))?", re.I)
_AT_MOST_ONCE: Final = frozenset(
    {
        *("From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Type", "Expires"),
        *("RSeq", "RAck"),
    }
)


class _Message:
    """What requests and responses share: header fields, read at first use."""

    headers: Headers
    body: bytes

    @lazy
    def via(self) -> Via:
        """The topmost Via."""
        first = self._single("Via")
        return parse_via(split_values(first)[0] if "," in first else first)

    @lazy
    def cseq(self) -> CSeq:
        """The CSeq."""
        return parse_cseq(self._single("CSeq"))

    @lazy
    def from_(self) -> NameAddr:
        """The From."""
        return parse_name_addr(self._single("From"))

    @lazy
    def to(self) -> NameAddr:
        """The To."""
        return parse_name_addr(self._single("To"))

    @lazy
    def call_id(self) -> str:
        """The Call-ID."""
        return self._single("Call-ID")

    @lazy
    def contacts(self) -> list[NameAddr]:
        """Every Contact, in order; the lone ``*`` of a REGISTER is not among them."""
        values = self.headers.values("Contact")
        return [parse_name_addr(value) for value in values if value != "*"]

    @lazy
    def content_type(self) -> str:
        """The media type without parameters, in lower case; empty when absent."""
        return (
            (self.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
        )

    @property
    def sdp(self) -> str | None:
        """The session description in the body, or None."""
        if not self.body:
            return None
        part = find_part(
            self.headers.get("Content-Type") or "", self.body, "application/sdp"
        )
        return None if part is None else part.decode("utf-8", "replace")

    def _single(self, name: str) -> str:
        value = self.headers.get(name)
        if not value:
            raise SipParseError(f"no {name}")
        return value

    def _format(self, start_line: str) -> bytes:
        lines = [start_line]
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines.append(f"Content-Length: {len(self.body)}\r\n\r\n")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + self.body


@dataclass(frozen=True)
class Request(_Message):
    """A SIP request.

    Attributes:
        method: As written; methods are case-sensitive.
        uri: The Request-URI as written.
    """

    method: str
    uri: str
    headers: Headers
    body: bytes = b""

    @lazy
    def sip_uri(self) -> SipUri:
        """The Request-URI, read; raises ``SipParseError`` (416 for other schemes)."""
        return parse_sip_uri(self.uri)

    @lazy
    def max_forwards(self) -> int:
        """Hops left; 70 when the header is absent (RFC 3261 §16.3 lets it be)."""
        text = self.headers.get("Max-Forwards")
        if text is None:
            return 70
        if not text.isascii() or not text.isdigit() or len(text) > 10:
            raise SipParseError(f"bad Max-Forwards {text[:20]!r}")
        if int(text) > MAX_MAX_FORWARDS:
            raise SipParseError(f"Max-Forwards {text} is above {MAX_MAX_FORWARDS}")
        return int(text)

    @property
    def summary(self) -> str:
        """The request line without the version."""
        return f"{self.method} {self.uri}"

    def to_bytes(self) -> bytes:
        """Return the message as it goes on the wire."""
        return self._format(f"{self.method} {self.uri} {SIP_VERSION}")

    def received_from(self, ip: str, port: int) -> Request:
        """Return the request with its topmost Via stamped (RFC 3261 §18.2.1)."""
        stamped = self.via.stamped(ip, port)
        if stamped == self.via:
            return self
        rest = split_values(self.headers.all("Via")[0])[1:]
        headers = self.headers.replaced("Via", ", ".join([str(stamped), *rest]))
        request = Request(self.method, self.uri, headers, self.body)
        # What was read of the other header fields need not be read again.
        request.__dict__.update(self.__dict__ | {"headers": headers, "via": stamped})
        return request


@dataclass(frozen=True)
class Response(_Message):
    """A SIP response."""

    status: int
    reason_phrase: str
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    @property
    def is_provisional(self) -> bool:
        """1xx: the transaction goes on."""
        return self.status < 200

    @property
    def is_success(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300

    @property
    def summary(self) -> str:
        """The status line without the version, with the method that it answers.

        It holds for the answer to a malformed request too, which echoes its CSeq.
        """
        method = (self.headers.get("CSeq") or "").rpartition(" ")[2]
        return f"{self.status} {self.reason_phrase} ({method})"

    def to_bytes(self) -> bytes:
        """Return the message as it goes on the wire."""
        return self._format(f"{SIP_VERSION} {self.status} {self.reason_phrase}")


Message: TypeAlias = Request | Response


def parse_message(data: bytes, *, max_headers: int = MAX_HEADERS) -> Message:
    """Read one message: a datagram, or what the framing cut out of a stream.

    Bytes beyond Content-Length are dropped; fewer are an error (RFC 3261 §18.3).

    Raises:
        SipParseError: With the request attached when it can be answered.
    """
    head, separator, rest = data.lstrip(b"\r\n").partition(b"\r\n\r\n")
    if not separator:
        head = head.rstrip(b"\r\n")
    text = head.decode("utf-8", "surrogateescape")
    if "\n " in text or "\n\t" in text:
        text = _FOLD.sub(" ", text)
    lines = text.split("\r\n")
    error = None
    if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1:
        error = SipParseError("a line does not end with CRLF")
        # What stays must not carry line ends into the answer.
        lines = [line for line in lines if "\r" not in line and "\n" not in line]
    elif len(lines) > max_headers:
        error = SipParseError(f"more than {max_headers} header fields", status=513)
        del lines[max_headers:]
    elif not separator:
        error = SipParseError("no empty line after the header fields")
    headers, length_texts, line_error = _read_headers(lines)
    body, length_error = _body_of(rest, length_texts)
    message = _start(lines[0] if lines else "", headers, body)
    error = error or line_error or length_error
    if len(head) > MAX_ECHOED_BYTES:
        error = error or _echo_error(headers)
    try:
        if error is not None:
            raise error
        _check(message)
    except SipParseError as broken:
        if isinstance(message, Request):
            broken.request = message
        raise
    return message


def _read_headers(
    lines: list[str],
) -> tuple[Headers, list[str], SipParseError | None]:
    """Return the fields without Content-Length, every Content-Length, and the error.

    Good lines beside a bad one are kept: the 400 needs them.
    """
    items: list[tuple[str, str]] = []
    index: dict[str, list[str]] = {}
    lengths: list[str] = []
    error, fast = None, FAST_NAMES
    for line in islice(lines, 1, None):
        name, colon, value = line.partition(":")
        canonical = key = fast.get(name) if colon else None
        if canonical is None or key is None:
            try:
                canonical = canonical_name(name if colon else "")
            except SipParseError:
                error = SipParseError(f"bad header line {line[:40]!r}")
                continue
            key = lookup_key(canonical)
        value = value.strip(" \t")
        if key == "Content-Length":
            lengths.append(value)
            continue
        items.append((canonical, value))
        if key in index:
            index[key].append(value)
        else:
            index[key] = [value]
    return Headers.of_canonical(items, index), lengths, error


def _echo_error(headers: Headers) -> SipParseError | None:
    """Refuse what no response to it could repeat."""
    echoed = [value for name in _ECHOED for value in headers.all(name)]
    if sum(len(value.encode("utf-8", "surrogateescape")) for value in echoed) <= (
        MAX_ECHOED_BYTES
    ):
        return None
    what = f"more than {MAX_ECHOED_BYTES} bytes of header fields to repeat"
    return SipParseError(what, status=513)


def _start(line: str, headers: Headers, body: bytes) -> Message:
    """Read the start line; a bad one is answered when it looks like a request."""
    line = line.rstrip(" \t")
    found = _REQUEST_LINE.fullmatch(line)
    if found is not None:
        method, uri, version = found.groups()
        request = Request(method, uri, headers, body)
        if version.upper() != SIP_VERSION:
            raise SipParseError(f"version {version}", status=505, request=request)
        return request
    found = _STATUS_LINE.fullmatch(line)
    if found is not None and found.group(1).upper() == SIP_VERSION:
        return Response(int(found.group(2)), found.group(3) or "", headers, body)
    error = SipParseError(f"bad start line {line[:80]!r}")
    if line[:4].upper() != "SIP/" and line.split(" ")[-1][:4].upper() == "SIP/":
        error.request = Request(line.split(" ")[0], "", headers, body)
    raise error


def _body_of(
    rest: bytes, length_texts: list[str]
) -> tuple[bytes, SipParseError | None]:
    """Return the body, or nothing and what is wrong with Content-Length."""
    if not length_texts:
        return rest, None
    text = length_texts[0]
    if len(length_texts) > 1:
        return b"", SipParseError("more than one Content-Length")
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        return b"", SipParseError(f"bad Content-Length {text[:20]!r}")
    length = int(text)
    if length > len(rest):
        what = f"Content-Length {length}, but {len(rest)} bytes follow"
        return b"", SipParseError(what)
    return rest[:length], None


def _check(message: Message) -> None:
    """Check what every layer relies on (RFC 3261 §8.1.1, §20)."""
    for name in message.headers.repeated:
        if name in _AT_MOST_ONCE:
            raise SipParseError(f"more than one {name}")
    _read_essentials(message)
    cseq = message.cseq
    if isinstance(message, Request):
        _ = message.max_forwards
        if cseq.method != message.method:
            raise SipParseError(
                f"CSeq method {cseq.method} in a {message.method} request"
            )


def _read_essentials(message: Message) -> None:
    """Read at once what every layer asks for: the same as ``lazy``, but faster."""
    fields, known = message.headers.by_name(), message.__dict__
    try:
        via = fields["Via"][0]
        known["via"] = parse_via(split_values(via)[0] if "," in via else via)
        known["from_"] = parse_name_addr(fields["From"][0])
        known["to"] = parse_name_addr(fields["To"][0])
        known["cseq"] = parse_cseq(fields["CSeq"][0])
        known["call_id"] = fields["Call-ID"][0]
    except KeyError as missing:
        raise SipParseError(f"no {missing.args[0]}") from None
    if not known["call_id"]:
        raise SipParseError("no Call-ID")
