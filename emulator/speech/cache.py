"""Prompts as files: rendered once, found by text and voice ever after."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# eSpeak NG takes some ms for a sentence; 1000 characters are a minute of speech.
MAX_TEXT_CHARS = 1000
# Start of the child, and the longest text, with much to spare on a busy machine.
CHILD_START_S = 10.0
TEXT_S = 2.0
# Texts that a webhook answers may never come again: the oldest files go.
MAX_CACHE_BYTES = 512 * 1024 * 1024
MAX_ERRORS = 1000
# Texts that may end the child before the rest is given up.
MAX_CHILD_DEATHS = 3
# Part of every file name: a change of engine or format makes new files.
_FORMAT = "espeak-ng 8000 s16 1"
_RENDERER = (sys.executable, "-m", "emulator.speech.render")


@dataclass(frozen=True, slots=True)
class Rendering:
    """A text as a WAV file (8 kHz, mono, 16 bit), or why there is none.

    Without a ``path``, a two-tone prompt takes its place and the timeline says
    ``error``.
    """

    path: Path | None
    error: str | None = None


class SpeechCache:
    """Renderings of one voice in one directory.

    Args:
        renderer: The command of the rendering child.
        start_s, text_s: How long the child may take, and each text on top.
    """

    def __init__(
        self,
        directory: Path,
        voice: str,
        *,
        renderer: Sequence[str] = _RENDERER,
        start_s: float = CHILD_START_S,
        text_s: float = TEXT_S,
    ) -> None:
        self._directory = directory
        self._voice = voice
        self._renderer = renderer
        self._start_s = start_s
        self._text_s = text_s
        self._errors: dict[str, str] = {}
        self._lock = asyncio.Lock()

    def path_for(self, text: str) -> Path:
        """Return where the rendering of ``text`` is, or will be."""
        key = json.dumps([_FORMAT, self._voice, text]).encode()
        return self._directory / f"{hashlib.sha256(key).hexdigest()[:32]}.wav"

    def lookup(self, text: str) -> Rendering:
        """Return what is known of ``text`` now; renders nothing."""
        path = self.path_for(text)
        if path.is_file():
            return Rendering(path)
        return Rendering(None, self._errors.get(text, "it has not been rendered yet"))

    async def render(self, texts: Iterable[str]) -> Mapping[str, Rendering]:
        """Render those of ``texts`` that are missing, in one child process.

        Never raises for what goes wrong with speech: the renderings say it.
        """
        wanted = list(dict.fromkeys(texts))
        async with self._lock:
            missing = [text for text in wanted if self.lookup(text).path is None]
            self._errors.update(await self._fill(self._fitting(missing)))
            if missing:
                await asyncio.to_thread(_sweep, self._directory)
                self._forget_errors()
        return {text: self.lookup(text) for text in wanted}

    def _forget_errors(self) -> None:
        while len(self._errors) > MAX_ERRORS:
            del self._errors[next(iter(self._errors))]

    def _fitting(self, texts: Sequence[str]) -> list[str]:
        for text in texts:
            if len(text) > MAX_TEXT_CHARS:
                self._errors[text] = f"longer than {MAX_TEXT_CHARS} characters"
        return [text for text in texts if len(text) <= MAX_TEXT_CHARS]

    async def _fill(self, texts: Sequence[str]) -> dict[str, str]:
        """Render ``texts``; return the errors. A text that kills the child is left."""
        if not texts:
            return {}
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            return dict.fromkeys(texts, str(error))
        errors: dict[str, str] = {}
        left = list(texts)
        for _ in range(MAX_CHILD_DEATHS):
            done, death = await self._child(left)
            errors.update({text: error for text, error in done.items() if error})
            left = [text for text in left if text not in done]
            if not left:
                return errors
            errors[left.pop(0)] = death
        return errors | dict.fromkeys(left, f"given up: {death}")

    async def _child(self, texts: Sequence[str]) -> tuple[dict[str, str | None], str]:
        """Run one child; return the error of each text it finished, and its end."""
        jobs = [{"text": text, "path": str(self.path_for(text))} for text in texts]
        order = json.dumps({"voice": self._voice, "jobs": jobs}).encode()
        try:
            process = await asyncio.create_subprocess_exec(
                *self._renderer,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            return {}, f"the speech renderer does not start: {error}"
        output, death = await self._converse(process, order, len(texts))
        errors = _reports(output)
        known = {text: str(self.path_for(text)) for text in texts}
        return {t: errors[path] for t, path in known.items() if path in errors}, death

    async def _converse(
        self, process: asyncio.subprocess.Process, order: bytes, count: int
    ) -> tuple[bytes, str]:
        limit_s = self._start_s + self._text_s * count
        assert process.stdin and process.stdout
        output = bytearray()
        try:
            async with asyncio.timeout(limit_s):
                process.stdin.write(order)
                process.stdin.write_eof()
                while chunk := await process.stdout.read(65536):
                    output += chunk
                return bytes(output), _death(await process.wait())
        except TimeoutError:
            return bytes(output), f"the speech renderer took more than {limit_s:g} s"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def _sweep(directory: Path) -> None:
    """Remove the files that were written longest ago, until the rest fits."""
    files: list[tuple[int, int, Path]] = []
    for path in directory.glob("*.wav"):
        # Another emulator with the same directory may have swept before us.
        with contextlib.suppress(OSError):
            status = path.stat()
            files.append((status.st_mtime_ns, status.st_size, path))
    left_bytes = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if left_bytes <= MAX_CACHE_BYTES:
            return
        path.unlink(missing_ok=True)
        left_bytes -= size


def _reports(output: bytes) -> dict[str, str | None]:
    """Return path to error of every whole line; a line cut by a crash is left out."""
    reports: dict[str, str | None] = {}
    for line in output.splitlines(keepends=True):
        if line.endswith(b"\n") and line.startswith(b"{"):
            entry = json.loads(line)
            reports[entry["path"]] = entry["error"]
    return reports


def _death(status: int) -> str:
    if status < 0:
        return f"the speech renderer crashed (signal {-status})"
    return f"the speech renderer ended with status {status}"
