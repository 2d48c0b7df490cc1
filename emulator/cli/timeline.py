"""A timeline as lines of text, and how to follow one over the control API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    import httpx

_KIND_WIDTH = 21
_VALUE_CHARS = 200
# Below the API's own limit of a long poll.
_WAIT_S = 10.0


def format_entry(entry: Mapping[str, Any]) -> str:
    """Return one entry as a line: offset in seconds, kind, what is to be said."""
    offset_s = entry["offset_ms"] / 1000
    return tame(
        f"{offset_s:+9.3f}  {entry['kind']:<{_KIND_WIDTH}} {_say(entry)}".rstrip()
    )


def tame(text: str) -> str:
    """Return ``text`` without control characters.

    A bot or a caller chose some of the words: none of them may steer the terminal.
    """
    return "".join(char if char.isprintable() else "?" for char in text)


def _say(entry: Mapping[str, Any]) -> str:
    data = dict(entry["data"])
    if entry["kind"].startswith("sip."):
        again = " (again)" if data.get("retransmission") else ""
        leg = f"  leg={data['leg']}" if "leg" in data else ""
        return f"{data['summary']}  {data['remote']}{again}{leg}"
    if entry["kind"] == "note":
        return str(data.get("text") or _pairs(data))
    return _pairs(data)


def _pairs(data: Mapping[str, Any]) -> str:
    return " ".join(
        f"{key}={_short(value)}"
        for key, value in data.items()
        if value not in (None, "")
    )


def _short(value: object) -> str:
    text = f'"{value}"' if isinstance(value, str) and " " in value else str(value)
    return text if len(text) <= _VALUE_CHARS else text[:_VALUE_CHARS] + "…"


async def follow(client: httpx.AsyncClient, sid: str) -> AsyncIterator[dict[str, Any]]:
    """Yield a call's entries as they come, until the call is over.

    Raises:
        httpx.HTTPError: The API cannot be reached or refuses.
    """
    last = 0
    while True:
        answer = await client.get(
            f"/emulator/v1/calls/{quote(sid, safe='')}/timeline",
            params={"after": last, "wait_s": _WAIT_S},
            timeout=_WAIT_S + 5,
        )
        answer.raise_for_status()
        body = answer.json()
        for entry in body["entries"]:
            last = entry["number"]
            yield entry
        if body["complete"]:
            return
        await asyncio.sleep(0)
