"""Text that came over the wire, made fit to be shown and stored.

SIP headers may hold any bytes: what is no UTF-8 arrives as lone surrogates, which no
JSON encoder takes, and control characters would speak to the reader's terminal.
"""

from __future__ import annotations

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# Real header values and numbers are far shorter; a timeline holds thousands of them.
MAX_CHARS = 512


def printable(text: str, *, keep: str = "", max_chars: int = MAX_CHARS) -> str:
    """Return ``text``, cut, with everything unprintable but ``keep`` replaced."""
    shown = "".join(
        char if char.isprintable() or char in keep else REPLACEMENT
        for char in text[:max_chars]
    )
    return shown if len(text) <= max_chars else shown + "…"
