"""Audio at customers' URLs: HEAD, then GET, and kept by its URL (spec §7, 8 and 14)."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from emulator.calls.kept_files import KeptFiles
from emulator.calls.webhooks import Journal, WebAnswer, Webhooks
from emulator.config import Settings
from emulator.flow.ports import Fetch

# Of one request; a caller waits in silence meanwhile.
TIMEOUT_S = 10.0
# URLs that are remembered; the least used go first.
MAX_URLS = 1000
# On disk; the files that were written longest ago go first.
MAX_CACHE_BYTES = 256 * 1024 * 1024
SUFFIXES = {
    "audio/wav": ".wav",
    "audio/wave": ".wav",
    "audio/x-wav": ".wav",
    "audio/vnd.wave": ".wav",
    "audio/mpeg": ".mp3",
    "audio/mp3": ".mp3",
}
_METHODS: tuple[Literal["HEAD", "GET"], ...] = ("HEAD", "GET")


@dataclass(frozen=True, slots=True)
class FoundAudio:
    """A file, or why there is none."""

    path: Path | None
    error: str | None = None


class AudioUrls:
    """Files of one directory, by URL; both are bounded."""

    def __init__(self, webhooks: Webhooks, directory: Path, settings: Settings) -> None:
        self._webhooks = webhooks
        self._kept = KeptFiles(directory, MAX_CACHE_BYTES)
        self._max_bytes = settings.webhooks.max_audio_bytes
        self._quirks = settings.quirks
        self._files: OrderedDict[str, Path] = OrderedDict()

    async def fetch(self, url: str, journal: Journal) -> FoundAudio:
        """Return the file behind ``url``, from memory when it was fetched before."""
        known = self._files.get(url)
        if known is not None and self._quirks.cache_audio_urls and known.is_file():
            self._files.move_to_end(url)
            return FoundAudio(known)
        for method in _METHODS if self._quirks.head_before_get else _METHODS[1:]:
            asked = Fetch(
                "audio", url, TIMEOUT_S, method=method, max_body_bytes=self._max_bytes
            )
            answer = await self._webhooks.fetch(asked, journal)
            if problem := self._problem(answer):
                return FoundAudio(None, f"{method} gave {problem}")
        return await self._keep(url, answer)

    def _problem(self, answer: WebAnswer) -> str | None:
        if answer.status != 200:
            return str(answer.status or answer.error)
        if answer.is_cut:
            return f"more than {self._max_bytes} bytes (webhooks.max_audio_bytes)"
        if self._quirks.strict_content_type and _kind(answer) not in SUFFIXES:
            kinds = "audio/wav or audio/mpeg (quirks.strict_content_type)"
            return f"{answer.content_type or 'no content type'}, not {kinds}"
        return None

    async def _keep(self, url: str, answer: WebAnswer) -> FoundAudio:
        name = hashlib.sha256(answer.body).hexdigest()[:32]
        path = self._kept.folder / f"{name}{SUFFIXES.get(_kind(answer), '.wav')}"
        try:
            await asyncio.to_thread(_write, path, answer.body)
        except OSError as error:
            return FoundAudio(None, f"{path}: {error.strerror}")
        self._kept.grew()
        self._files[url] = path
        self._files.move_to_end(url)
        if len(self._files) > MAX_URLS:
            self._files.popitem(last=False)
        return FoundAudio(path)


def _kind(answer: WebAnswer) -> str:
    return answer.content_type.partition(";")[0].strip().lower()


def _write(path: Path, body: bytes) -> None:
    """Write the file in one step: a worker reads all of it or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    unfinished.write_bytes(body)
    unfinished.replace(path)
