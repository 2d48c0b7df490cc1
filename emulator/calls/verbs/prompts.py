"""Playing prompts: words, files, URLs and silence, one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from emulator.calls.leg import Prompt
from emulator.calls.verbs.stage import Stage, handler, unless_gone
from emulator.events import JsonValue
from emulator.flow.parameters import mask_secrets
from emulator.flow.ports import (
    AudioFile,
    AudioUrl,
    Capability,
    Play,
    PlayResult,
    Say,
    Silence,
    Source,
)

# Stands for speech where no speech engine is there; built into the worker.
FALLBACK_TONE = "two-tone"


@dataclass(frozen=True, slots=True)
class Located:
    """A source as a leg can play it.

    Attributes:
        said: What the timeline shows of it.
    """

    said: Mapping[str, JsonValue]
    prompt: Prompt


async def locate(stage: Stage, source: Source) -> Located | str:
    """Return where the source's audio is, or why there is none."""
    match source:
        case Say():
            return await _locate_speech(stage, source.text)
        case AudioFile():
            return Located({"file": source.path}, {"path": source.path})
        case AudioUrl():
            fetching = stage.services.audio_urls.fetch(source.url, stage.listener)
            found = await unless_gone(stage, fetching)
            if found is None:
                return f"{mask_secrets(source.url)}: the caller left before it came"
            if found.path is None:
                return f"{mask_secrets(source.url)}: {found.error}"
            said = {"audio_url": mask_secrets(source.url)}
            return Located(said, {"path": str(found.path)})
        case Silence():
            silence_ms = source.duration_ms
            return Located({"silence_ms": silence_ms}, {"silence_ms": silence_ms})
        case _:
            assert_never(source)


async def _locate_speech(stage: Stage, text: str) -> Located:
    speech = stage.services.speech
    rendering = speech.lookup(text)
    if rendering.path is None:
        rendering = (await speech.render([text]))[text]
    if rendering.path is None:
        stage.listener.record(
            "note", text=f"no speech, a two-tone prompt instead: {rendering.error}"
        )
        return Located({"text": text}, {"tone": FALLBACK_TONE})
    return Located({"text": text}, {"path": str(rendering.path)})


class PromptRun:
    """Plays sources to the caller, until they end or are cut."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._is_cut = False

    async def play(self, sources: tuple[Source, ...]) -> PlayResult:
        """Play them in order; stop at the first that does not end by itself."""
        for source in sources:
            located = await locate(self._stage, source)
            if self._is_cut or self._stage.caller_gone.is_set():
                return PlayResult("stopped")
            if isinstance(located, str):
                return PlayResult("failed", located)
            result = await self._play_on_leg(located)
            if result.outcome != "played":
                return result
        return PlayResult("played")

    def cut(self) -> None:
        """Let ``play`` end as soon as it can."""
        self._is_cut = True
        self._stage.leg.stop_prompts()

    async def _play_on_leg(self, located: Located) -> PlayResult:
        ended = await self._stage.leg.play(located.said, **located.prompt)
        self._stage.listener.record(
            "prompt.ended",
            outcome=ended.outcome,
            played_ms=ended.played_ms,
            error=ended.error,
        )
        if ended.outcome == "played":
            return PlayResult("played")
        if ended.outcome == "failed":
            return PlayResult("failed", ended.error)
        return PlayResult("stopped")


async def _play(stage: Stage, verb: Play) -> PlayResult:
    stage.has_greeted = True
    return await PromptRun(stage).play(verb.sources)


PLAY = handler(Play, _play, Capability.PLAY, Capability.AUDIO_URL)
