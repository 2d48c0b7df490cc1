"""Why a bot could not be reached, in the platform's words (streaming spec §5.2).

The platform reports the text of its Go dialer behind the code 3009; these functions
make the same text from what our side saw.
"""

from __future__ import annotations

import errno
import os

PREFIX = "3009 failed to establish ws conn "
BAD_HANDSHAKE = "websocket: bad handshake"
UNEXPECTED_EOF = "unexpected EOF"
MALFORMED_RESPONSE = "malformed HTTP response"

# Go prints the C library's text in lower case; these are the ones worth being sure of.
_ERRNO_TEXTS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset by peer",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network is unreachable",
    errno.ETIMEDOUT: "connection timed out",
    errno.EACCES: "permission denied",
}
# X509_V_ERR_… of OpenSSL.
_CERT_DATE_CODES = frozenset({9, 10})
_CERT_NAME_CODES = frozenset({62, 64})


def errno_text(number: int | None) -> str:
    """Return Go's text for an ``errno``."""
    if number is None:
        return "unknown error"
    return _ERRNO_TEXTS.get(number) or os.strerror(number).lower()


def endpoint(ip: str, port: int) -> str:
    """Return ``ip:port``, IPv6 in brackets."""
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def connect_failed(ip: str, port: int, number: int | None) -> str:
    """Return the text for a refused or unreachable TCP connection."""
    return f"dial tcp {endpoint(ip, port)}: connect: {errno_text(number)}"


def connection_lost(ip: str, port: int, number: int | None) -> str:
    """Return the text for a connection that broke during the upgrade."""
    return f"read tcp {endpoint(ip, port)}: read: {errno_text(number)}"


def timed_out(ip: str, port: int) -> str:
    """Return the text for an attempt that took too long, at whatever stage."""
    return f"dial tcp {endpoint(ip, port)}: i/o timeout"


def lookup_timed_out(host: str) -> str:
    """Return the text for a name that was not resolved in time."""
    return f"dial tcp: lookup {host}: i/o timeout"


def lookup_failed(host: str) -> str:
    """Return the text for a name that does not resolve."""
    return f"dial tcp: lookup {host}: no such host"


def certificate_refused(verify_code: int, host: str) -> str:
    """Return the text for OpenSSL's verification error ``verify_code``."""
    if verify_code in _CERT_DATE_CODES:
        return "x509: certificate has expired or is not yet valid"
    if verify_code in _CERT_NAME_CODES:
        return f"x509: certificate is not valid for {host}"
    return "x509: certificate signed by unknown authority"


def tls_failed(reason: str | None) -> str:
    """Return the text for a TLS handshake that broke for OpenSSL's ``reason``."""
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL"):
        return "tls: first record does not look like a TLS handshake"
    detail = (reason or "handshake failure").lower().replace("_", " ")
    return f"remote error: tls: {detail}"
