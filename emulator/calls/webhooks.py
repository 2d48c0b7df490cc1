"""Requests to customers' servers: one HTTP client, every exchange on the timeline.

Redirects are answers and are not followed, cookies are not kept, and a body is read up
to its limit only. ``httpx`` loads with the first request, in a thread: it takes 0.1 s.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from emulator.config import WebhookSettings
from emulator.events import JsonValue
from emulator.flow.parameters import mask_secrets
from emulator.flow.ports import Fetch
from emulator.text import mask_text, printable

if TYPE_CHECKING:
    import httpx

# Of an answer's body on the timeline; applets read more.
SHOWN_BODY_CHARS = 1000
# A Passthru behind a Connect of many legs has some 4000 characters.
SHOWN_URL_CHARS = 8192
# Calls are bounded, and each waits for one answer; async ones come on top.
MAX_CONNECTIONS = 1000


@dataclass(frozen=True, slots=True)
class WebAnswer:
    """An answer, or why there is none.

    Attributes:
        status: None when there was no answer in time.
        content_type: As it stands in the header.
        body: Cut to the request's limit; ``is_cut`` tells so.
        error: Why there is no answer, in one line.
    """

    status: int | None
    content_type: str = ""
    body: bytes = b""
    is_cut: bool = False
    error: str | None = None


class Journal(Protocol):
    """Takes what belongs on the call's timeline."""

    def record(
        self,
        kind: str,
        data: Mapping[str, JsonValue] | None = None,
        /,
        *,
        at_s: float | None = None,
        **more: JsonValue,
    ) -> None:
        """Put an event on the timeline."""


class Webhooks:
    """The client of all calls."""

    def __init__(self, settings: WebhookSettings) -> None:
        self._settings = settings
        self._client: httpx.AsyncClient | None = None
        self._making = asyncio.Lock()
        self._preparing: asyncio.Task[object] | None = None

    def prepare(self) -> None:
        """Load what requests need meanwhile: a call has begun that will ask."""
        if self._client is None and self._preparing is None:
            self._preparing = asyncio.create_task(self._make())

    async def fetch(self, asked: Fetch, journal: Journal) -> WebAnswer:
        """Send one request; what goes wrong with it is an answer too."""
        url = printable(mask_secrets(asked.url), max_chars=SHOWN_URL_CHARS)
        journal.record(
            "webhook.sent",
            purpose=asked.purpose,
            method=asked.method,
            url=url,
            form={name: printable(mask_text(value)) for name, value in asked.form}
            or None,
        )
        started_s = time.monotonic()
        answer = await self._answer(asked)
        journal.record(
            "webhook.answered",
            purpose=asked.purpose,
            status=answer.status,
            content_type=printable(answer.content_type) or None,
            body=_shown(answer),
            cut=answer.is_cut or None,
            error=answer.error,
            took_ms=round((time.monotonic() - started_s) * 1000, 1),
        )
        return answer

    async def close(self) -> None:
        """Close every connection."""
        if self._preparing is not None:
            await asyncio.gather(self._preparing, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    async def _answer(self, asked: Fetch) -> WebAnswer:
        client = self._client or await self._make()
        import httpx  # Loaded by now: this costs nothing.

        try:
            async with asyncio.timeout(asked.timeout_s):
                return await _exchange(client, asked)
        except TimeoutError:
            return WebAnswer(None, error=f"no answer within {asked.timeout_s:g} s")
        except httpx.InvalidURL:  # Its text quotes the URL, which may hold a password.
            return WebAnswer(None, error="the URL cannot be read")
        except (httpx.HTTPError, OSError, ValueError) as error:
            return WebAnswer(None, error=printable(_reason(error)))

    async def _make(self) -> httpx.AsyncClient:
        async with self._making:
            if self._client is None:
                self._client = await asyncio.to_thread(_client, self._settings)
        return self._client


async def _exchange(client: httpx.AsyncClient, asked: Fetch) -> WebAnswer:
    async with client.stream(
        asked.method,
        asked.url,
        headers=list(asked.headers),
        data=dict(asked.form) if asked.form else None,
    ) as response:
        body, is_cut = await _read(response, asked.max_body_bytes)
        content_type = response.headers.get("content-type", "")
        return WebAnswer(response.status_code, content_type, body, is_cut)


def _client(settings: WebhookSettings) -> httpx.AsyncClient:
    from http.cookiejar import CookieJar, DefaultCookiePolicy

    import httpx

    tls = ssl.create_default_context(cafile=None)
    if settings.tls_ca_file is not None:
        tls.load_verify_locations(settings.tls_ca_file)
    if not settings.tls_verify:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    return httpx.AsyncClient(
        verify=tls,
        # No proxy, no .netrc: a test must not depend on the machine's environment.
        trust_env=False,
        follow_redirects=False,
        # The request's own deadline covers all of it.
        timeout=None,
        # A connection kept open may be closed by the server just when it is used.
        limits=httpx.Limits(
            max_connections=MAX_CONNECTIONS, max_keepalive_connections=0
        ),
        # What one call's answer sets must not reach another call's request.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        # Compressed, some kB could unfold to any size.
        headers={
            "User-Agent": settings.user_agent,
            "Accept": "*/*",
            "Accept-Encoding": "identity",
        },
    )


async def _read(response: httpx.Response, limit_bytes: int) -> tuple[bytes, bool]:
    """Return the body up to the limit, and whether there is more of it."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > limit_bytes:
            return bytes(body[:limit_bytes]), True
    return bytes(body), False


def _shown(answer: WebAnswer) -> str | None:
    """Return the body for the timeline; it may quote secrets."""
    text = answer.body[: 4 * SHOWN_BODY_CHARS].decode("utf-8", "replace")
    shown = mask_text(text)
    return printable(shown, keep="\n\t", max_chars=SHOWN_BODY_CHARS) or None


def _reason(error: BaseException) -> str:
    """Return the innermost cause that says something, such as *Connection refused*."""
    said = str(error) or type(error).__name__
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (ssl.SSLError, socket.gaierror)):
            said = str(cause.strerror)
        elif isinstance(cause, OSError) and cause.errno:
            said = os.strerror(cause.errno)
        cause = cause.__cause__ or cause.__context__
    return said
