"""Keys that arrive by INFO."""

from __future__ import annotations

import pytest

from emulator.sip.dtmf_info import digit_of_info


@pytest.mark.parametrize(
    ("content_type", "body", "digit"),
    [
        ("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n", "5"),
        ("application/dtmf-relay", b"Signal= *\r\nDuration= 250", "*"),
        ("application/dtmf-relay", b"Duration=1\nsignal = a\n", "A"),
        ("application/dtmf-relay", b"Signal=11\r\n", "#"),
        ("application/dtmf", b"7", "7"),
        ("application/dtmf", b" # \r\n", "#"),
        ("application/dtmf", b"55", None),
        ("application/dtmf", b"", None),
        ("application/dtmf-relay", b"Duration=160", None),
        ("application/dtmf-relay", b"\xff\xfe", None),
        ("application/sdp", b"5", None),
        ("", b"5", None),
    ],
)
def test_a_key_is_found_or_nothing(
    content_type: str, body: bytes, digit: str | None
) -> None:
    assert digit_of_info(content_type, body) == digit
