from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.sip.dtmf_info import InfoDigit, parse_info_digit, reply_to_info
from emulator.sip.headers import Headers
from emulator.sip.message import Request


@pytest.mark.parametrize(
    ("content_type", "body", "digit", "duration_ms"),
    [
        ("application/dtmf-relay", b"Signal=5\r\nDuration=250\r\n", "5", 250),
        ("Application/DTMF-Relay; x=y", b"Signal= *\nDuration = 80", "*", 80),
        ("application/dtmf-relay", b"Signal=11\r\n", "#", 160),
        ("application/dtmf", b"7", "7", 160),
        ("application/dtmf", b"d\r\n", "D", 160),
        ("application/dtmf-relay", b"Signal=1\r\nDuration=99999\r\n", "1", 10_000),
        ("application/dtmf-relay", b"Signal=1\r\nDuration=long\r\n", "1", 160),
    ],
)
def test_a_digit_is_read_in_every_form(
    content_type: str, body: bytes, digit: str, duration_ms: int
) -> None:
    assert parse_info_digit(content_type, body) == InfoDigit(digit, duration_ms)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/plain", b"5"),
        ("application/dtmf", b""),
        ("application/dtmf-relay", b"Signal=55"),
        ("application/dtmf-relay", b"Signal=x\r\n"),
    ],
)
def test_what_is_no_digit_is_none(content_type: str, body: bytes) -> None:
    assert parse_info_digit(content_type, body) is None


@pytest.mark.parametrize(
    ("headers", "body", "status", "told"),
    [
        ([("Content-Type", "application/dtmf-relay")], b"Signal=5", 200, []),
        ([("Content-Type", "Application/DTMF; a=b")], b"#", 200, []),
        ([], b"", 200, []),
        ([("Content-Type", "application/dtmf")], b"hash", 400, ["Warning"]),
        ([("Content-Type", "application/x+xml")], b"<x/>", 415, ["Accept", "Warning"]),
        ([], b"5", 415, ["Accept", "Warning"]),
        ([("Info-Package", "infoDtmf")], b"5", 469, ["Recv-Info", "Warning"]),
    ],
)
def test_an_info_is_answered_by_what_it_carries(
    headers: list[tuple[str, str]], body: bytes, status: int, told: list[str]
) -> None:
    reply = reply_to_info(Request("INFO", "sip:a@b", Headers(headers), body))
    assert reply.status == status
    assert [name for name, _ in reply.headers] == told


@given(st.text(), st.binary())
def test_no_body_breaks_the_reader(content_type: str, body: bytes) -> None:
    parse_info_digit(content_type, body)
    parse_info_digit("application/dtmf-relay", body)
