"""Text that came over the wire, made fit to be shown and stored.

SIP headers may hold any bytes: what is no UTF-8 arrives as lone surrogates, which no
JSON encoder takes, and control characters would speak to the reader's terminal.
"""

from __future__ import annotations

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def printable(text: str, *, keep: str = "") -> str:
    """Return ``text`` with everything unprintable but ``keep`` replaced."""
    return "".join(
        char if char.isprintable() or char in keep else REPLACEMENT for char in text
    )
