"""Bodies: one media type, or several in a multipart body (RFC 2046 §5.1, RFC 5621)."""

from __future__ import annotations

import re
from typing import Final

_BOUNDARY = re.compile(r'boundary\s*+=\s*+(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.I)
_PART_TYPE = re.compile(rb"^content-type[ \t]*:[ \t]*([^\s;]+)", re.I | re.M)
# A request with SDP and, say, ISUP or a location has two or three parts.
MAX_PARTS: Final = 16


def media_type(content_type: str) -> str:
    """Return the type without parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def find_part(content_type: str, body: bytes, wanted: str) -> bytes | None:
    """Return the bytes whose media type is ``wanted``: the body or a part of it."""
    kind = media_type(content_type)
    if kind == wanted:
        return body
    if not kind.startswith("multipart/"):
        return None
    for part_type, part in parts(content_type, body):
        if part_type == wanted:
            return part
    return None


def parts(content_type: str, body: bytes) -> list[tuple[str, bytes]]:
    """Split a multipart body into (media type, bytes); empty when it is malformed."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        return []
    boundary = b"--" + (found.group(1) or found.group(2)).encode("utf-8", "replace")
    pieces = (b"\r\n" + body).split(b"\r\n" + boundary, MAX_PARTS + 1)
    result = []
    for piece in pieces[1 : MAX_PARTS + 1]:
        if piece.startswith(b"--"):
            break
        head, separator, content = piece.partition(b"\r\n\r\n")
        part_type = _PART_TYPE.search(head)
        kind = part_type.group(1).decode("latin-1").lower() if part_type else ""
        if separator:
            result.append((kind or "text/plain", content))
    return result
