"""The prompts of one leg: loaded in any order, played in the order of the commands."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import partial

from emulator.events import JsonValue
from emulator.media.g711 import BYTES_PER_MS, Law, transcode
from emulator.media.playout import Playout
from emulator.media.prompts import Prompt, PromptCache, read_prompt
from emulator.media.tones import TONES, built_in_prompt
from emulator.worker.messages import Happened, Play, PlayEnded
from emulator.worker.surroundings import Surroundings

# Longer silence than the longest prompt is a mistake.
MAX_SILENCE_MS = 600_000
# What loops is repeated to at least this length, the longest packet's.
_MIN_LOOP_BYTES = 60 * BYTES_PER_MS


@dataclass(slots=True, eq=False)
class _Prompt:
    """One ``Play`` on its way: ``audio`` is None until it has been loaded."""

    command: Play
    law: Law
    audio: bytes | None = None
    started_s: float | None = None

    @property
    def name(self) -> str:
        command = self.command
        return command.path or command.tone or f"silence {command.silence_ms} ms"

    def played_ms(self, left_bytes: int) -> int:
        return (len(self.audio or b"") - left_bytes) // BYTES_PER_MS


class Plays:
    """Feeds prompts to a playout and reports the end of each, once."""

    def __init__(
        self, playout: Playout, law: Law, cache: PromptCache, around: Surroundings
    ) -> None:
        self.law = law
        self._playout = playout
        self._cache = cache
        self._around = around
        self._waiting: deque[_Prompt] = deque()
        self._queued: dict[str, _Prompt] = {}

    def play(self, command: Play) -> None:
        """Queue a prompt behind those that were asked for before."""
        prompt = _Prompt(command, self.law)
        self._waiting.append(prompt)
        if command.path is not None:
            self._load(prompt, command.path)
            return
        if command.tone is not None:
            self._make(prompt, command.tone)
            return
        wanted_ms = min(max(command.silence_ms or 0, 0), MAX_SILENCE_MS)
        self._loaded(prompt, self.law.quiet(wanted_ms * BYTES_PER_MS))

    def stop(self, play_id: str) -> None:
        """Cut a prompt, wherever it is on its way; unknown ones have ended."""
        for prompt in self._waiting:
            if prompt.command.play_id == play_id:
                self._waiting.remove(prompt)
                self._end(prompt, "stopped", 0)
                self._enqueue()
                return
        queued = self._queued.pop(play_id, None)
        if queued is not None:
            self._end(queued, "stopped", self._cut(queued))

    def end_all(self) -> None:
        """The leg goes: every prompt ends."""
        for prompt in self._queued.values():
            self._end(prompt, "leg_removed", self._cut(prompt))
        for prompt in self._waiting:
            self._end(prompt, "leg_removed", 0)
        self._queued.clear()
        self._waiting.clear()

    def _cut(self, prompt: _Prompt) -> int:
        """Drop what is left of a prompt; return how much was heard, in ms."""
        left = self._playout.remove(prompt)
        if not prompt.command.loop:
            return prompt.played_ms(left)
        if prompt.started_s is None:
            return 0
        return round(1000 * (self._around.clock.monotonic_s() - prompt.started_s))

    def _make(self, prompt: _Prompt, tone: str) -> None:
        if tone not in TONES:
            known = ", ".join(TONES)
            self._fail(prompt, f"no tone {tone!r}; there are {known}")
            return

        def done(result: bytes | Exception) -> None:
            if isinstance(result, Exception):
                self._fail(prompt, str(result))
            else:
                self._loaded(prompt, result)

        make = partial(built_in_prompt, tone, prompt.law)
        self._around.background.run(make, done)

    def _load(self, prompt: _Prompt, path: str) -> None:
        known = self._cache.get(path, prompt.law)

        def done(result: Prompt | Exception) -> None:
            if isinstance(result, Exception):
                self._fail(prompt, str(result))
                return
            self._cache.put(path, prompt.law, result)
            self._loaded(prompt, result.audio)

        self._around.background.run(partial(read_prompt, path, prompt.law, known), done)

    def _loaded(self, prompt: _Prompt, audio: bytes) -> None:
        if prompt in self._waiting:
            prompt.audio = audio
            self._enqueue()

    def _fail(self, prompt: _Prompt, error: str) -> None:
        if prompt in self._waiting:
            self._waiting.remove(prompt)
            self._end(prompt, "failed", 0, error)
            self._enqueue()

    def _enqueue(self) -> None:
        """Hand over every loaded prompt that no earlier one holds up."""
        while self._waiting and self._waiting[0].audio is not None:
            prompt = self._waiting.popleft()
            audio = self._waiting_audio(prompt)
            loops = prompt.command.loop and bool(audio)
            if loops and len(audio) < _MIN_LOOP_BYTES:
                audio *= -(-_MIN_LOOP_BYTES // len(audio))
            self._queued[prompt.command.play_id] = prompt
            self._playout.mark_start(prompt, partial(self._started, prompt))
            self._playout.add(audio, prompt, loops=loops)
            self._playout.mark(prompt, partial(self._played, prompt))

    def _waiting_audio(self, prompt: _Prompt) -> bytes:
        """The prompt in the leg's codec, which may have changed since it was asked."""
        assert prompt.audio is not None
        if prompt.law is self.law:
            return prompt.audio
        return transcode(prompt.audio, prompt.law, self.law)

    def _started(self, prompt: _Prompt) -> None:
        command = prompt.command
        data: dict[str, JsonValue] = {
            "play_id": command.play_id,
            "prompt": prompt.name,
            "duration_ms": prompt.played_ms(0),
        }
        if command.loop:
            data["loop"] = True
        prompt.started_s = now_s = self._around.clock.monotonic_s()
        self._around.report(Happened(command.leg_id, "prompt.started", now_s, data))

    def _played(self, prompt: _Prompt) -> None:
        self._queued.pop(prompt.command.play_id, None)
        self._end(prompt, "played", prompt.played_ms(0))

    def _end(
        self, prompt: _Prompt, outcome: str, played_ms: int, error: str | None = None
    ) -> None:
        command = prompt.command
        self._around.report(
            PlayEnded(command.leg_id, command.play_id, outcome, played_ms, error)
        )
