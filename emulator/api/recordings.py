"""``/exotelrecordings``: what flows had recorded, as files; and what callers heard.

A ``RecordingUrl`` leads here. Both grow while their call is up, and can be fetched and
played by then.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.params import Depends

from emulator.api.audio_files import PARTIES, PartyOfCapture, WholeFile
from emulator.api.errors import ApiError
from emulator.api.ranges import Source, ranged_response
from emulator.calls.captures import Captures
from emulator.calls.recordings import URL_PATH, Recordings
from emulator.config import Settings

MEDIA_TYPES = {
    ".mp3": "audio/mpeg",
    ".wav": "audio/wav",
    # Raw samples have no type of their own (RFC 2586 has another byte order).
    ".raw": "application/octet-stream",
}


@dataclass(frozen=True)
class RecordingAccess:
    """Who may fetch recordings, and when.

    Attributes:
        credentials: User name and password, any pair of which will do.
        rule: Whether they are ``required``, only ``advised`` (a fetch without them is
            noted), or neither: ``open``.
        available_after_s: 404 for so long after a recording was last written to.
    """

    credentials: tuple[tuple[str, str], ...]
    rule: Literal["required", "advised", "open"]
    available_after_s: float


def access_of(settings: Settings) -> RecordingAccess:
    """Return what the settings say: beyond loopback ``auto`` asks for credentials."""
    account, recordings = settings.account, settings.recordings
    rule: Literal["required", "advised", "open"] = "required"
    if recordings.auth == "open":
        rule = "open"
    elif recordings.auth == "auto" and ip_address(settings.http.bind).is_loopback:
        rule = "advised"
    token = account.api_token.get_secret_value()
    names = (account.api_key, account.sid)
    credentials = tuple((name, token) for name in names)
    return RecordingAccess(credentials, rule, recordings.available_after_s)


def recordings_router(recordings: Recordings, access: RecordingAccess) -> APIRouter:
    """Return the routes that a ``RecordingUrl`` leads to."""
    router = APIRouter(prefix=URL_PATH, tags=["recordings"])

    @router.head("/{account_sid}/{name}", include_in_schema=False)
    @router.get("/{account_sid}/{name}", response_class=Response)
    async def recording(
        request: Request,
        account_sid: str,
        name: str,
        authorization: Annotated[str | None, Header()] = None,
    ) -> Response:
        """Return a recording, or the part that a ``Range`` header asks for."""
        is_known = is_one_of(authorization, access.credentials)
        if access.rule == "required" and not is_known:
            raise _unauthorised()
        path = recordings.find(account_sid, name)
        if path is None:
            raise ApiError(404, "unknown-recording", f"no recording {name}")
        _check_age(path, access.available_after_s)
        if access.rule == "advised" and not is_known:
            recordings.note_open_fetch(path.stem)
        return ranged_response(request, WholeFile(path), MEDIA_TYPES[path.suffix])

    return router


def _unauthorised() -> ApiError:
    return ApiError(
        401,
        "credentials",
        "send API key and token as Basic credentials (setting recordings.auth)",
        {"WWW-Authenticate": 'Basic realm="recordings"'},
    )


def _check_age(path: Path, available_after_s: float) -> None:
    """Let a recording that is being written, or is too new, be unknown."""
    left_s = path.stat().st_mtime + available_after_s - time.time()
    if available_after_s and left_s > 0:
        raise ApiError(
            404,
            "recording-too-new",
            f"{path.name} is there {available_after_s:g} s after its end "
            "(setting recordings.available_after_s)",
        )


def is_one_of(authorization: str | None, known: Iterable[tuple[str, str]]) -> bool:
    """Tell whether an Authorization header carries one of the Basic credentials."""
    scheme, _, encoded = (authorization or "").partition(" ")
    try:
        given = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return False
    return scheme.lower() == "basic" and any(
        secrets.compare_digest(given, f"{user}:{word}".encode()) for user, word in known
    )


def add_audio(
    router: APIRouter,
    is_remembered: Callable[[str], bool],
    captures: Captures,
    guard: Sequence[Depends],
) -> None:
    """Add the route of what was said in a call, both ways."""

    path = "/calls/{sid}/audio/{party}.wav"

    @router.head(path, dependencies=guard, include_in_schema=False)
    @router.get(path, dependencies=guard, response_class=Response)
    async def audio(
        request: Request,
        sid: str,
        party: str,
        channels: Annotated[Literal["single", "dual"], Query()] = "single",
    ) -> Response:
        """Return what the ``caller`` said, what it heard (``bot``), or the ``mix``.

        A WAV of 8 kHz; while the call is up, what there is so far. A ``dual`` mix has
        the caller left and what it heard right.
        """
        if party not in PARTIES:
            known = ", ".join(PARTIES)
            raise ApiError(
                404, "unknown-audio", f"no audio {party!r}; there are {known}"
            )
        if not is_remembered(sid):
            raise ApiError(404, "unknown-call", f"no call {sid} in memory")
        captured = captures.find(sid)
        if captured.path is None:
            raise ApiError(404, "no-audio", f"call {sid}: {captured.reason}")
        if party == "mix" and channels == "dual":
            source: Source = WholeFile(captured.path)
        else:
            source = PartyOfCapture(captured.path, PARTIES[party])
        return ranged_response(request, source, "audio/wav")
