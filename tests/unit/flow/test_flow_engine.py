"""Walking flows: the exit taken, the order of transitions, bounds, the caller's end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from emulator.errors import LocalProtocolError
from emulator.flow.context import CallContext, FlowOptions
from emulator.flow.engine import (
    AppletEntered,
    AppletLeft,
    Finished,
    FlowRun,
    Step,
    Transition,
)
from emulator.flow.model import Flow
from emulator.flow.ports import (
    AudioFile,
    Done,
    Hangup,
    OpenStream,
    Play,
    PlayResult,
    Say,
    Silence,
    StreamResult,
)

URL = "ws://127.0.0.1:5001/media"
PLAYED = PlayResult("played")
BOT_LEFT = StreamResult("s1", "completed", "bot", duration_s=2.5)
GREET = {"type": "greeting", "text": "Hello.", "next": "bot"}
BOT = {"type": "voicebot", "url": URL, "next": "bye"}
BYE = {"type": "hangup"}


def flow(start: str = "greet", **applets: dict[str, Any]) -> Flow:
    return Flow.model_validate(
        {"flow": "test", "app_id": "1", "start": start, "applets": applets}
    )


def begin(
    flow: Flow,
    options: FlowOptions | None = None,
    sip_parameters: Mapping[str, str] | None = None,
) -> tuple[FlowRun, Step]:
    context = CallContext("call", "09900000001", "08010000001", sip_parameters or {})
    run = FlowRun(flow, context, options)
    return run, run.start()


def words(transitions: tuple[Transition, ...]) -> list[str]:
    """Return ``> node`` and ``node exit> target`` for what happened, in order."""
    said = []
    for happened in transitions:
        match happened:
            case AppletEntered():
                said.append(f"> {happened.node} ({happened.type})")
            case AppletLeft():
                said.append(f"{happened.node} {happened.exit}> {happened.target}")
            case _:
                said.append(happened.text)
    return said


def why(step: Step) -> str:
    left = [t for t in step.transitions if isinstance(t, AppletLeft)]
    return left[0].why


def test_a_call_walks_from_applet_to_applet_in_order() -> None:
    run, step = begin(flow(greet=GREET, bot=BOT, bye=BYE))
    assert (step.action, words(step.transitions)) == (
        Play((Say("Hello."),)),
        ["> greet (greeting)"],
    )
    step = run.resume(PLAYED)
    assert step.action == OpenStream(URL)
    assert words(step.transitions) == ["greet next> bot", "> bot (voicebot)"]
    step = run.resume(BOT_LEFT)
    assert step.action == Hangup("the flow hung up")
    assert words(step.transitions) == ["bot next> bye", "> bye (hangup)"]
    step = run.resume(Done())
    assert step.action == Finished("the call is over")
    assert words(step.transitions) == ["bye None> None"]
    assert not run.is_waiting


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (PLAYED, "the prompt was played"),
        (PlayResult("stopped"), "the prompt was stopped"),
        (
            PlayResult("failed", "no such file"),
            "the prompt failed: no such file",
        ),
    ],
)
def test_a_greeting_goes_on_however_it_ends(result: PlayResult, reason: str) -> None:
    run, _ = begin(flow(greet=GREET, bot=BOT, bye=BYE))
    step = run.resume(result)
    assert why(step) == reason
    assert isinstance(step.action, OpenStream)


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (BOT_LEFT, "the stream was completed, disconnected by bot"),
        (
            StreamResult("s", "failed", "NA", error="3009 failed to …", duration_s=0),
            "the stream failed: 3009 failed to …",
        ),
        (
            StreamResult(
                "s", "failed", "NA", detailed_status="Streaming_call_throttled"
            ),
            "the stream failed: Streaming_call_throttled",
        ),
    ],
)
def test_a_voicebot_has_one_exit_whatever_became_of_the_stream(
    result: StreamResult, reason: str
) -> None:
    run, _ = begin(flow("bot", bot=BOT, bye=BYE))
    step = run.resume(result)
    assert why(step) == reason
    assert isinstance(step.action, Hangup)


@pytest.mark.parametrize(
    ("applet", "source"),
    [
        ({"text": "Hello."}, Say("Hello.")),
        ({"text": "..."}, Silence(1500)),
        ({"text": " - "}, Silence(1500)),
        ({"text": "नमस्ते"}, Say("नमस्ते")),
        ({"file": "hello.wav"}, AudioFile("hello.wav")),
    ],
)
def test_a_greeting_plays_words_a_file_or_a_silence(
    applet: dict[str, str], source: object
) -> None:
    options = FlowOptions(silent_greeting_ms=1500)
    _, step = begin(flow(greet={"type": "greeting", **applet}), options)
    assert step.action == Play((source,))  # type: ignore[arg-type]


def test_a_voicebot_hands_on_rate_codec_and_parameters() -> None:
    url = "wss://k:t@bot.example/m?sample-rate=16000&queue=sales&UUI=flow"
    bot = {**BOT, "url": url, "codec": "mulaw", "custom_parameters": {"tier": "gold"}}
    headers = {"UUI": "caller", "Custom-Header": "x"}
    _, step = begin(flow("bot", bot=bot, bye=BYE), sip_parameters=headers)
    assert step.action == OpenStream(
        url=url,
        two_way=True,
        sample_rate_hz=16000,
        codec="mulaw",
        custom_parameters={
            "Custom-Header": "x",
            "tier": "gold",
        },
    )


@pytest.mark.parametrize(
    ("query", "rate_hz"), [("", 24000), ("?sample-rate=8000", 8000)]
)
def test_the_applets_sample_rate_counts_where_the_url_has_none(
    query: str, rate_hz: int
) -> None:
    bot = {**BOT, "url": f"wss://bot.example/m{query}", "sample_rate": 24000}
    _, step = begin(flow("bot", bot=bot, bye=BYE))
    assert isinstance(step.action, OpenStream)
    assert step.action.sample_rate_hz == rate_hz


def test_a_blank_in_the_url_hangs_up_as_the_platform_does() -> None:
    run, step = begin(flow("bot", bot={**BOT, "url": f"{URL} "}, bye=BYE))
    assert step.action == Hangup("a blank in the Voicebot's URL")
    assert isinstance(run.resume(Done()).action, Finished)


def test_an_empty_exit_ends_the_flow() -> None:
    run, _ = begin(flow(greet={"type": "greeting", "text": "Bye."}))
    step = run.resume(PLAYED)
    assert words(step.transitions) == ["greet next> None"]
    assert step.action == Finished("nothing follows 'greet' at 'next'")


def test_a_loop_ends_after_max_steps() -> None:
    loop = flow(greet={**GREET, "next": "greet"})
    run, step = begin(loop, FlowOptions(max_steps=3))
    played = 0
    while isinstance(step.action, Play):
        played += 1
        step = run.resume(PLAYED)
    assert played == 3
    assert step.action == Finished("flow.max_steps: 3 applets, and still no end")
    assert words(step.transitions) == ["greet next> greet"]


def test_a_caller_may_leave_during_any_verb() -> None:
    run, _ = begin(flow(greet=GREET, bot=BOT, bye=BYE))
    step = run.caller_gone(PlayResult("stopped"))
    assert step.action == Finished("the caller has gone")
    assert words(step.transitions) == ["greet next> bot"]
    assert why(step) == "the caller has gone: the prompt was stopped"

    run, _ = begin(flow("bot", bot=BOT, bye=BYE))
    step = run.caller_gone()
    assert why(step) == "the caller has gone"
    assert not run.is_waiting


def test_a_loop_without_a_caller_ends_too() -> None:
    run, _ = begin(
        flow(greet={**GREET, "next": "again"}, again={**GREET, "next": "greet"})
    )
    step = run.caller_gone()
    assert step.action == Finished("flow.max_steps: 1000 applets, and still no end")


def test_our_own_mistakes_are_refused() -> None:
    run = FlowRun(flow(greet=GREET, bot=BOT, bye=BYE), CallContext("c", "a", "b"))
    with pytest.raises(LocalProtocolError):
        run.resume(PLAYED)
    with pytest.raises(LocalProtocolError):
        run.caller_gone()
    run.start()
    assert run.node == "greet" and run.is_waiting
    with pytest.raises(LocalProtocolError):
        run.start()
    with pytest.raises(LocalProtocolError, match="PlayResult, not StreamResult"):
        run.resume(BOT_LEFT)
    run.caller_gone()
    with pytest.raises(LocalProtocolError):
        run.resume(PLAYED)
