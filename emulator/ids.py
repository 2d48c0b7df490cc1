"""Identifiers, all from one source that tests can seed.

Call and stream SIDs have the shape seen on the platform (streaming spec §2.12):
28 random hex digits, then the IST date as two hex digits of the year after 2000, one
character of the month (1-9, a-c) and one of the day (base 36).
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from uuid import UUID

IST = timezone(timedelta(hours=5, minutes=30), "IST")
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
# RFC 3261 §8.1.1.7: branches of compliant elements start so.
BRANCH_MAGIC_COOKIE = "z9hG4bK"


def date_code(at: datetime) -> str:
    """Return the four-character IST date that ends every SID."""
    local = at.astimezone(IST)
    return f"{local.year - 2000:02x}{_BASE36[local.month]}{_BASE36[local.day]}"


class IdSource:
    """Makes every identifier; the same seed gives the same sequence.

    Args:
        sid_style: ``dated``, or ``prefixed`` as in the manuals' samples.
    """

    def __init__(self, seed: int | None = None, *, sid_style: str = "dated") -> None:
        self._random = (
            random.Random(seed) if seed is not None else (random.SystemRandom())
        )
        self._is_prefixed = sid_style == "prefixed"

    def hex(self, digits: int) -> str:
        """Return ``digits`` random lowercase hex digits."""
        return f"{self._random.getrandbits(4 * digits):0{digits}x}"

    def sid(self, at: datetime) -> str:
        """Return a call SID for the instant ``at``: 32 characters, or CA and 32."""
        return self._sid("CA", at)

    def stream_sid(self, at: datetime) -> str:
        """Return a stream SID for the instant ``at``: 32 characters, or MZ and 32."""
        return self._sid("MZ", at)

    def _sid(self, prefix: str, at: datetime) -> str:
        if self._is_prefixed:
            return prefix + self.hex(32)
        return self.hex(28) + date_code(at)

    def tag(self) -> str:
        """Return a From/To tag: 64 random bits (RFC 3261 §19.3 asks for 32)."""
        return self.hex(16)

    def branch(self) -> str:
        """Return a Via branch with RFC 3261's magic cookie."""
        return BRANCH_MAGIC_COOKIE + self.hex(16)

    def call_id(self) -> str:
        """Return a Call-ID that is unique over space and time."""
        return self.hex(32)

    def uuid(self) -> str:
        """Return a random UUID (RFC 9562 §5.4)."""
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def uint16(self) -> int:
        """Return a random first RTP sequence number."""
        return self._random.getrandbits(16)

    def uint32(self) -> int:
        """Return a random SSRC or first RTP timestamp."""
        return self._random.getrandbits(32)

    def key(self, n_bytes: int) -> bytes:
        """Return a secret key."""
        return self._random.getrandbits(8 * n_bytes).to_bytes(n_bytes, "big")
