"""Why a bot could not be reached, in the platform's words (streaming spec §5.2).

The platform reports the text of its Go dialer behind the code 3009; these functions
make the same text from what our side saw.
"""

from __future__ import annotations

import errno
import os
import re

PREFIX = "3009 failed to establish ws conn "
BAD_HANDSHAKE = "websocket: bad handshake"
# Go's words for an end while the answer to the upgrade was awaited, and, before that,
# in the TLS handshake.
UNEXPECTED_EOF, TLS_EOF = "unexpected EOF", "EOF"
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
_CERT_PURPOSE_CODE = 26

# OpenSSL's reasons: what is no TLS at all; an end; how it names an alert of the peer.
_NO_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "UNKNOWN_PROTOCOL"}
)
_TLS_END = "UNEXPECTED_EOF_WHILE_READING"
_ALERT = re.compile(r"(?:SSLV3|TLSV1|TLSV13)_(?:ALERT_)?(.+)")
# Alerts whose words differ between Go and OpenSSL.
_GO_ALERTS = {
    "PROTOCOL_VERSION": "protocol version not supported",
    "UNKNOWN_CA": "unknown certificate authority",
    "CERTIFICATE_EXPIRED": "expired certificate",
    "CERTIFICATE_REVOKED": "revoked certificate",
    "CERTIFICATE_UNKNOWN": "unknown certificate",
}


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


def connection_lost(own: str, bots: str, number: int | None) -> str:
    """Return the text for a connection that broke during the upgrade.

    Args:
        own, bots: Both ends, each as ``endpoint`` writes it.
    """
    return f"read tcp {own}->{bots}: read: {errno_text(number)}"


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
    if verify_code == _CERT_PURPOSE_CODE:
        return "x509: certificate specifies an incompatible key usage"
    return "x509: certificate signed by unknown authority"


def tls_failed(reason: str | None) -> str:
    """Return the text for a TLS handshake that broke for OpenSSL's ``reason``."""
    if reason in _NO_TLS:
        return "tls: first record does not look like a TLS handshake"
    if reason == _TLS_END:
        return TLS_EOF
    if alert := _ALERT.fullmatch(reason or "SSLV3_ALERT_HANDSHAKE_FAILURE"):
        words = _GO_ALERTS.get(alert[1]) or _words(alert[1])
        return f"remote error: tls: {words}"
    return f"tls: {_words(reason or '')}"


def _words(name: str) -> str:
    return name.lower().replace("_", " ")
