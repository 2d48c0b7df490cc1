"""Passthru: golden query strings, its exits, and what it says of a caller who left."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus

import pytest

from emulator.flow.context import CallContext, FlowOptions, PassthruOptions
from emulator.flow.engine import AppletLeft, Finished, FlowRun, Noted, Step
from emulator.flow.model import Flow
from emulator.flow.parameters import add_query, mask_secrets
from emulator.flow.ports import (
    DialResult,
    Done,
    Fetch,
    FetchResult,
    LegOutcome,
    OpenStream,
    Play,
    PlayResult,
    StartStream,
    StayOnLine,
    StopStream,
    StreamResult,
    StreamStarted,
    TellTime,
    Time,
    VoiceResult,
)

NOW = datetime(2025, 6, 24, 4, 30, 9, tzinfo=UTC)
CREATED = datetime(2025, 6, 24, 4, 30, 0, tzinfo=UTC)
HOOK = "http://127.0.0.1:5003/decide?key=1"
BOT_URL = "wss://key:token@bot.example/media?queue=sales"
SID = "0123456789abcdef0123456789ab196o"
BASE = (
    f"{HOOK}&CallSid=c1&CallFrom=09900000001&CallTo=08010000001"
    "&CallStatus=in-progress&Direction=incoming&Created=Tue, 24 Jun 2025 10:00:00"
    "&DialCallDuration=0&StartTime=2025-06-24 10:00:00&EndTime=1970-01-01 05:30:00"
    "&CallType=call-attempt&DialWhomNumber=&From=09900000001&To=08010000001"
    "&CurrentTime=2025-06-24 10:00:09&flow_id=1005&tenant_id=exotel1"
    "&ForwardedFrom=null&ProcessStatus=null&RecordingAvailableBy=null"
)
GONE = BASE.replace("CallStatus=in-progress", "CallStatus=completed").replace(
    "EndTime=1970-01-01 05:30:00", "EndTime=2025-06-24 10:00:09"
)
URL_FIELD = "&Stream[StreamUrl]=wss://***@bot.example/media?queue=sales"


def begin(
    applets: Mapping[str, Mapping[str, Any]],
    passthru: PassthruOptions | None = None,
    **facts: Any,
) -> tuple[FlowRun, Step]:
    nodes = {"bye": {"type": "hangup"}, **applets}
    start = next(iter(applets))
    flow = Flow.model_validate(
        {"flow": "handover", "app_id": "1005", "start": start, "applets": nodes}
    )
    context = CallContext(
        "c1",
        "09900000001",
        "08010000001",
        created_at=CREATED,
        account_sid="exotel1",
        **facts,
    )
    options = FlowOptions(passthru=passthru or PassthruOptions())
    run = FlowRun(flow, context, options)
    return run, run.start()


def bot(next_: str = "decide") -> dict[str, str]:
    return {"type": "voicebot", "url": BOT_URL, "next": next_}


def greet() -> dict[str, str]:
    return {"type": "greeting", "text": "Hello.", "next": "bot"}


def decide(**more: object) -> dict[str, object]:
    exits = {} if more.get("async") else {"on_ok": "bye", "on_other": "bye"}
    return {"type": "passthru", "url": HOOK, **exits, **more}


def sent(run: FlowRun, step: Step) -> str:
    """Return the decoded URL of the request that the next two steps make."""
    assert isinstance(step.action, TellTime)
    step = run.resume(Time(NOW))
    assert isinstance(step.action, Fetch)
    return unquote_plus(step.action.url)


def test_before_any_stream_the_call_alone_is_told() -> None:
    run, step = begin({"decide": decide()})
    assert sent(run, step) == BASE


def test_the_query_is_encoded_behind_the_urls_own() -> None:
    assert add_query("http://a/b?x=%20y#z", [("Stream[Error]", "a b&c=é")]) == (
        "http://a/b?x=%20y&Stream%5BError%5D=a+b%26c%3D%C3%A9"
    )
    assert add_query("http://a", [("b", "c")]) == "http://a?b=c"


@pytest.mark.parametrize(
    ("result", "told"),
    [
        pytest.param(
            StreamResult(SID, "completed", "bot", duration_s=29.7),
            f"&Stream[StreamSID]={SID}&Stream[Status]=completed&Stream[Duration]=29"
            f"{URL_FIELD}&Stream[DisconnectedBy]=bot",
            id="completed",
        ),
        pytest.param(
            StreamResult(
                SID,
                "failed",
                "NA",
                "3009 failed to establish ws conn dial tcp 127.0.0.1:5001: "
                "connect: connection refused",
                duration_s=0.0,
                recording_url="http://r.example/x.mp3",
            ),
            f"&Stream[StreamSID]={SID}&Stream[Status]=failed&Stream[Duration]=0"
            f"{URL_FIELD}&Stream[RecordingUrl]=http://r.example/x.mp3"
            "&Stream[DisconnectedBy]=NA"
            "&Stream[Error]=3009 failed to establish ws conn dial tcp "
            "127.0.0.1:5001: connect: connection refused",
            id="failed",
        ),
        pytest.param(
            StreamResult(
                SID, "failed", "NA", detailed_status="Streaming_call_throttled"
            ),
            f"&Stream[StreamSID]={SID}&Stream[Status]=failed{URL_FIELD}"
            "&Stream[DisconnectedBy]=NA"
            "&Stream[DetailedStatus]=Streaming_call_throttled",
            id="throttled",
        ),
    ],
)
def test_behind_a_voicebot_the_stream_is_told(result: StreamResult, told: str) -> None:
    run, _ = begin({"bot": bot(), "decide": decide()})
    assert sent(run, run.resume(result)) == BASE + told


def test_the_stream_can_be_told_as_json() -> None:
    run, _ = begin(
        {"bot": bot(), "decide": decide()},
        PassthruOptions(stream_fields_encoding="json"),
    )
    result = StreamResult(SID, "completed", "bot", duration_s=2)
    assert sent(run, run.resume(result)) == (
        f'{BASE}&Stream={{"StreamSID": "{SID}", "Status": "completed", '
        '"Duration": "2", "StreamUrl": "wss://***@bot.example/media?queue=sales", '
        '"DisconnectedBy": "bot"}'
    )


def test_a_stream_that_still_runs_has_only_sid_and_url() -> None:
    stream = {"type": "stream", "action": "start", "url": BOT_URL, "next": "decide"}
    run, step = begin({"stream": stream, "decide": decide()})
    assert isinstance(step.action, StartStream)
    url = sent(run, run.resume(StreamStarted(SID)))
    assert url == f"{BASE}&Stream[StreamSID]={SID}{URL_FIELD}"


def test_a_stopped_stream_is_told_in_full_and_so_is_one_that_ended_itself() -> None:
    start = {"type": "stream", "action": "start", "url": BOT_URL, "next": "greet"}
    stop = {"type": "stream", "action": "stop", "next": "decide"}
    applets = {"s": start, "greet": {**greet(), "next": "stop"}, "stop": stop}
    ended = StreamResult(SID, "completed", "bot", duration_s=1)
    told = (
        f"{BASE}&Stream[StreamSID]={SID}&Stream[Status]=completed"
        f"&Stream[Duration]=1{URL_FIELD}&Stream[DisconnectedBy]=bot"
    )

    run, _ = begin({**applets, "decide": decide()})
    assert isinstance(run.resume(StreamStarted(SID)).action, Play)
    assert run.resume(PlayResult("played")).action == StopStream(SID)
    assert sent(run, run.resume(ended)) == told

    run, _ = begin({**applets, "decide": decide()})
    run.resume(StreamStarted(SID))
    run.stream_ended(ended)
    assert sent(run, run.resume(PlayResult("played"))) == told


def test_headers_and_fields_of_the_call_are_told() -> None:
    run, step = begin(
        {"decide": decide()},
        sip_parameters={"UUI": "7", "Custom-Header": "Sales Bot"},
        custom_field="crm 42",
    )
    assert sent(run, step) == (
        f'{BASE}&CustomField=crm 42&SIPCustomHeader={{"Custom-Header": "Sales Bot", '
        '"UUI": "7"}'
    )


@pytest.mark.parametrize(
    ("answer", "exit_", "why"),
    [
        (FetchResult(200), "on_ok", "the answer was 200"),
        (FetchResult(201), "on_other", "the answer was 201"),
        (FetchResult(302), "on_other", "the answer was 302"),
        (FetchResult(500), "on_other", "the answer was 500"),
        (FetchResult(None, error="timed out"), "on_other", "no answer: timed out"),
    ],
)
def test_only_a_200_takes_the_first_exit(
    answer: FetchResult, exit_: str, why: str
) -> None:
    run, step = begin({"decide": decide()})
    sent(run, step)
    left = run.resume(answer).transitions[0]
    assert isinstance(left, AppletLeft)
    assert (left.exit, left.why) == (exit_, why)


def test_async_goes_on_without_the_answer() -> None:
    run, _ = begin({"decide": decide(**{"async": True, "next": "bye"})})
    fetch = run.resume(Time(NOW)).action
    assert isinstance(fetch, Fetch) and not fetch.is_awaited
    left = run.resume(FetchResult(None)).transitions[0]
    assert isinstance(left, AppletLeft) and left.exit == "next"


def test_post_carries_the_same_pairs_as_a_form() -> None:
    run, _ = begin({"decide": decide()}, PassthruOptions(method="POST"))
    fetch = run.resume(Time(NOW)).action
    assert isinstance(fetch, Fetch)
    assert (fetch.method, fetch.url) == ("POST", HOOK)
    assert unquote_plus(add_query(HOOK, list(fetch.form))) == BASE


def test_an_empty_exit_leaves_the_call_open_until_the_caller_goes() -> None:
    run, _ = begin({"decide": decide(on_ok=None)})
    run.resume(Time(NOW))
    step = run.resume(FetchResult(200))
    assert isinstance(step.action, StayOnLine)
    assert run.caller_gone(Done()).action == Finished("the caller has gone")

    run, _ = begin({"decide": decide(on_ok=None)}, PassthruOptions(empty_exit="hangup"))
    run.resume(Time(NOW))
    assert isinstance(run.resume(FetchResult(200)).action, Finished)


def finish(run: FlowRun) -> None:
    """The request was answered: the answer leads nowhere."""
    step = run.resume(FetchResult(500))
    assert step.action == Finished("the caller has gone")


def test_a_caller_who_leaves_during_the_greeting_has_cancelled_the_stream() -> None:
    run, _ = begin({"greet": greet(), "bot": bot(), "decide": decide()})
    step = run.caller_gone(PlayResult("stopped"))
    assert Noted("passed over bot: the caller has gone") in step.transitions
    assert sent(run, step) == (
        f"{GONE}&Stream[Status]=cancelled&Stream[DisconnectedBy]=user"
    )
    finish(run)


def test_a_caller_who_leaves_during_set_up_has_cancelled_a_stream_with_a_sid() -> None:
    run, step = begin({"bot": bot(), "decide": decide()})
    assert isinstance(step.action, OpenStream)
    step = run.caller_gone(StreamResult(SID, "cancelled", "user"))
    assert sent(run, step) == (
        f"{GONE}&Stream[StreamSID]={SID}&Stream[Status]=cancelled{URL_FIELD}"
        "&Stream[DisconnectedBy]=user"
    )
    finish(run)


def test_a_caller_who_leaves_mid_stream_has_completed_it() -> None:
    run, _ = begin({"bot": bot(), "decide": decide()})
    step = run.caller_gone(StreamResult(SID, "completed", "user", duration_s=12.2))
    assert sent(run, step) == (
        f"{GONE}&Stream[StreamSID]={SID}&Stream[Status]=completed"
        f"&Stream[Duration]=12{URL_FIELD}&Stream[DisconnectedBy]=user"
    )
    finish(run)


def test_only_the_first_passthru_is_sent() -> None:
    run, _ = begin(
        {"bot": bot("a"), "a": decide(on_other="b"), "b": decide(on_other="a")}
    )
    sent(run, run.caller_gone(StreamResult(SID, "completed", "user", duration_s=1)))
    finish(run)


def test_a_request_that_is_under_way_when_the_caller_goes_is_the_only_one() -> None:
    run, _ = begin({"a": decide(on_other="b"), "b": decide()})
    step = run.caller_gone(Time(NOW))
    assert isinstance(step.action, Fetch)
    step = run.caller_gone(FetchResult(404))
    assert step.action == Finished("the caller has gone")


def test_the_request_after_the_hangup_can_be_turned_off() -> None:
    options = PassthruOptions(after_hangup="never")
    run, _ = begin({"bot": bot(), "decide": decide()}, options)
    step = run.caller_gone(StreamResult(SID, "completed", "user", duration_s=1))
    assert step.action == Finished("the caller has gone")


def test_behind_a_request_that_was_out_when_the_caller_left_one_more_is_sent() -> None:
    run, _ = begin(
        {"a": decide(on_other="b"), "b": decide(on_other="c"), "c": decide()}
    )
    step = run.resume(Time(NOW))
    assert isinstance(step.action, Fetch)
    left = datetime(2025, 6, 24, 4, 30, 5, tzinfo=UTC)
    run.caller_gone(FetchResult(None, error="the caller left"), left)
    step = run.resume(Time(NOW))
    assert isinstance(step.action, Fetch)
    query = unquote_plus(step.action.url)
    assert "CallStatus=completed" in query
    # When the caller left, not when this is sent.
    assert "EndTime=2025-06-24 10:00:05" in query
    assert "CurrentTime=2025-06-24 10:00:09" in query
    step = run.resume(FetchResult(404))
    assert step.action == Finished("the caller has gone")


def asked_last(run: FlowRun) -> str:
    step = run.resume(Time(NOW))
    assert isinstance(step.action, Fetch)
    return unquote_plus(step.action.url)


def test_a_recording_is_told_by_what_follows_it_and_call_type_by_what_came_last() -> (
    None
):
    voicemail = {"type": "voicemail", "prompt": {"text": "."}, "mailbox": "m"}
    run, _ = begin(
        {
            "mail": {**voicemail, "next": "one"},
            "one": decide(on_ok="dial"),
            "dial": {"type": "connect", "dial": ["0991"], "after_conversation": "two"},
            "two": decide(on_ok="two-b"),
            "two-b": decide(on_ok="greet"),
            "greet": {"type": "greeting", "text": "Hello.", "next": "three"},
            "three": decide(),
        }
    )
    run.resume(VoiceResult("http://h/mail.mp3", 2.0))
    told = asked_last(run)
    assert "CallType=voicemail" in told and "RecordingUrl=http://h/mail.mp3" in told
    run.resume(FetchResult(200))
    legs = (LegOutcome("0991", "completed", 3.0),)
    run.resume(DialResult(legs, 3.0, "callee", "http://h/talk.mp3"))
    for _ in range(2):  # A Passthru between them is none that counts.
        told = asked_last(run)
        assert "CallType=completed" in told and "RecordingUrl=http://h/talk.mp3" in told
        run.resume(FetchResult(200))
    run.resume(PlayResult("played"))
    assert "RecordingUrl" not in asked_last(run)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://u:p@h/a?b=1", "http://***@h/a?b=1"),
        ("http://[::1/a.wav", "http://[::1/a.wav"),
        ("//a:b@@c]/", "//***@c]/"),
        ("h/?token=t1&x=2", "h/?token=***&x=2"),
        ("h/?x=1&apikey=a&key=b&password=c", "h/?x=1&apikey=***&key=***&password=***"),
        (
            "h/?access_token=a;secret=b&auth=c#d",
            "h/?access_token=***;secret=***&auth=***#d",
        ),
        (
            "h/?U=wss%3A%2F%2Fb%3Fapi_key%3Dz%26q%3D1&flow_id=5",
            "h/?U=wss%3A%2F%2Fb%3Fapi_key%3D***%26q%3D1&flow_id=5",
        ),
        ("h/?monkey=1&tokens=2&CallSid=3", "h/?monkey=1&tokens=2&CallSid=3"),
    ],
)
def test_secrets_of_urls_are_masked_and_broken_ones_are_left(
    url: str, shown: str
) -> None:
    assert mask_secrets(url) == shown
