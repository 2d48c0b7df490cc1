"""Header fields: an ordered, case-insensitive map and the typed values in it.

Names keep their order and, when unknown, their spelling; compact forms are expanded
(RFC 3261 §7.3.3). Values are text: bytes that are no UTF-8 survive a round trip.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from emulator.sip.errors import SipParseError
from emulator.sip.uri import (
    HOST_PATTERN,
    NO_PARAMS,
    Params,
    format_params,
    parse_params,
    parse_port,
)

_KNOWN: Final = """
    Accept Accept-Encoding Accept-Language Alert-Info Allow Allow-Events
    Authentication-Info Authorization Call-ID Call-Info Contact Content-Disposition
    Content-Encoding Content-Language Content-Length Content-Type CSeq Date
    Error-Info Event Expires From In-Reply-To Max-Forwards MIME-Version Min-Expires
    Min-SE Organization P-Asserted-Identity P-Early-Media Path Priority
    Proxy-Authenticate Proxy-Authorization Proxy-Require RAck Reason Record-Route
    Refer-To Referred-By Replaces Reply-To Request-Disposition Require Retry-After
    Route RSeq Server Session-Expires Subject Subscription-State Supported Timestamp
    To Unsupported User-Agent Via Warning WWW-Authenticate
"""
_COMPACT: Final = {
    "a": "Accept-Contact",
    "b": "Referred-By",
    "c": "Content-Type",
    "d": "Request-Disposition",
    "e": "Content-Encoding",
    "f": "From",
    "i": "Call-ID",
    "j": "Reject-Contact",
    "k": "Supported",
    "l": "Content-Length",
    "m": "Contact",
    "o": "Event",
    "r": "Refer-To",
    "s": "Subject",
    "t": "To",
    "u": "Allow-Events",
    "v": "Via",
    "x": "Session-Expires",
}
_CANONICAL: Final[dict[str, str]] = {
    **{name.lower(): name for name in _KNOWN.split()},
    **_COMPACT,
}
# How a name is looked up: unknown ones in lower case, known ones as they are.
_KEYS: Final[dict[str, str]] = {name: name for name in _KNOWN.split()}
# The spellings that nearly every message has, found without lower().
FAST_NAMES: Final[dict[str, str]] = {
    **{name: name for name in _KNOWN.split()},
    **_COMPACT,
}
TOKEN_PATTERN: Final = r"[A-Za-z0-9\-.!%*_+`'~]+"
_TOKEN = re.compile(TOKEN_PATTERN)
# Possessive: see ``uri._NAME_ADDR``.
_VIA = re.compile(
    r"SIP\s*+/\s*+2\.0\s*+/\s*+([A-Za-z0-9\-.!%*_+`'~]++)\s++"
    rf"({HOST_PATTERN})\s*+(?::\s*+([0-9]{{1,5}}))?\s*+(?:;(.*))?",
    re.IGNORECASE | re.DOTALL,
)
# How nearly every element writes it; only a short cut, twice as fast.
_COMMON_VIA = re.compile(
    r"SIP/2\.0/([A-Z]+) ([A-Za-z0-9._-]+)(?::([0-9]{1,5}))?(?:;([!-~]*))?"
)
_CSEQ = re.compile(rf"([0-9]++)\s++({TOKEN_PATTERN})")
# RFC 3261 §8.1.1.5: a CSeq number is below 2**31.
MAX_CSEQ: Final = 2**31 - 1


def canonical_name(name: str) -> str:
    """Return the standard's spelling of a header name; unknown names stay as they are.

    Raises:
        SipParseError: The name is no token.
    """
    fast = FAST_NAMES.get(name)
    if fast is not None:
        return fast
    stripped = name.rstrip(" \t")
    if not _TOKEN.fullmatch(stripped):
        raise SipParseError(f"bad header name {name[:40]!r}")
    return _CANONICAL.get(stripped.lower(), stripped)


def _one_line(value: str) -> str:
    if "\n" in value or "\r" in value:
        raise SipParseError(f"line end in a header value: {value[:40]!r}")
    return value


def lookup_key(name: str) -> str:
    """Return what a name is found by, in any spelling."""
    return _KEYS.get(name) or _CANONICAL.get(name.lower()) or name.lower()


class Headers:
    """An immutable, ordered list of header fields, looked up in any case.

    Raises:
        SipParseError: A name is no token, or a value holds a line end, which would
            make a header field of what follows it.
    """

    __slots__ = ("_index", "_items")

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._items = tuple(
            [
                (FAST_NAMES.get(name) or canonical_name(name), _one_line(value))
                for name, value in items
            ]
        )
        self._index: dict[str, list[str]] | None = None

    @classmethod
    def of_canonical(
        cls,
        items: Iterable[tuple[str, str]],
        index: dict[str, list[str]] | None = None,
    ) -> Headers:
        """Make a map from names that ``canonical_name`` has already seen.

        Args:
            index: The same values by ``lookup_key``, when the caller has them so.
        """
        headers = cls.__new__(cls)
        headers._items = tuple(items)
        headers._index = index
        return headers

    def get(self, name: str) -> str | None:
        """Return the first value of ``name``, or None."""
        index, key = self._index, _KEYS.get(name)
        if index is None and key is not None:
            # Of a message of ours one field or two are read: no index for that.
            for known, value in self._items:
                if known == key:
                    return value
            return None
        values = (index or self.by_name()).get(key or lookup_key(name))
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        """Return every field of ``name``, in order, each as written."""
        index = self.by_name() if self._index is None else self._index
        return index.get(_KEYS.get(name) or lookup_key(name), [])

    def values(self, name: str) -> list[str]:
        """Return every value of ``name``: fields split at their commas."""
        return [value for line in self.all(name) for value in split_values(line)]

    def tokens(self, name: str) -> list[str]:
        """Return the values of a list header in lower case, such as option tags."""
        return [value.lower() for value in self.values(name) if value]

    @property
    def repeated(self) -> list[str]:
        """The names of which there is more than one field."""
        index = self.by_name()
        if len(index) == len(self._items):
            return []
        return [name for name, values in index.items() if len(values) > 1]

    def replaced(self, name: str, value: str) -> Headers:
        """Return a copy whose first ``name`` is ``value``; added at the end if new."""
        items, wanted = list(self._items), lookup_key(name)
        for index, (present, _) in enumerate(items):
            if lookup_key(present) == wanted:
                items[index] = (present, value)
                return Headers.of_canonical(items)
        return Headers.of_canonical([*items, (canonical_name(name), value)])

    def without(self, *names: str) -> Headers:
        """Return a copy that lacks these names."""
        unwanted = {lookup_key(name) for name in names}
        return Headers.of_canonical(
            item for item in self._items if lookup_key(item[0]) not in unwanted
        )

    def plus(self, *items: tuple[str, str]) -> Headers:
        """Return a copy with these fields at the end."""
        return Headers.of_canonical((*self._items, *Headers(items)))

    def by_name(self) -> dict[str, list[str]]:
        """Return every value by ``lookup_key``; not to be changed."""
        if self._index is None:
            index: dict[str, list[str]] = {}
            for name, value in self._items:
                key = _KEYS.get(name) or lookup_key(name)
                if key in index:
                    index[key].append(value)
                else:
                    index[key] = [value]
            self._index = index
        return self._index

    def __contains__(self, name: str) -> bool:
        return lookup_key(name) in self.by_name()

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._items == other._items

    def __hash__(self) -> int:
        return hash(self._items)

    def __repr__(self) -> str:
        return f"Headers({list(self._items)!r})"


def split_values(line: str) -> list[str]:
    """Split at commas that are neither quoted nor in angle brackets."""
    if "," not in line:
        return [line.strip()]
    values: list[str] = []
    start, in_quotes, in_brackets, escaped = 0, False, False, False
    for index, char in enumerate(line):
        if escaped:
            escaped = False
        elif in_quotes:
            escaped = char == "\\"
            in_quotes = char != '"'
        elif char == '"':
            in_quotes = True
        elif char == "<":
            in_brackets = True
        elif char == ">":
            in_brackets = False
        elif char == "," and not in_brackets:
            values.append(line[start:index].strip())
            start = index + 1
    values.append(line[start:].strip())
    return values


@dataclass(frozen=True, slots=True)
class Via:
    """One Via value (RFC 3261 §20.42).

    Attributes:
        transport: As written, in upper case.
        host, port: sent-by; no brackets around IPv6.
    """

    transport: str
    host: str
    port: int | None = None
    params: Params = field(default_factory=dict)

    @property
    def branch(self) -> str | None:
        """The transaction identifier; None from an RFC 2543 element."""
        return self.params.get("branch")

    @property
    def sent_by(self) -> str:
        """Host and port as one key, in lower case."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host.lower() if self.port is None else f"{host.lower()}:{self.port}"

    def stamped(self, ip: str, port: int) -> Via:
        """Note where the message came from (RFC 3261 §18.2.1, RFC 3581 §4)."""
        params = dict(self.params)
        if "rport" in params:
            params["rport"] = str(port)
            params["received"] = ip
        elif self.host != ip:
            params["received"] = ip
        return Via(self.transport, self.host, self.port, params)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port is not None else ""
        return f"SIP/2.0/{self.transport} {host}{port}{format_params(self.params)}"


def parse_via(text: str) -> Via:
    """Read one Via value."""
    found = _COMMON_VIA.fullmatch(text) or _VIA.fullmatch(text)
    if found is None:
        raise SipParseError(f"bad Via {text[:80]!r}")
    transport, host, port, params = found.groups()
    return Via(
        transport.upper(),
        host.strip("[]"),
        parse_port(port) if port else None,
        parse_params(params) if params else NO_PARAMS,
    )


class CSeq(NamedTuple):
    """The sequence number of a request within its dialog, and its method."""

    number: int
    method: str

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


def parse_cseq(text: str) -> CSeq:
    """Read a CSeq value."""
    digits, _, method = text.partition(" ")
    if not (digits.isdigit() and digits.isascii() and _TOKEN.fullmatch(method)):
        found = _CSEQ.fullmatch(text)
        if found is None:
            raise SipParseError(f"bad CSeq {text[:80]!r}")
        digits, method = found.groups()
    # Length first: int() refuses thousands of digits with an error of its own.
    if len(digits) > 10 or int(digits) > MAX_CSEQ:
        raise SipParseError(f"CSeq number {digits[:20]} is not below 2**31")
    return CSeq(int(digits), method)
