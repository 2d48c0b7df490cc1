"""SRTP keys in SDP: the ``a=crypto`` lines of SDES (RFC 4568).

    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:<key||salt>|2^31|1:4 WSH=128
             tag suite                        base64      lifetime MKI:length

Each side names the key of what *it* sends. A line that asks for more than we can do is
skipped, as the RFC wants; why is kept for the refusal when none is left. The text of a
key never appears in an error.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

# Offered in this order. Both have a master key of 16 and a salt of 14 bytes (§6.2).
SUITES: Final = ("AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32")
KEY_AND_SALT_BYTES: Final = 30
# RFC 4568 §9.2 allows 128; a longer one would not fit a packet's trailer.
MAX_MKI_BYTES: Final = 128
# A phone offers two or three; what comes after these is not read.
MAX_LINES: Final = 16
_MAX_TAG: Final = 999_999_999
_MAX_LIFETIME_BITS: Final = 48
_METHOD: Final = "inline:"


class CryptoError(ValueError):
    """A line that cannot be used; says why, without its key."""


@dataclass(frozen=True, slots=True)
class Crypto:
    """One ``a=crypto`` line.

    Attributes:
        key: Master key and salt of whoever wrote the line.
        mki_bytes: Length of the key's name in each packet; 0: none.
    """

    tag: int
    suite: str
    key: bytes = field(repr=False)
    mki_bytes: int = 0

    def __str__(self) -> str:
        text = base64.b64encode(self.key).decode()
        return f"{self.tag} {self.suite} {_METHOD}{text}"


@dataclass(frozen=True, slots=True)
class LocalCrypto:
    """Our side of SRTP, for the whole call.

    Attributes:
        keys: Our master key and salt for each suite that we speak.
        is_required: Refuse audio without it.
        is_offered: Our own offers are ``RTP/SAVP``.
    """

    keys: Mapping[str, bytes] = field(repr=False)
    is_required: bool = False
    is_offered: bool = False

    def lines(self) -> tuple[Crypto, ...]:
        """Return the lines of our offer."""
        return tuple(
            Crypto(tag, suite, key)
            for tag, (suite, key) in enumerate(self.keys.items(), start=1)
        )


@dataclass(frozen=True, slots=True)
class AgreedCrypto:
    """The lines of both sides; suite and tag are the same."""

    local: Crypto
    remote: Crypto


def parse_crypto(value: str) -> Crypto:
    """Read the value of one ``a=crypto`` attribute.

    Raises:
        CryptoError: It is malformed, or asks for what we cannot do.
    """
    fields = value.split()
    if len(fields) < 3:
        raise CryptoError("no tag, suite and key")
    tag, suite, key, *parameters = fields
    if not _is_number(tag) or int(tag) > _MAX_TAG:
        raise CryptoError("its tag is no number")
    if suite not in SUITES:
        raise CryptoError(f"suite {suite[:40]} is unknown")
    for parameter in parameters:
        _check_parameter(parameter)
    key_bytes, mki_bytes = _parse_key(key)
    return Crypto(int(tag), suite, key_bytes, mki_bytes)


def choose_from_offer(
    lines: list[str], local: LocalCrypto
) -> tuple[AgreedCrypto | None, list[str]]:
    """Take the first line of an offer that we can serve; else say why each cannot."""
    problems = []
    for value in lines[:MAX_LINES]:
        try:
            remote = parse_crypto(value)
        except CryptoError as error:
            problems.append(str(error))
            continue
        ours = Crypto(remote.tag, remote.suite, local.keys[remote.suite])
        return AgreedCrypto(ours, remote), []
    return None, problems or ["there is no a=crypto line"]


def match_answer(
    lines: list[str], local: LocalCrypto
) -> tuple[AgreedCrypto | None, list[str]]:
    """Return our line that the peer's answer took, and its own; else why not."""
    if len(lines) != 1:
        return None, [f"{len(lines)} a=crypto lines instead of one"]
    try:
        remote = parse_crypto(lines[0])
    except CryptoError as error:
        return None, [str(error)]
    for ours in local.lines():
        if (ours.tag, ours.suite) == (remote.tag, remote.suite):
            return AgreedCrypto(ours, remote), []
    return None, [f"tag {remote.tag} with {remote.suite} is none of our lines"]


def _check_parameter(parameter: str) -> None:
    """Let through the session parameters that change nothing for us (§6.3)."""
    name, _, value = parameter.partition("=")
    # A window of replays is each receiver's own affair; "-" marks what may be ignored.
    is_harmless = name == "WSH" or (name, value) == ("KDR", "0") or name[:1] == "-"
    if not is_harmless:
        raise CryptoError(f"session parameter {name[:40]} is not supported")


def _parse_key(text: str) -> tuple[bytes, int]:
    """Return master key and salt, and the length of its MKI."""
    if ";" in text:
        raise CryptoError("several keys in one line are not supported")
    if text[: len(_METHOD)].lower() != _METHOD:
        raise CryptoError("its key method is not inline")
    encoded, *rest = text[len(_METHOD) :].split("|")
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise CryptoError("its key is no base64") from None
    if len(key) != KEY_AND_SALT_BYTES:
        raise CryptoError(f"its key has {len(key)} bytes, not {KEY_AND_SALT_BYTES}")
    return key, _parse_lifetime_and_mki(rest)


def _parse_lifetime_and_mki(fields: list[str]) -> int:
    """Check the lifetime, which no call outlasts; return the length of the MKI."""
    if fields and ":" not in fields[0]:
        lifetime = fields.pop(0).removeprefix("2^")
        if not _is_number(lifetime) or int(lifetime) >= 1 << _MAX_LIFETIME_BITS:
            raise CryptoError("its lifetime is no number of packets")
    if not fields:
        return 0
    name, _, length = fields.pop(0).partition(":")
    if fields or not (_is_number(name) and _is_number(length)):
        raise CryptoError("its MKI is no value:length")
    if not 1 <= int(length) <= MAX_MKI_BYTES:
        raise CryptoError(f"its MKI has {length} bytes, not 1 to {MAX_MKI_BYTES}")
    return int(length)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 20
