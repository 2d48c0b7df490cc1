"""Dial errors in the platform's words (streaming spec §5.2)."""

from __future__ import annotations

import errno

import pytest

from emulator.stream import dial_errors


def test_a_refused_connection() -> None:
    text = dial_errors.connect_failed("127.0.0.1", 5001, errno.ECONNREFUSED)
    assert dial_errors.PREFIX + text == (
        "3009 failed to establish ws conn "
        "dial tcp 127.0.0.1:5001: connect: connection refused"
    )


def test_an_ipv6_address_stands_in_brackets() -> None:
    text = dial_errors.connect_failed("::1", 80, errno.ENETUNREACH)
    assert text == "dial tcp [::1]:80: connect: network is unreachable"


def test_an_unusual_errno_has_the_systems_text_in_lower_case() -> None:
    assert dial_errors.errno_text(errno.EMFILE) == "too many open files"
    assert dial_errors.errno_text(None) == "unknown error"


def test_timeouts_and_lookups() -> None:
    assert dial_errors.timed_out("10.0.0.1", 443) == (
        "dial tcp 10.0.0.1:443: i/o timeout"
    )
    assert dial_errors.lookup_failed("bot") == "dial tcp: lookup bot: no such host"
    assert dial_errors.lookup_timed_out("bot") == "dial tcp: lookup bot: i/o timeout"


def test_certificates() -> None:
    unknown = "x509: certificate signed by unknown authority"
    assert dial_errors.certificate_refused(18, "bot") == unknown
    assert "expired" in dial_errors.certificate_refused(10, "bot")
    assert dial_errors.certificate_refused(62, "bot").endswith("not valid for bot")
    assert "key usage" in dial_errors.certificate_refused(26, "bot")


def test_a_broken_connection_names_both_ends() -> None:
    assert dial_errors.connection_lost("127.0.0.1:4", "[::1]:5", errno.ECONNRESET) == (
        "read tcp 127.0.0.1:4->[::1]:5: read: connection reset by peer"
    )


def test_tls_that_is_none() -> None:
    assert dial_errors.tls_failed("WRONG_VERSION_NUMBER") == (
        "tls: first record does not look like a TLS handshake"
    )
    assert dial_errors.tls_failed("UNEXPECTED_EOF_WHILE_READING") == "EOF"


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (None, "handshake failure"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "handshake failure"),
        ("TLSV1_ALERT_PROTOCOL_VERSION", "protocol version not supported"),
        ("TLSV1_ALERT_UNKNOWN_CA", "unknown certificate authority"),
        ("SSLV3_ALERT_BAD_CERTIFICATE", "bad certificate"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "certificate required"),
        ("TLSV1_UNRECOGNIZED_NAME", "unrecognized name"),
        ("TLSV1_ALERT_INTERNAL_ERROR", "internal error"),
    ],
)
def test_an_alert_of_the_bot_is_a_remote_error(reason: str | None, words: str) -> None:
    assert dial_errors.tls_failed(reason) == f"remote error: tls: {words}"


def test_what_we_refuse_in_tls_is_no_remote_error() -> None:
    assert dial_errors.tls_failed("UNSUPPORTED_PROTOCOL") == "tls: unsupported protocol"
