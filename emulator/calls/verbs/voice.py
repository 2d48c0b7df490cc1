"""Recording what the caller says after the beep."""

from __future__ import annotations

import asyncio

from emulator.calls.verbs.prompts import PromptRun
from emulator.calls.verbs.stage import Stage, handler
from emulator.flow.ports import Capability, Recording, RecordVoice, VoiceResult

BEEP = "beep"
# A beep's echo, and no word.
LEAST_MESSAGE_MS = 200


async def _record_voice(stage: Stage, verb: RecordVoice) -> VoiceResult:
    prompt = await PromptRun(stage).play(verb.prompt)
    if prompt.outcome == "failed":
        stage.listener.record("note", text=f"the prompt failed: {prompt.error}")
    beep = await stage.leg.play({"tone": BEEP}, tone=BEEP)
    stage.listener.record(
        "prompt.ended", outcome=beep.outcome, played_ms=beep.played_ms
    )
    if stage.caller_gone.is_set():
        return VoiceResult(None)
    recording = stage.services.recordings.start(
        stage.leg,
        stage.services.ids.sid(stage.services.clock.utc()),
        Recording(),
        parties="caller",
        max_s=verb.max_s,
    )
    await _until_said(stage, verb)
    recording.stop()
    ended = await recording.ended()
    if ended.error or ended.duration_ms < LEAST_MESSAGE_MS:
        return VoiceResult(None)
    stage.listener.record("note", text=f"a message in the mailbox {verb.mailbox!r}")
    return VoiceResult(recording.url, ended.duration_ms / 1000)


async def _until_said(stage: Stage, verb: RecordVoice) -> None:
    """Wait for the finishing key, the longest message, or the end of the call."""
    with stage.keys.listen() as pressed:
        finished = asyncio.create_task(_until_key(pressed, verb.finish_on_key))
        gone = asyncio.create_task(stage.caller_gone.wait())
        both = {finished, gone}
        try:
            await asyncio.wait(
                both, timeout=verb.max_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)


async def _until_key(pressed: asyncio.Queue[str], wanted: str | None) -> bool:
    while await pressed.get() != wanted:
        pass
    return True


RECORD_VOICE = handler(RecordVoice, _record_voice, Capability.RECORD_VOICE)
