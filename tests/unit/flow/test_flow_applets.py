"""The smaller applets: every exit of each, and answers that are not as they must be."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from emulator.flow.context import CallContext
from emulator.flow.engine import (
    AppletEntered,
    AppletLeft,
    Finished,
    FlowRun,
    Noted,
    Step,
)
from emulator.flow.model import Flow
from emulator.flow.ports import (
    AudioUrl,
    Collect,
    CollectResult,
    Done,
    FailStream,
    Fetch,
    FetchResult,
    Hangup,
    OpenStream,
    Play,
    PlayResult,
    RecordVoice,
    Say,
    SendMessage,
    Silence,
    StopStream,
    StreamResult,
    StreamStarted,
    TellTime,
    Time,
    VoiceResult,
)

URL = "http://127.0.0.1:5003/hook"
NOW = Time(datetime(2025, 6, 24, 4, 30, tzinfo=UTC))
MENU = {"text": "Press one."}


def flow(name: str = "test", /, **applets: dict[str, Any]) -> Flow:
    nodes = {"a": {"type": "hangup"}, "b": {"type": "hangup"}, **applets}
    start = "it" if "it" in applets else "a"
    return Flow.model_validate(
        {"flow": name, "app_id": "1", "start": start, "applets": nodes}
    )


def begin(**applet: Any) -> tuple[FlowRun, Step]:
    run = FlowRun(flow(it=applet), CallContext("c1", "09900000001", "08010000001"))
    return run, run.start()


def text(body: str, content_type: str = "text/plain", status: int = 200) -> FetchResult:
    return FetchResult(status, content_type, body)


def json_(body: str) -> FetchResult:
    return FetchResult(200, "application/json", body)


def ask(run: FlowRun, step: Step, reply: FetchResult) -> Step:
    """Answer the clock and one request."""
    assert isinstance(step.action, TellTime)
    assert isinstance(run.resume(NOW).action, Fetch)
    return run.resume(reply)


def way(step: Step) -> tuple[str | None, str]:
    """Return the exit taken and why."""
    [left] = [t for t in step.transitions if isinstance(t, AppletLeft)]
    return left.exit, left.why


# --- Gather --------------------------------------------------------------------


def test_gather_takes_digits() -> None:
    run, step = begin(
        type="gather", prompt=MENU, max_digits=4, on_digits="a", on_nothing="b"
    )
    assert step.action == Collect((Say("Press one."),), 4, "#", 5.0)
    assert way(run.resume(CollectResult("1234"))) == ("on_digits", "4 digits entered")


def test_gather_repeats_its_prompt_and_then_gives_up() -> None:
    run, _ = begin(
        type="gather",
        prompt=MENU,
        repeat_prompt={"text": "Again."},
        repeat=1,
        finish_on_key="",
        on_digits="a",
        on_nothing="b",
    )
    step = run.resume(CollectResult(""))
    assert step.action == Collect((Say("Again."),), 255, None, 5.0)
    assert way(run.resume(CollectResult(""))) == ("on_nothing", "nothing was entered")


def test_gather_asks_its_url() -> None:
    run, step = begin(type="gather", url=URL, fallback_url=URL, on_digits="a")
    step = ask(run, step, FetchResult(None, error="timed out"))
    answer = (
        '{"gather_prompt": {"audio_url": "http://a/menu.wav"}, "max_input_digits": 6,'
        ' "finish_on_key": "*", "input_timeout": "7", "repeat_menu": 1,'
        ' "repeat_gather_prompt": {"text": "Again."}}'
    )
    step = ask(run, step, json_(answer))
    assert step.action == Collect((AudioUrl("http://a/menu.wav"),), 6, "*", 7.0)
    assert run.resume(CollectResult("")).action == Collect(
        (Say("Again."),), 6, "*", 7.0
    )


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        '{"gather_prompt": {}}',
        '{"gather_prompt": {"audio_url": "nonsense"}}',
    ],
)
def test_gather_without_a_usable_answer_drops_the_call(body: str) -> None:
    run, step = begin(type="gather", url=URL, on_digits="a", on_nothing="b")
    step = ask(run, step, json_(body))
    assert way(step)[0] is None
    assert isinstance(step.action, Finished)
    assert step.action.why.startswith("the call is dropped: ")


@pytest.mark.parametrize(
    "field",
    ['"max_input_digits": 0', '"finish_on_key": "##"', '"input_timeout": "soon"'],
)
def test_gather_leaves_out_a_field_that_cannot_be_used(field: str) -> None:
    run, step = begin(type="gather", url=URL, on_digits="a", on_nothing="b")
    step = ask(run, step, json_(f'{{"gather_prompt": {{"text": "x"}}, {field}}}'))
    assert step.action == Collect((Say("x"),), 255, "#", 5.0)
    [note] = step.transitions
    assert isinstance(note, Noted) and " is left out: " in note.text


# --- IVR -----------------------------------------------------------------------


def menu(**more: Any) -> tuple[FlowRun, Step]:
    keys = {"1": "a", "#": "b"}
    return begin(type="ivr", prompt=MENU, keys=keys, invalid="b", **more)


@pytest.mark.parametrize("key", ["1", "#"])
def test_a_menu_leads_each_key_its_way(key: str) -> None:
    run, step = menu()
    assert step.action == Collect((Say("Press one."),), 1, None, 5.0)
    assert way(run.resume(CollectResult(key))) == (f"keys.{key}", f"key {key}")


@pytest.mark.parametrize(
    ("key", "why"), [("", "no key was pressed"), ("7", "no such key")]
)
def test_a_menu_is_repeated_before_it_gives_up(key: str, why: str) -> None:
    run, step = menu(repeat=1)
    again = run.resume(CollectResult(key))
    assert again.action == step.action
    assert way(run.resume(CollectResult(key))) == ("invalid", why)


# --- Switch --------------------------------------------------------------------


def switch(answer: FetchResult) -> Step:
    hook = {"type": "passthru", "url": URL, "on_ok": "sw", "on_other": "sw"}
    cases = {"type": "switch", "cases": {"sales": "a", "Sales": "b"}, "default": "b"}
    run = FlowRun(flow(it=hook, sw=cases), CallContext("c", "1", "2"))
    return ask(run, run.start(), answer)


def switched(step: Step) -> tuple[str | None, str]:
    left = [t for t in step.transitions if isinstance(t, AppletLeft)]
    return left[-1].exit, left[-1].why


def test_a_switch_takes_the_selected_case_exactly() -> None:
    step = switch(text('{"select": "Sales"}'))
    assert switched(step) == ("cases.Sales", "selected 'Sales'")
    step = switch(text('{"select": "SALES"}'))
    assert switched(step) == ("default", "'SALES' is no case")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (text("escalate=true"), "the answer was 'escalate=true'"),
        (text('{"select": 1}'), "the answer was '{\"select\": 1}'"),
        (json_('{"select": "sales"}'), "the URL gave application/json"),
        (text('{"select": "sales"}', status=404), "the URL gave 404"),
    ],
)
def test_another_answer_takes_the_default_with_a_note(
    answer: FetchResult, why: str
) -> None:
    step = switch(answer)
    assert switched(step) == ("default", why)
    [note] = [t.text for t in step.transitions if isinstance(t, Noted)]
    assert note.startswith('a Switch reads 200, text/plain, {"select": "<case>"}')


def test_a_switch_without_a_passthru_takes_the_default() -> None:
    _, step = begin(type="switch", cases={"x": "a"}, default="b")
    assert way(step) == ("default", "no sync Passthru came before")


# --- Transfer, Timing ------------------------------------------------------------


def test_a_transfer_goes_on_in_the_other_flow() -> None:
    other = flow("other", a={"type": "greeting", "text": "Here."})
    run = FlowRun(
        flow(it={"type": "transfer", "to": "other"}),
        CallContext("c", "1", "2"),
        find_flow={"other": other}.get,
    )
    step = run.start()
    assert step.action == Play((Say("Here."),))
    assert step.transitions[-1] == AppletEntered("other", "a", "greeting")


def test_a_transfer_to_a_flow_that_is_gone_ends_the_call() -> None:
    _, step = begin(type="transfer", to="other")
    assert step.action == Finished("there is no flow 'other'")


@pytest.mark.parametrize(
    ("utc", "exit_"),
    [
        ("2025-06-24T03:29", "closed"),
        ("2025-06-24T03:30", "open"),
        ("2025-06-24T12:29", "open"),
        ("2025-06-24T12:30", "closed"),
        ("2025-06-25T06:00", "closed"),
        ("2025-06-28T18:29", "open"),
    ],
)
def test_timing_is_open_within_the_days_window_in_india(utc: str, exit_: str) -> None:
    hours = {"tue": "09:00-18:00", "sat": "22:00-24:00"}
    run, step = begin(type="timing", hours=hours, open="a", closed="b")
    assert step.action == TellTime()
    now = datetime.fromisoformat(f"{utc}+00:00")
    assert way(run.resume(Time(now)))[0] == exit_


# --- Voicemail, SMS, Email ---------------------------------------------------------


def test_voicemail_records_and_tells() -> None:
    hook = {"type": "passthru", "url": URL, "on_ok": "a", "on_other": "a"}
    mail = {"type": "voicemail", "prompt": MENU, "mailbox": "sales", "next": "hook"}
    run = FlowRun(flow(it=mail, hook=hook), CallContext("c", "1", "2"))
    step = run.start()
    assert step.action == RecordVoice((Say("Press one."),), "sales", 120.0, "#")
    step = run.resume(VoiceResult("http://r/x.mp3", 4.6))
    assert way(step) == ("next", "a message of 5 s")
    fetch = run.resume(NOW).action
    assert isinstance(fetch, Fetch)
    assert "CallType=voicemail" in fetch.url
    assert "RecordingUrl=http%3A%2F%2Fr%2Fx.mp3" in fetch.url


def test_an_sms_goes_to_the_caller() -> None:
    run, step = begin(type="sms", text="Thanks.", next="a")
    assert step.action == SendMessage("sms", "09900000001", "", "Thanks.")
    assert way(run.resume(Done())) == ("next", "an SMS to 09900000001")


def test_an_sms_text_may_come_from_a_url() -> None:
    run, step = begin(type="sms", url=URL, to="+919900000002", next="a")
    step = ask(run, step, text(" Thanks.\n"))
    assert step.action == SendMessage("sms", "+919900000002", "", "Thanks.")

    run, step = begin(type="sms", url=URL, next="a")
    step = ask(run, step, text("", "text/html"))
    assert way(step) == ("next", "nothing was sent: the URL gave text/html")


def test_an_email_tells_what_a_passthru_would() -> None:
    run, _ = begin(type="email", to="crm@example.com", next="a")
    action = run.resume(NOW).action
    assert isinstance(action, SendMessage)
    assert (action.kind, action.to, action.subject) == (
        "email",
        "crm@example.com",
        "A call",
    )
    assert "CallSid: c1\nCallFrom: 09900000001\n" in action.body
    assert way(run.resume(Done()))[0] == "next"


# --- dynamic URLs --------------------------------------------------------------------


def test_a_dynamic_greeting_is_probed_and_then_played_line_by_line() -> None:
    run, step = begin(type="greeting", url=f"{URL}?a=b", next="a")
    url = f"{URL}?a=b&CallSid=c1&From=09900000001&To=08010000001&DialWhomNumber="
    assert step.action == Fetch("greeting", url, 10.0, method="HEAD")
    step = run.resume(text(""))
    assert step.action == Fetch("greeting", url, 10.0)
    step = run.resume(text("Welcome.\n\nhttp://a/b.wav\r\n...\n"))
    assert step.action == Play(
        (Say("Welcome."), AudioUrl("http://a/b.wav"), Silence(1000))
    )
    assert way(run.resume(PlayResult("played")))[0] == "next"


@pytest.mark.parametrize(
    ("head", "get", "why"),
    [
        (text("", status=405), None, "HEAD gave 405"),
        (text("", "text/html"), None, "HEAD gave text/html, not exactly text/plain"),
        (
            text("", "text/plain; charset=utf-8"),
            None,
            "HEAD gave text/plain; charset=utf-8, not exactly text/plain",
        ),
        (text(""), FetchResult(None, error="timed out"), "GET gave timed out"),
        (text(""), text(" \n"), "the answer is empty"),
        (text(""), text("x\n" * 21), "more than 20 lines or 1000 characters in one"),
    ],
)
def test_a_dynamic_greeting_that_fails_is_passed(
    head: FetchResult, get: FetchResult | None, why: str
) -> None:
    run, _ = begin(type="greeting", url=URL, next="a")
    step = run.resume(head)
    if get is not None:
        step = run.resume(get)
    assert way(step) == ("next", f"nothing to play: {why}")


def test_a_dynamic_bot_url_is_resolved_and_its_own_query_counts() -> None:
    own = {"tier": "gold"}
    run, step = begin(
        type="voicebot", url=URL, next="a", sample_rate=8000, custom_parameters=own
    )
    bot = "wss://bot.example/m?sample-rate=16000&queue=sales"
    step = ask(run, step, text(f'{{"url": "{bot}"}}', "text/html"))
    assert step.action == OpenStream(
        bot, sample_rate_hz=16000, custom_parameters={"tier": "gold"}
    )


def test_applet_and_dynamic_url_together_obey_the_limit() -> None:
    own = {"x": "1", "y": "2", "z": "3"}
    run, step = begin(type="voicebot", url=URL, next="a", custom_parameters=own)
    query = "&".join(f"p{number}=1" for number in range(24))
    step = ask(
        run, step, text(f'{{"url": "wss://bot.example/m?{query}"}}', "text/html")
    )
    found = "27 custom parameters, 145 characters: at most 25 and 800"
    error = f"the dynamic URL led to {found}"
    assert step.action == FailStream(URL, error)
    step = run.resume(StreamResult("s1", "failed", "NA", error, duration_s=0))
    assert way(step) == ("next", f"the stream failed: {error}")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (FetchResult(None, error="timed out"), "the dynamic URL gave timed out"),
        (text("wss://bot.example/m"), "the dynamic URL gave no JSON"),
        (text("[]"), 'the dynamic URL gave no {"url": "wss://…"}'),
        (text('{"url": 7}'), 'the dynamic URL gave no {"url": "wss://…"}'),
        (
            text('{"url": "https://bot.example"}'),
            (
                "the url of the dynamic answer must begin with ws:// or wss://, "
                "not https://"
            ),
        ),
    ],
)
@pytest.mark.parametrize("kind", ["voicebot", "stream"])
def test_a_dynamic_bot_url_that_fails_is_a_failed_stream(
    kind: str, answer: FetchResult, why: str
) -> None:
    action = {"action": "start"} if kind == "stream" else {}
    run, step = begin(type=kind, url=URL, next="a", **action)
    step = ask(run, step, answer)
    assert step.action == FailStream(URL, why, kind == "voicebot")
    step = run.resume(StreamResult("s1", "failed", "NA", why, duration_s=0))
    assert way(step) == ("next", f"the stream failed: {why}")


@pytest.mark.parametrize(
    "answer",
    [
        FetchResult(None, error="the caller left before it came"),
        text('{"url": "wss://bot.example/m"}'),
    ],
)
@pytest.mark.parametrize("kind", ["voicebot", "stream"])
def test_a_caller_who_leaves_while_the_url_is_asked_cancels_the_stream(
    kind: str, answer: FetchResult
) -> None:
    action = {"action": "start"} if kind == "stream" else {}
    run, step = begin(type=kind, url=URL, next="a", **action)
    assert isinstance(run.resume(NOW).action, Fetch)
    step = run.caller_gone(answer)
    why = "the caller left before the dynamic URL answered"
    two_way = kind == "voicebot"
    assert step.action == FailStream(URL, why, two_way, is_cancelled=True)
    step = run.caller_gone(StreamResult("s1", "cancelled", "user"))
    assert way(step) == ("next", f"the stream was cancelled: {why}")


def test_stopping_a_stream_that_does_not_run_is_no_error() -> None:
    _, step = begin(type="stream", action="stop", next="a")
    assert isinstance(step.action, Hangup)
    assert any(
        isinstance(t, AppletLeft) and t.why == "no stream runs"
        for t in step.transitions
    )


def test_the_latest_of_two_streams_is_stopped() -> None:
    applets = {
        "it": {"type": "stream", "action": "start", "url": "ws://a/", "next": "two"},
        "two": {"type": "stream", "action": "start", "url": "ws://b/", "next": "stop"},
        "stop": {"type": "stream", "action": "stop", "next": "a"},
    }
    run = FlowRun(flow(**applets), CallContext("c", "1", "2"))
    run.start()
    run.resume(StreamStarted("s1"))
    step = run.resume(StreamStarted("s2"))
    assert step.action == StopStream("s2")
    step = run.resume(StreamResult("s2", "completed", "user", duration_s=1))
    assert isinstance(step.action, Hangup)


def test_a_line_that_is_no_usable_url_is_left_out_of_a_dynamic_greeting() -> None:
    run, _ = begin(type="greeting", url=URL, next="a")
    run.resume(FetchResult(200, "text/plain"))
    body = "http://[::1/a.wav\nHello\x1b[31m.\nhttp://h/b.wav"
    step = run.resume(FetchResult(200, "text/plain", body))
    hello = Say("Hello\N{REPLACEMENT CHARACTER}[31m.")
    assert step.action == Play((hello, AudioUrl("http://h/b.wav")))
    (note,) = [t.text for t in step.transitions if isinstance(t, Noted)]
    assert note.startswith("'http://[::1/a.wav' is not played: it is no URL")


def test_a_dynamic_greeting_of_broken_urls_alone_goes_on() -> None:
    run, _ = begin(type="greeting", url=URL, next="a")
    run.resume(FetchResult(200, "text/plain"))
    step = run.resume(FetchResult(200, "text/plain", "http://[::1/a.wav"))
    left = [t for t in step.transitions if isinstance(t, AppletLeft)]
    assert left[0].exit == "next"
    assert left[0].why == "nothing to play: no line of the answer can be played"
