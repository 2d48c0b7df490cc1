"""Serial number arithmetic (RFC 1982) for 16-bit sequence numbers and 32-bit clocks.

No other module compares sequence numbers or timestamps with a bare ``<``.
"""

from __future__ import annotations

SEQUENCE_MODULUS = 1 << 16
TIMESTAMP_MODULUS = 1 << 32


def sequence_delta(new: int, old: int) -> int:
    """Return how far ``new`` is after ``old``; negative when it is before."""
    return ((new - old + 0x8000) & 0xFFFF) - 0x8000


def timestamp_delta(new: int, old: int) -> int:
    """Return how many ticks ``new`` is after ``old``; negative when before."""
    return ((new - old + 0x80000000) & 0xFFFFFFFF) - 0x80000000
