"""Digest authentication, both roles (RFC 3261 §22, RFC 7616, RFC 8760).

MD5 and SHA-256 with ``qop=auth``. A server's nonce proves itself, so that challenges
cost no memory; only nonces that a client has used successfully are remembered, for the
replay check of ``nc``.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from emulator.ids import IdSource
from emulator.sip.errors import SipParseError
from emulator.sip.message import Request, Response
from emulator.sip.uri import quoted, unquoted

ALGORITHMS: Final = ("SHA-256", "MD5")
# Long enough for the refreshes of an hour-long registration.
NONCE_LIFETIME_S: Final = 3_600.0
# Nonces in use: one per registered phone or calling trunk.
MAX_USED_NONCES: Final = 10_000
_MAX_FIELDS: Final = 32
# Answered until one answer is taken: the first, and two whose nonce was stale. More is
# a server that never will be content, and would have us ask without end.
MAX_CHALLENGES: Final = 3
# Possessive: see ``uri._NAME_ADDR``.
_FIELD = re.compile(
    r"""\s*+([A-Za-z0-9-]++)\s*+=\s*+("(?:[^"\\]|\\.)*+"|[^\s,"]*+)\s*+(?:,|\Z)"""
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and password of ours, for challenges of others."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials({self.user!r}, ***)"


def parse_digest(value: str) -> dict[str, str]:
    """Read ``Digest a="b", c=d``; names in lower case, quotes off.

    Raises:
        SipParseError: It is another scheme, or malformed.
    """
    scheme, rest = _split_scheme(value)
    if scheme != "digest":
        raise SipParseError(f"authentication scheme {scheme[:20]!r} is not Digest")
    fields: dict[str, str] = {}
    position = 0
    while position < len(rest):
        found = _FIELD.match(rest, position)
        if found is None or len(fields) >= _MAX_FIELDS:
            raise SipParseError("bad Digest fields")
        fields[found.group(1).lower()] = unquoted(found.group(2))
        position = found.end()
    return fields


def _split_scheme(value: str) -> tuple[str, str]:
    scheme, _, rest = value.strip().partition(" ")
    return scheme.lower(), rest


def digest_response(
    algorithm: str,
    user: str,
    realm: str,
    password: str,
    method: str,
    fields: dict[str, str],
) -> str:
    """Compute the ``response`` value from the other fields (RFC 7616 §3.4.1)."""
    secret = _hash(algorithm, f"{user}:{realm}:{password}")
    action = _hash(algorithm, f"{method}:{fields['uri']}")
    nonce = fields["nonce"]
    if "qop" in fields:
        nonce += f":{fields['nc']}:{fields['cnonce']}:{fields['qop']}"
    return _hash(algorithm, f"{secret}:{nonce}:{action}")


def _hash(algorithm: str, text: str) -> str:
    name = "sha256" if algorithm == "SHA-256" else "md5"
    data = text.encode("utf-8", "surrogateescape")
    return hashlib.new(name, data, usedforsecurity=False).hexdigest()


# --- the side that is challenged ---


class DigestClient:
    """Answers challenges; remembers the last one, whose nonce it reuses."""

    def __init__(self, credentials: Credentials, ids: IdSource) -> None:
        self._credentials = credentials
        self._ids = ids
        self._challenge: dict[str, str] | None = None
        self._header = "Authorization"
        self._nonce_count = 0
        self._challenges_in_a_row = 0

    def accept(self, response: Response) -> bool:
        """Take the challenge of a 401 or 407; False when trying again is pointless.

        It is so when the same credentials were refused before without ``stale``, when
        no algorithm is ours, and after ``MAX_CHALLENGES`` in a row.
        """
        challenge = _challenge_of(response)
        if challenge is None or self._challenges_in_a_row >= MAX_CHALLENGES:
            return False
        if self._challenge is not None and not _is_stale(challenge):
            return False
        self._challenges_in_a_row += 1
        self._challenge, self._nonce_count = challenge, 0
        is_proxy = response.status == 407
        self._header = "Proxy-Authorization" if is_proxy else "Authorization"
        return True

    def satisfied(self) -> None:
        """A request was taken: the next challenge is the first of a new row."""
        self._challenges_in_a_row = 0

    def headers(self, method: str, uri: str) -> list[tuple[str, str]]:
        """Return the header that answers the challenge; none without a challenge."""
        challenge = self._challenge
        if challenge is None:
            return []
        self._nonce_count += 1
        fields = {"uri": uri, "nonce": challenge["nonce"]}
        if "qop" in challenge:
            fields |= {
                "qop": "auth",
                "nc": f"{self._nonce_count:08x}",
                "cnonce": self._ids.hex(16),
            }
        algorithm = challenge.get("algorithm", "MD5").upper()
        user, realm = self._credentials.user, challenge["realm"]
        fields["response"] = digest_response(
            algorithm, user, realm, self._credentials.password, method, fields
        )
        return [(self._header, _format_authorization(user, challenge, fields))]


def calls_nonce_stale(response: Response) -> bool:
    """Say whether a response wants the same credentials with a newer nonce."""
    challenge = _challenge_of(response)
    return challenge is not None and _is_stale(challenge)


def _challenge_of(response: Response) -> dict[str, str] | None:
    is_proxy = response.status == 407
    name = "Proxy-Authenticate" if is_proxy else "WWW-Authenticate"
    return _first_usable(response.headers.all(name))


def _is_stale(challenge: dict[str, str]) -> bool:
    return challenge.get("stale", "").lower() == "true"


def _first_usable(values: Iterable[str]) -> dict[str, str] | None:
    """Return the topmost challenge that we can answer (RFC 8760 §2.4)."""
    for value in values:
        try:
            fields = parse_digest(value)
        except SipParseError:
            continue
        has_auth = "qop" not in fields or "auth" in re.split(r"[\s,]+", fields["qop"])
        known = fields.get("algorithm", "MD5").upper() in ALGORITHMS
        if known and has_auth and {"realm", "nonce"} <= fields.keys():
            return fields
    return None


def _format_authorization(
    user: str, challenge: dict[str, str], fields: dict[str, str]
) -> str:
    parts = [
        f"username={quoted(user)}",
        f"realm={quoted(challenge['realm'])}",
        f"nonce={quoted(fields['nonce'])}",
        f"uri={quoted(fields['uri'])}",
        f"response={quoted(fields['response'])}",
    ]
    if "algorithm" in challenge:
        parts.append(f"algorithm={challenge['algorithm']}")
    if "opaque" in challenge:
        parts.append(f"opaque={quoted(challenge['opaque'])}")
    if "qop" in fields:
        parts += [f"qop={fields['qop']}", f"nc={fields['nc']}"]
        parts.append(f"cnonce={quoted(fields['cnonce'])}")
    return "Digest " + ", ".join(parts)


# --- the side that challenges ---


class Problem(Enum):
    """Why a request is not authenticated."""

    MISSING = auto()
    STALE = auto()
    WRONG = auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What ``DigestServer.check`` found.

    Attributes:
        user: Who it is, when ``problem`` is None; else who it claims to be, or "".
    """

    user: str
    problem: Problem | None = None


