"""SIP URIs and name-addr values: parse, compare, format (RFC 3261 §19.1, §20.10).

User parts and parameters keep their escapes, so that a URI goes out as it came in;
``SipUri.user_text`` is the unescaped reading.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Final, TypeAlias
from urllib.parse import unquote

from emulator.sip.errors import SipParseError

Params: TypeAlias = Mapping[str, str | None]
NO_PARAMS: Final[Params] = MappingProxyType({})

# Underscores are no host name characters, but compose services have them.
HOST_PATTERN: Final = r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_SIP_URI = re.compile(
    r"(sips?):"
    r"(?:([^\s<>\"@:]+)(?::([^\s<>\"@]*))?@)?"
    rf"({HOST_PATTERN})(?::([0-9]{{1,5}}))?"
    r"((?:;[^\s<>\"?;]+)*);?"
    r"(?:\?([^\s<>\"]*))?",
    re.IGNORECASE,
)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# What nearly every From, To and Contact looks like; only a short cut.
_COMMON_NAME_ADDR = re.compile(
    r"""(?:"([^"\\]*)"[ ]?)?<(sips?:[^<>\s]+)>(?:;tag=([^\s;",<>=]+))?"""
)
# Every quantifier takes all it can and gives nothing back (``*+``, ``++``): what peers
# send would else cost the square or the cube of its length to refuse.
_NAME_ADDR = re.compile(
    r"""\s*+(?:"((?:[^"\\]|\\.)*+)"\s*+|([^"<]*+))<\s*+([^<>\s]*+)\s*+>\s*+(.*)""",
    re.DOTALL,
)
_PARAM = re.compile(
    r"""\s*+([^\s=;"<>,]++)\s*+"""
    r"""(?:=\s*+("(?:[^"\\]|\\.)*+"|[^\s;"]*+)\s*+)?(?:;|\Z)"""
)
_ODD_IN_PARAMS = re.compile(r"[\s\"<>,]")
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_TOKEN_WORDS = re.compile(r"[A-Za-z0-9\-.!%*_+`'~ ]*")
MAX_PORT: Final = 65_535
# What was read last is kept: so many values, so long at most, half a megabyte together.
MAX_KNOWN: Final = 512
MAX_KNOWN_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class SipUri:
    """A ``sip:`` or ``sips:`` URI.

    Attributes:
        scheme: ``sip`` or ``sips``.
        user, password: As written, escapes included.
        host: Without brackets when it is an IPv6 address.
        params: Names in lower case; None is a parameter without a value.
        headers: What follows ``?``, as written.
    """

    scheme: str
    user: str | None
    host: str
    port: int | None = None
    params: Params = field(default_factory=dict)
    password: str | None = None
    headers: str | None = None

    @property
    def user_text(self) -> str:
        """The user part without escapes and user parameters; empty when absent."""
        return unquote(self.user or "").partition(";")[0]

    def with_params(self, **params: str | None) -> SipUri:
        """Return a copy with these parameters added or replaced."""
        return replace(self, params={**self.params, **params})

    def without_headers(self) -> SipUri:
        """Return the form that a Request-URI may have (RFC 3261 table 1)."""
        params = {k: v for k, v in self.params.items() if k != "method"}
        return replace(self, headers=None, params=params)

    def matches(self, other: SipUri) -> bool:
        """Compare as RFC 3261 §19.1.4 says."""
        return (
            self.scheme == other.scheme
            and unquote(self.user or "") == unquote(other.user or "")
            and (self.password or "") == (other.password or "")
            and self.host.lower() == other.host.lower()
            and self.port == other.port
            and self._params_match(other)
            and (self.headers or "") == (other.headers or "")
        )

    def _params_match(self, other: SipUri) -> bool:
        """These four count even in one URI only; others only when in both."""
        names = {"user", "ttl", "method", "maddr", "transport"}
        names |= self.params.keys() & other.params.keys()
        return all(
            (self.params.get(name) or "").lower()
            == (other.params.get(name) or "").lower()
            for name in names
        )

    def __str__(self) -> str:
        password = f":{self.password}" if self.password is not None else ""
        user = f"{self.user}{password}@" if self.user is not None else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port is not None else ""
        headers = f"?{self.headers}" if self.headers is not None else ""
        return f"{self.scheme}:{user}{host}{port}{format_params(self.params)}{headers}"


@dataclass(frozen=True, slots=True)
class NameAddr:
    """A display name, a URI and header parameters: From, To, Contact, Route.

    Attributes:
        uri: As written; any scheme. ``sip_uri`` reads it.
        display_name: Unquoted; empty when there was none.
    """

    uri: str
    display_name: str = ""
    params: Params = field(default_factory=dict)

    @property
    def tag(self) -> str | None:
        """The ``tag`` parameter of From and To."""
        return self.params.get("tag")

    @property
    def sip_uri(self) -> SipUri:
        """The URI, read.

        Raises:
            SipParseError: It is no ``sip:`` or ``sips:`` URI.
        """
        return parse_sip_uri(self.uri)

    def with_tag(self, tag: str) -> NameAddr:
        """Return a copy that carries ``tag``."""
        return NameAddr(self.uri, self.display_name, {**self.params, "tag": tag})

    def __str__(self) -> str:
        name = f"{quote_display_name(self.display_name)} " if self.display_name else ""
        return f"{name}<{self.uri}>{format_params(self.params)}"


def parse_sip_uri(text: str) -> SipUri:
    """Read a ``sip:`` or ``sips:`` URI.

    Raises:
        SipParseError: With status 416 for another scheme, else 400.
    """
    if len(text) > MAX_KNOWN_CHARS:
        return _read_sip_uri(text)
    return _known_sip_uri(text)


def _read_sip_uri(text: str) -> SipUri:
    found = _SIP_URI.fullmatch(text)
    if found is None:
        scheme = uri_scheme(text)
        if scheme in {"sip", "sips"}:
            raise SipParseError(f"bad SIP URI {text!r}")
        raise SipParseError(f"URI scheme {scheme!r} is not SIP", status=416)
    scheme, user, password, host, port, params, headers = found.groups()
    if "%" in text and _BAD_ESCAPE.search(text):
        raise SipParseError(f"bad escape in URI {text!r}")
    return SipUri(
        scheme.lower(),
        user,
        host.strip("[]"),
        parse_port(port) if port else None,
        parse_params(params[1:]) if params else NO_PARAMS,
        password,
        headers,
    )


# Parties name themselves and us in every message the same way.
_known_sip_uri = lru_cache(MAX_KNOWN)(_read_sip_uri)


def uri_scheme(text: str) -> str:
    """Return the scheme of any URI, in lower case.

    Raises:
        SipParseError: There is none.
    """
    if text.startswith("sip:"):
        return "sip"
    found = _SCHEME.match(text)
    if found is None:
        raise SipParseError(f"no URI scheme in {text!r}")
    return found.group()[:-1].lower()


def parse_port(text: str) -> int:
    """Read a port number, 1 to 65535."""
    port = int(text)
    if not 0 < port <= MAX_PORT:
        raise SipParseError(f"port {text} is out of range")
    return port


def parse_name_addr(text: str) -> NameAddr:
    """Read one name-addr or addr-spec with its header parameters.

    In the form without angle brackets parameters belong to the header field, and the
    URI may hold no comma, semicolon or question mark (RFC 3261 §20.10).
    """
    if len(text) > MAX_KNOWN_CHARS:
        return _read_name_addr(text)
    return _known_name_addr(text)


def _read_name_addr(text: str) -> NameAddr:
    common = _COMMON_NAME_ADDR.fullmatch(text)
    if common is not None:
        name, uri, tag = common.groups()
        return NameAddr(uri, name or "", {} if tag is None else {"tag": tag})
    found = _NAME_ADDR.fullmatch(text) if "<" in text else None
    if found is not None:
        quoted, plain, uri, rest = found.groups()
        name = plain.rstrip() if quoted is None else unquote_pairs(quoted)
    else:
        uri, semicolon, rest = text.strip().partition(";")
        uri, rest, name = uri.rstrip(), semicolon + rest, ""
        if '"' in uri or "<" in uri or "?" in uri or " " in uri:
            raise SipParseError(f"bad address {text!r}")
    uri_scheme(uri)
    if not rest:
        return NameAddr(uri, name)
    if rest[0] != ";":
        raise SipParseError(f"junk after the address in {text!r}")
    return NameAddr(uri, name, parse_params(rest[1:]))


# A dialog's From and To come with each of its messages.
_known_name_addr = lru_cache(MAX_KNOWN)(_read_name_addr)


def parse_params(text: str) -> Params:
    """Read ``a=1;b;c="x;y"``; names in lower case, quotes kept.

    Raises:
        SipParseError: Bad syntax, or a name with two values (RFC 3261 §7.3.1). The
            same value twice means one thing only: baresip appends a ``transport``
            that was dialled already.
    """
    if not text:
        return NO_PARAMS
    if not _ODD_IN_PARAMS.search(text):
        return _split_params(text)
    params: dict[str, str | None] = {}
    position = 0
    while position < len(text):
        found = _PARAM.match(text, position)
        if found is None:
            if text[position:].strip() in {"", ";"}:
                break
            raise SipParseError(f"bad parameters {text!r}")
        name, value = found.groups()
        name = name.lower()
        if params.get(name, value) != value:
            raise SipParseError(f"parameter {name!r} appears twice")
        params[name] = value
        position = found.end()
    return params


def _split_params(text: str) -> Params:
    """Read parameters that hold neither quotes nor white space."""
    params: dict[str, str | None] = {}
    # One semicolon too many at the end is common and harmless.
    for part in text.removesuffix(";").split(";"):
        name, equals, value = part.partition("=")
        name = name.lower()
        given = value if equals else None
        if params.get(name, given) != given:
            raise SipParseError(f"parameter {name!r} appears twice")
        if not name:
            raise SipParseError(f"bad parameters {text!r}")
        params[name] = given
    return params


def format_params(params: Params) -> str:
    """Return ``;a=1;b``, the inverse of ``parse_params``."""
    return "".join(
        f";{name}" if value is None else f";{name}={value}"
        for name, value in params.items()
    )


def unquote_pairs(text: str) -> str:
    """Undo the backslashes of a quoted string, whose quotes are already off."""
    return _QUOTED_PAIR.sub(r"\1", text) if "\\" in text else text


def unquoted(value: str) -> str:
    """Return a token or quoted string without its quotes."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        return unquote_pairs(value[1:-1])
    return value


def quoted(text: str) -> str:
    """Return ``text`` as a quoted string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def quote_display_name(name: str) -> str:
    """Return a display name as written: tokens bare, all else quoted."""
    return name if _TOKEN_WORDS.fullmatch(name) else quoted(name)
