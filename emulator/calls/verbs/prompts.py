"""Playing prompts: words, files and silence, one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from emulator.calls.leg import Prompt
from emulator.calls.verbs.stage import Stage, handler
from emulator.errors import LocalProtocolError
from emulator.events import JsonValue
from emulator.flow.ports import (
    AudioFile,
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


async def locate(stage: Stage, source: Source) -> Located | PlayResult:
    """Return where the source's audio is, or the failed result that it has."""
    match source:
        case Say():
            return await _locate_speech(stage, source.text)
        case AudioFile():
            return Located({"file": source.path}, {"path": source.path})
        case Silence():
            silence_ms = source.duration_ms
            return Located({"silence_ms": silence_ms}, {"silence_ms": silence_ms})
        case _:
            raise LocalProtocolError(f"nobody plays {type(source).__name__}")


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


async def play(stage: Stage, sources: tuple[Source, ...]) -> PlayResult:
    """Play the sources to the caller; stop at the first that does not end by itself."""
    for source in sources:
        located = await locate(stage, source)
        if isinstance(located, PlayResult):
            return located
        result = await _play_on_leg(stage, located)
        if result.outcome != "played":
            return result
    return PlayResult("played")


async def _play_on_leg(stage: Stage, located: Located) -> PlayResult:
    ended = await stage.leg.play(located.said, **located.prompt)
    stage.listener.record(
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
    return await play(stage, verb.sources)


PLAY = handler(Play, _play, Capability.PLAY)
