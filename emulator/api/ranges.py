"""Audio by HTTP, whole or in part (RFC 9110 §14): players ask for parts to seek.

What is sent may grow meanwhile: a response has the length that there was at its begin.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from emulator.api.errors import ApiError

_CHUNK_BYTES = 1 << 16
_RANGE = re.compile(
    r"bytes\s*+=\s*+(\d*+)\s*+-\s*+(\d*+)\s*+", re.ASCII | re.IGNORECASE
)


class Source(Protocol):
    """Bytes that are read from a disk when they are sent."""

    @property
    def size_bytes(self) -> int:
        """How many there are."""

    def read(self, start: int, size: int) -> bytes:
        """Return ``size`` bytes from ``start``; fewer when they have gone."""


def ranged_response(request: Request, source: Source, media_type: str) -> Response:
    """Answer GET or HEAD with the bytes asked for: 200, or 206 for a part.

    A header that asks for several parts, or that is not understood, gets all (§14.2).

    Raises:
        ApiError: 416, the part is behind the end.
    """
    size = source.size_bytes
    part = _wanted(request, size)
    start, end = part or (0, size)
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Length": str(end - start),
        # It may grow, and its URL may be used again.
        "Cache-Control": "no-cache",
    }
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    status = 200 if part is None else 206
    if request.method == "HEAD":
        return Response(None, status, headers, media_type)
    return StreamingResponse(_chunks(source, start, end), status, headers, media_type)


def _wanted(request: Request, size: int) -> tuple[int, int] | None:
    """Return start and end of the part that is asked for; None for all."""
    # We hand out no validator that ``If-Range`` could name.
    if "if-range" in request.headers:
        return None
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    if match is None or match[1] == match[2] == "":
        return None
    first, last = match[1], match[2]
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
    if last and first and int(last) < int(first):
        return None
    if start >= size:
        raise ApiError(
            416,
            "range",
            f"there are {size} bytes, none from {start} on",
            {"Content-Range": f"bytes */{size}"},
        )
    return start, end


def _chunks(source: Source, start: int, end: int) -> Iterator[bytes]:
    """Yield the bytes; what has gone meanwhile breaks the response off."""
    while start < end:
        chunk = source.read(start, min(_CHUNK_BYTES, end - start))
        if not chunk:
            raise OSError("the file became shorter while it was sent")
        yield chunk
        start += len(chunk)
