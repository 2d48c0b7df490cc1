"""Text that came over the wire, made fit to be shown and stored.

SIP headers may hold any bytes, and JSON any escape: what is no UTF-8 arrives as lone
surrogates, which no JSON encoder takes, and control characters would speak to the
reader's terminal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from emulator.events import JsonValue

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# Real header values and numbers are far shorter; a timeline holds thousands of them.
MAX_CHARS = 512

# Values of parameters whose names say that they are secret.
_SECRET_PARAMETER = re.compile(
    r"((?:[?&;]|%3F|%26)(?:[\w-]{0,32}[_-])?"
    r"(?:(?:api|access|secret|auth)?(?:key|token)|secret|auth|authorization"
    r"|password|passwd|pwd|signature|sig)(?:=|%3D))(?:(?!%26)[^&;#\s])+",
    re.IGNORECASE,
)
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Deletions(dict[str, dict[int, None]]):
    """Translation tables that delete the characters of a string."""

    def __missing__(self, chars: str) -> dict[int, None]:
        table = self[chars] = dict.fromkeys(map(ord, chars))
        return table


_WITHOUT = _Deletions()


def printable(text: str, *, keep: str = "", max_chars: int = MAX_CHARS) -> str:
    """Return ``text``, cut, with everything unprintable but ``keep`` replaced."""
    if len(text) <= max_chars and text.translate(_WITHOUT[keep]).isprintable():
        return text  # Nearly always, and at a twentieth of the cost.
    shown = "".join(
        char if char.isprintable() or char in keep else REPLACEMENT
        for char in text[:max_chars]
    )
    return shown if len(text) <= max_chars else shown + "…"


def encodable(value: JsonValue) -> JsonValue:
    """Return ``value`` with the lone surrogates of all its texts replaced."""
    if isinstance(value, str):
        return value if value.isascii() else _SURROGATE.sub(REPLACEMENT, value)
    if isinstance(value, Mapping):
        return {str(encodable(name)): encodable(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [encodable(inner) for inner in value]
    return value


def mask_query(url: str) -> str:
    """Return ``url`` with ``***`` for what its query calls secret, by usual names."""
    return _SECRET_PARAMETER.sub(r"\1***", url)
