"""Digits in SIP INFO: ``application/dtmf-relay`` and ``application/dtmf``.

Neither has a standard; both are what phones and PBXes have sent for twenty years.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from emulator.sip.body import media_type
from emulator.sip.message import Request
from emulator.sip.party import Reply, because

DEFAULT_DURATION_MS = 160
MAX_DURATION_MS = 10_000
# dtmf-relay writes the keys beside the digits by number, or as they are.
_BY_NUMBER = {"10": "*", "11": "#", "12": "A", "13": "B", "14": "C", "15": "D"}
_KEYS = frozenset("0123456789*#ABCD")
_TYPES = ("application/dtmf-relay", "application/dtmf")
_FIELD = re.compile(r"\s*+(\w++)\s*+=\s*+(\S++)\s*+")


@dataclass(frozen=True)
class InfoDigit:
    """One key press."""

    digit: str
    duration_ms: int


def reply_to_info(request: Request) -> Reply:
    """Return the answer to an INFO.

    469 for any Info-Package, as none was offered (RFC 6086 §4.2.2); 200 for none and
    no body, which probes the session; 415 for what is not understood; 400 for digits
    that are none.
    """
    if "Info-Package" in request.headers:
        why = because("no Info-Package was offered")
        return Reply(469, (("Recv-Info", ""), why))
    if not request.body:
        return Reply(200)
    if request.content_type not in _TYPES:
        why = because("the body of an INFO is a digit")
        return Reply(415, (("Accept", ", ".join(_TYPES)), why))
    if parse_info_digit(request.content_type, request.body) is None:
        return Reply(400, (because("no digit in the body"),))
    return Reply(200)


def parse_info_digit(content_type: str, body: bytes) -> InfoDigit | None:
    """Return the digit of an INFO; None when it carries none that we know."""
    if media_type(content_type) not in _TYPES:
        return None
    text = body.decode("ascii", "replace").strip()
    fields = {
        match[1].lower(): match[2]
        for line in text.splitlines()
        if (match := _FIELD.fullmatch(line))
    }
    signal = fields.get("signal", text).upper()
    digit = _BY_NUMBER.get(signal, signal)
    if digit not in _KEYS:
        return None
    return InfoDigit(digit, _duration_ms(fields.get("duration", "")))


def _duration_ms(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        return DEFAULT_DURATION_MS
    return min(int(text), MAX_DURATION_MS)
