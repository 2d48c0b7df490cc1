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
_ESCAPED_ASCII = re.compile(r"\\u00([2-7][0-9a-fA-F])")
# Up to the last @ of a text: a password may hold what should have been encoded. Rather
# too much is hidden than too little.
_USERINFO = re.compile(r":(?:\\?/){2}(?:\\.|[^\"<>\n\\]){1,1000}@")
# As _SECRET_PARAMETER, of a text around it: quotes and tags end the value as well.
_SECRET_IN_TEXT = re.compile(
    r"((?:^|[?&;\s\"'>]|%3F|%26)(?:[\w-]{0,32}[_-])?"
    r"(?:(?:api|access|secret|auth)?(?:key|token)|secret|auth|authorization"
    r"|password|passwd|pwd|signature|sig)(?:=|%3D))(?:\\.|(?!%26)[^&;#\s\"'<>\\])+",
    re.IGNORECASE,
)
# A member of an object, in JSON or in JSON inside a text; not finish_on_key.
_SECRET_MEMBER = re.compile(
    r"""((\\{0,7})"[\w-]{0,32}?(?:(?:api|access|secret|auth|private)[_-]?key|token|secret"""
    r"""|password|passwd|pwd|auth|authorization|signature|credential)s?\2"\s*:\s*)"""
    r"""(?:\2"(?:(?!\2")(?:\\.|[^\\]))*(?:\2")?|\[[^\]]*\]?"""
    r"""|(?!(?:null|true|false)\b)[^\s,}\]"\[{\\]+)""",
    re.IGNORECASE | re.DOTALL,
)


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


def mask_text(text: str) -> str:
    """Return free text, JSON too, with ``***`` for what it quotes of secrets.

    That is credentials and secret parameters of URLs, and values of members that their
    names call secret. A text with none is returned as it is.
    """
    plain = _ESCAPED_ASCII.sub(_unescape, text)
    masked = _USERINFO.sub("://***@", plain)
    masked = _SECRET_MEMBER.sub(r'\1\2"***\2"', masked)
    masked = _SECRET_IN_TEXT.sub(r"\1***", masked)
    return text if masked == plain else masked


def _unescape(found: re.Match[str]) -> str:
    """Return the character of a JSON escape; a quote stays one that ends nothing."""
    char = chr(int(found[1], 16))
    return found[0] if char in '"\\' else char
