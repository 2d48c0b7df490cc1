"""Collecting digits: the caller's keys cut the prompt short."""

from __future__ import annotations

import asyncio

from emulator.calls.verbs.prompts import PromptRun
from emulator.calls.verbs.stage import Stage, handler
from emulator.flow.ports import Capability, Collect, CollectResult

# Phones of old have A to D too; no menu asks for them.
KEYS = "0123456789*#"


async def _collect(stage: Stage, verb: Collect) -> CollectResult:
    digits = ""
    with stage.keys.listen() as pressed:
        key = await _first_key(stage, verb, pressed)
        while key is not None and key != verb.finish_on_key:
            digits += key if key in KEYS else ""
            if len(digits) >= verb.max_digits:
                break
            key = await _next_key(stage, pressed, verb.timeout_s)
    return CollectResult(digits)


async def _first_key(
    stage: Stage, verb: Collect, pressed: asyncio.Queue[str]
) -> str | None:
    """Play the prompt, and wait for a key during it and after it."""
    prompt = PromptRun(stage)
    playing = asyncio.create_task(prompt.play(verb.prompt))
    key = asyncio.create_task(pressed.get())
    try:
        await asyncio.wait({playing, key}, return_when=asyncio.FIRST_COMPLETED)
        if key.done():
            prompt.cut()
            await playing
            return key.result()
    finally:
        await _cancel(playing, key)
    result = playing.result()
    if result.outcome == "failed":
        stage.listener.record("note", text=f"the prompt failed: {result.error}")
    return await _next_key(stage, pressed, verb.timeout_s)


async def _next_key(
    stage: Stage, pressed: asyncio.Queue[str], timeout_s: float
) -> str | None:
    """Return the next key; None when none came in time, or nobody can press any."""
    key = asyncio.create_task(pressed.get())
    gone = asyncio.create_task(stage.caller_gone.wait())
    try:
        await asyncio.wait(
            {key, gone}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        return key.result() if key.done() else None
    finally:
        await _cancel(key, gone)


async def _cancel(*tasks: asyncio.Task[object]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


COLLECT = handler(Collect, _collect, Capability.COLLECT)
