"""Any valid flow, whatever its verbs report and whenever the caller goes, comes to an
end: within its bounds, without an exception, with transitions in order."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from emulator.flow.context import CallContext, FlowOptions
from emulator.flow.engine import AppletEntered, AppletLeft, Finished, FlowRun, Step
from emulator.flow.model import Flow
from emulator.flow.ports import (
    Collect,
    CollectResult,
    Dial,
    DialResult,
    Done,
    FailStream,
    Fetch,
    FetchResult,
    LegOutcome,
    OpenStream,
    Play,
    PlayResult,
    RecordVoice,
    StartStream,
    StayOnLine,
    StopStream,
    StreamResult,
    StreamStarted,
    TellTime,
    Time,
    Verb,
    VoiceResult,
)

URL, BOT = "http://127.0.0.1:5003/hook", "ws://127.0.0.1:5001/media"
NODES = ["a", "b", "c", "d"]
PROMPT = {"text": "One."}
NOW = datetime(2025, 6, 24, 4, 30, tzinfo=UTC)

# Type and fields, then the names of the exits.
KINDS: list[tuple[dict[str, Any], list[str]]] = [
    ({"type": "greeting", "text": "Hello."}, ["next"]),
    ({"type": "greeting", "url": URL}, ["next"]),
    ({"type": "voicebot", "url": BOT}, ["next"]),
    ({"type": "voicebot", "url": URL}, ["next"]),
    ({"type": "voicebot", "url": f"{BOT} "}, ["next"]),
    ({"type": "stream", "action": "start", "url": BOT}, ["next"]),
    ({"type": "stream", "action": "stop"}, ["next"]),
    ({"type": "passthru", "url": URL}, ["on_ok", "on_other"]),
    ({"type": "passthru", "url": URL, "async": True}, ["next"]),
    ({"type": "gather", "prompt": PROMPT, "repeat": 1}, ["on_digits", "on_nothing"]),
    ({"type": "gather", "url": URL}, ["on_digits", "on_nothing"]),
    ({"type": "ivr", "prompt": PROMPT, "keys": {"1": "a"}}, ["invalid"]),
    ({"type": "switch", "cases": {"x": "a", "y.z": "b"}}, ["default"]),
    ({"type": "timing", "hours": {"tue": "09:00-18:00"}}, ["open", "closed"]),
    ({"type": "transfer", "to": "walk"}, []),
    ({"type": "voicemail", "prompt": PROMPT, "mailbox": "m"}, ["next"]),
    ({"type": "sms", "url": URL}, ["next"]),
    ({"type": "email", "to": "a@b"}, ["next"]),
    ({"type": "hangup"}, []),
    (
        {"type": "connect", "url": URL},
        ["after_conversation", "no_answer", "not_dialled"],
    ),
]


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    applets = {}
    for node in NODES:
        fields, exits = draw(st.sampled_from(KINDS))
        ways = {e: draw(st.sampled_from([*NODES, None])) for e in exits}
        applets[node] = {**fields, **ways}
    return Flow.model_validate(
        {"flow": "walk", "app_id": "1", "start": "a", "applets": applets}
    )


NUMBERS = st.lists(st.sampled_from(["user:alice", "sip:pbx", "0990", "?"]), max_size=4)
BODIES = st.one_of(
    st.text(max_size=20),
    st.builds(
        lambda numbers, again: json.dumps(
            {
                "fetch_after_attempt": again,
                "destination": {"numbers": numbers},
                "gather_prompt": {"text": "?"},
                "select": "y.z",
                "url": BOT,
            }
        ),
        NUMBERS,
        st.booleans(),
    ),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["destination", "numbers", "gather_prompt", "text"]),
                inner,
                max_size=3,
            )
        ),
        max_leaves=5,
    ).map(json.dumps),
)
FETCHED = st.builds(
    FetchResult,
    st.sampled_from([200, 200, 200, 302, 500, None]),
    st.sampled_from(["text/plain", "application/json", ""]),
    BODIES,
    st.just("timed out"),
)
STREAMED = st.builds(
    StreamResult,
    st.sampled_from(["s1", "s2", None]),
    st.sampled_from(["completed", "failed", "cancelled"]),
    st.sampled_from(["bot", "user", "NA"]),
    duration_s=st.none() | st.floats(0, 10),
)
DIALLED = st.builds(
    DialResult,
    st.lists(
        st.builds(
            LegOutcome, st.text(max_size=3), st.sampled_from(["busy", "completed"])
        ),
        max_size=2,
    ).map(tuple),
    st.none() | st.floats(0, 10),
    st.sampled_from(["caller", "callee", None]),
)
RESULTS: dict[type[Verb[Any]], st.SearchStrategy[Any]] = {
    Play: st.sampled_from([PlayResult("played"), PlayResult("failed", "no file")]),
    OpenStream: STREAMED,
    FailStream: STREAMED,
    StartStream: st.builds(StreamStarted, st.sampled_from(["s1", "s2"])),
    StopStream: STREAMED,
    Fetch: FETCHED,
    TellTime: st.just(Time(NOW)),
    Collect: st.builds(CollectResult, st.sampled_from(["", "1", "42"])),
    Dial: DIALLED,
    RecordVoice: st.builds(VoiceResult, st.none() | st.just("http://r/x.mp3")),
}


def check_order(step: Step, inside: list[str]) -> None:
    """Applets are entered and left in turn."""
    for happened in step.transitions:
        match happened:
            case AppletEntered(node=node):
                assert not inside
                inside.append(node)
            case AppletLeft(node=node):
                assert inside == [node]
                inside.clear()
            case _:
                assert happened.text


@given(flows(), st.data())
def test_every_walk_comes_to_an_end(flow: Flow, data: st.DataObject) -> None:
    leaves_after = data.draw(st.integers(0, 30))
    run = FlowRun(
        flow,
        CallContext("c1", "1", "2", created_at=NOW),
        FlowOptions(max_steps=20),
        find_flow={"walk": flow}.get,
    )
    step, verbs = run.start(), 0
    inside: list[str] = []
    check_order(step, inside)
    is_gone = has_gone = False
    while isinstance(step.action, Verb):
        verbs += 1
        assert verbs < 20 * 110
        is_gone = is_gone or verbs > leaves_after
        stays = isinstance(step.action, StayOnLine)
        result = data.draw(RESULTS.get(type(step.action), st.just(Done())))
        if is_gone or stays:
            knows_nothing = not has_gone and data.draw(st.booleans())
            step = run.caller_gone(None if knows_nothing else result)
            is_gone = has_gone = True
            assert isinstance(step.action, Finished) or not step.action.needs_caller
        else:
            step = run.resume(result)
        check_order(step, inside)
    assert isinstance(step.action, Finished) and step.action.why
    assert not run.is_waiting
