"""Keys that arrive by INFO instead of as RTP events.

Two bodies are common: ``application/dtmf-relay`` (``Signal=5`` and ``Duration=160`` on
lines of their own) and ``application/dtmf`` (the key alone).
"""

from __future__ import annotations

import re
from typing import Final

DTMF_RELAY: Final = "application/dtmf-relay"
DTMF: Final = "application/dtmf"

_SIGNAL = re.compile(r"^[ \t]*signal[ \t]*=[ \t]*([^\s;]+)", re.I | re.M)
_KEYS: Final = frozenset("0123456789*#ABCD")
# RFC 4733 event numbers of the keys that some phones send instead of the sign.
_EVENT_NUMBERS: Final = {
    "10": "*",
    "11": "#",
    "12": "A",
    "13": "B",
    "14": "C",
    "15": "D",
}


def digit_of_info(content_type: str, body: bytes) -> str | None:
    """Return the key that an INFO reports, or None when it reports none.

    Args:
        content_type: Without parameters, in lower case.
    """
    text = body.decode("ascii", "replace")
    if content_type == DTMF_RELAY:
        found = _SIGNAL.search(text)
        text = found.group(1) if found else ""
    elif content_type != DTMF:
        return None
    key = text.strip().upper()
    key = _EVENT_NUMBERS.get(key, key)
    return key if key in _KEYS else None