class DigestServer:
    """Challenges requests and checks the answers.

    Args:
        password_of: Returns the password of a user name, or None.
        is_proxy: Challenge by 407 instead of 401.
        algorithms: Challenged with, the stronger first. Phones older than RFC 8760,
            baresip 1.0 among them, give up at a challenge with SHA-256 even beside
            one with MD5. Answers with either are taken.
    """

    def __init__(
        self,
        realm: str,
        password_of: Callable[[str], str | None],
        ids: IdSource,
        *,
        is_proxy: bool = False,
        algorithms: Sequence[str] = ALGORITHMS,
    ) -> None:
        self._realm = realm
        self._algorithms = algorithms
        self._password_of = password_of
        self._ids = ids
        self._secret = ids.hex(32).encode()
        self._used: OrderedDict[str, int] = OrderedDict()
        self.status = 407 if is_proxy else 401
        self._request_header = "Proxy-Authorization" if is_proxy else "Authorization"
        self._challenge_header = (
            "Proxy-Authenticate" if is_proxy else ("WWW-Authenticate")
        )

    def challenge(self, now_s: float, *, stale: bool = False) -> list[tuple[str, str]]:
        """Return one challenge per algorithm, the stronger first (RFC 8760 §2.4)."""
        nonce, realm = self._make_nonce(now_s), quoted(self._realm)
        suffix = ", stale=true" if stale else ""
        start = f'Digest realm={realm}, nonce="{nonce}", qop="auth"{suffix}'
        return [
            (self._challenge_header, f"{start}, algorithm={algorithm}")
            for algorithm in self._algorithms
        ]

    def check(self, request: Request, now_s: float) -> Verdict:
        """Say who sent the request.

        Raises:
            SipParseError: The credentials are malformed. Their URI may differ from
                the Request-URI: a proxy may have changed that (RFC 3261 §22.4).
        """
        fields = self._own_credentials(request)
        if fields is None:
            return Verdict("", Problem.MISSING)
        user = fields["username"]
        password = self._password_of(user)
        if password is None or not self._matches(request, fields, password):
            return Verdict(user, Problem.WRONG)
        if not self._is_fresh(fields, now_s):
            return Verdict(user, Problem.STALE)
        return Verdict(user)

    def _own_credentials(self, request: Request) -> dict[str, str] | None:
        """Find the credentials for our realm; others are meant for somebody else."""
        for value in request.headers.all(self._request_header):
            if _split_scheme(value)[0] != "digest":
                # Basic and Bearer say nothing to us, nor do they break what follows.
                continue
            fields = parse_digest(value)
            if fields.get("realm") != self._realm:
                continue
            needed = {"username", "nonce", "uri", "response"}
            if "qop" in fields:
                needed |= {"nc", "cnonce"}
            if not needed <= fields.keys():
                raise SipParseError("incomplete Digest credentials")
            return fields
        return None

    def _matches(self, request: Request, fields: dict[str, str], password: str) -> bool:
        algorithm = fields.get("algorithm", "MD5").upper()
        if algorithm not in ALGORITHMS or fields.get("qop", "auth").lower() != "auth":
            return False
        user = fields["username"]
        expected = digest_response(
            algorithm, user, self._realm, password, request.method, fields
        )
        return _same(expected, fields["response"].lower())

    def _is_fresh(self, fields: dict[str, str], now_s: float) -> bool:
        """The nonce is ours and young, and its count has grown (RFC 7616 §3.3)."""
        nonce = fields["nonce"]
        issued_s = self._issued_s(nonce)
        if issued_s is None or not 0 <= now_s - issued_s <= NONCE_LIFETIME_S:
            return False
        text = fields.get("nc", "00000001")
        count = int(text, 16) if re.fullmatch(r"[0-9A-Fa-f]{8}", text) else 0
        if count <= self._used.get(nonce, 0):
            return False
        self._used[nonce] = count
        self._used.move_to_end(nonce)
        if len(self._used) > MAX_USED_NONCES:
            self._used.popitem(last=False)
        return True

    def _make_nonce(self, now_s: float) -> str:
        text = f"{int(now_s * 1000):x}-{self._ids.hex(16)}"
        return f"{text}-{self._seal(text)}"

    def _issued_s(self, nonce: str) -> float | None:
        """Return when we made the nonce; None when we did not."""
        text, _, seal = nonce.rpartition("-")
        if not _same(seal, self._seal(text)):
            return None
        return int(text.partition("-")[0], 16) / 1000

    def _seal(self, text: str) -> str:
        data = text.encode("utf-8", "surrogateescape")
        return hmac.new(self._secret, data, "sha256").hexdigest()[:32]


def _same(one: str, other: str) -> bool:
    """Compare in constant time; as bytes, because a peer may write any character."""
    return hmac.compare_digest(
        one.encode("utf-8", "surrogateescape"), other.encode("utf-8", "surrogateescape")
    )
