"""Connect: whom it rings, in which order, the three exits, what a Passthru hears."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from emulator.flow.applets.connect import MAX_ROUNDS
from emulator.flow.connect_plan import sip_headers
from emulator.flow.context import CallContext
from emulator.flow.engine import AppletLeft, FlowRun, Noted, Step
from emulator.flow.model import Flow
from emulator.flow.ports import (
    AudioUrl,
    Dial,
    DialResult,
    Fetch,
    FetchResult,
    Hangup,
    LegOutcome,
    Playback,
    Recording,
    Say,
    TellTime,
    Time,
)

NOW = Time(datetime(2025, 6, 24, 4, 30, tzinfo=UTC))
URL = "http://127.0.0.1:5003/connect"
ALICE, TRUNK = "user:alice", "sip:trmum1pbx"
EXITS = {"after_conversation": "talked", "no_answer": "unanswered"}
TALKED = DialResult((LegOutcome(ALICE, "completed", 21.4),), 21.4, "callee")


def busy(*numbers: str) -> DialResult:
    legs = [LegOutcome(n, "busy", cause="USER_BUSY", cause_code=17) for n in numbers]
    return DialResult(tuple(legs))


def begin(**connect: Any) -> tuple[FlowRun, Step]:
    ends = {"type": "passthru", "url": URL, "on_ok": "bye", "on_other": "bye"}
    nodes = {
        "agent": {"type": "connect", **EXITS, **connect},
        "again": {"type": "connect", "url": URL, "no_answer": "undialled"},
        "talked": ends,
        "unanswered": ends,
        "undialled": ends,
        "bye": {"type": "hangup"},
    }
    flow = Flow.model_validate(
        {"flow": "handover", "app_id": "1005", "start": "agent", "applets": nodes}
    )
    run = FlowRun(flow, CallContext("c1", "09900000001", "08010000001"))
    return run, run.start()


def answer(body: object, **more: Any) -> FetchResult:
    text = body if isinstance(body, str) else json.dumps(body)
    return FetchResult(
        **{"status": 200, "content_type": "application/json", "body": text, **more}
    )


def ask(run: FlowRun, step: Step, reply: FetchResult) -> Step:
    """Answer the clock and one request."""
    assert isinstance(step.action, TellTime)
    step = run.resume(NOW)
    assert isinstance(step.action, Fetch)
    return run.resume(reply)


def left(step: Step) -> tuple[str | None, str | None, str]:
    [leaving] = [t for t in step.transitions if isinstance(t, AppletLeft)]
    return leaving.exit, leaving.target, leaving.why


def told(run: FlowRun, step: Step) -> Mapping[str, str]:
    """Return the parameters that the Passthru behind the Connect sends."""
    assert isinstance(step.action, TellTime)
    step = run.resume(NOW)
    assert isinstance(step.action, Fetch)
    return dict(parse_qsl(urlsplit(step.action.url).query, keep_blank_values=True))


def test_parties_are_rung_one_after_the_other_until_one_talks() -> None:
    run, step = begin(dial=[TRUNK, ALICE, "user:bob"], max_ring_s=20, max_talk_s=600)
    assert step.action == Dial((TRUNK,), ring_s=20, talk_s=600)
    step = run.resume(busy(TRUNK))
    assert step.action == Dial((ALICE,), ring_s=20, talk_s=600)
    step = run.resume(TALKED)
    why = "they talked for 21 s, ended by callee"
    assert left(step) == ("after_conversation", "talked", why)
    parameters = told(run, step)
    assert {k: v for k, v in parameters.items() if "Legs" in k or "Dial" in k} == {
        "DialCallDuration": "21",
        "DialWhomNumber": ALICE,
        "DialCallStatus": "completed",
        "Legs[0][Number]": TRUNK,
        "Legs[0][Type]": "single",
        "Legs[0][OnCallDuration]": "0",
        "Legs[0][CauseCode]": "USER_BUSY",
        "Legs[0][Cause]": "17",
        "Legs[1][Number]": ALICE,
        "Legs[1][Type]": "single",
        "Legs[1][OnCallDuration]": "21",
        "Legs[1][CauseCode]": "NORMAL_CLEARING",
        "Legs[1][Cause]": "16",
    }
    assert parameters["CallType"] == "completed"
    assert parameters["OutgoingPhoneNumber"] == "08010000001"


def test_parallel_ringing_rings_all_at_once() -> None:
    run, step = begin(dial=[TRUNK, ALICE], ring="parallel")
    assert isinstance(step.action, Dial)
    assert step.action.destinations == (TRUNK, ALICE)
    parameters = told(run, run.resume(busy(TRUNK, ALICE)))
    assert parameters["Legs[1][Type]"] == "parallel"


def test_when_nobody_answers_the_second_exit_is_taken() -> None:
    run, _ = begin(dial=[TRUNK, ALICE])
    run.resume(busy(TRUNK))
    step = run.resume(DialResult((LegOutcome(ALICE, "no-answer"),)))
    assert left(step) == ("no_answer", "unanswered", "busy, no-answer")
    parameters = told(run, step)
    assert parameters["CallType"] == "incomplete"
    assert parameters["DialCallStatus"] == "no-answer"


@pytest.mark.parametrize(
    ("result", "duration"),
    [
        (DialResult((LegOutcome(ALICE, "completed", 3),), 3, "caller"), "3"),
        (DialResult((LegOutcome(ALICE, "canceled"),), None, "caller"), "0"),
    ],
    ids=["talking", "ringing"],
)
def test_a_caller_who_leaves_a_connect_is_told_as_client_hangup(
    result: DialResult, duration: str
) -> None:
    run, _ = begin(dial=[ALICE, TRUNK])
    step = run.caller_gone(result)
    exit_ = left(step)[0]
    assert exit_ == ("no_answer" if result.talk_s is None else "after_conversation")
    parameters = told(run, step)
    assert parameters["CallType"] == "client-hangup"
    assert parameters["CallStatus"] == "completed"
    assert parameters["DialCallDuration"] == duration


def test_a_url_says_everything() -> None:
    run, step = begin(url=URL)
    step = ask(
        run,
        step,
        answer(
            {
                "fetch_after_attempt": False,
                "destination": {"numbers": ["+919900000001"], "trunk": "trmum1pbx"},
                "outgoing_phone_number": "+914400000000",
                "record": True,
                "recording_channels": "dual",
                "max_ringing_duration": "30",
                "max_conversation_duration": 3600,
                "music_on_hold": {"type": "operator_tone"},
                "start_call_playback": {
                    "playback_to": "callee",
                    "type": "text",
                    "value": "A call for you.",
                },
                "parallel_ringing": {"activate": True, "max_parallel_attempts": 9},
                "dial_passthru_event_url": "http://127.0.0.1:5003/events",
                "custom_params": "ticket=42&Exotel-x=1&tier=gold",
                "distribute_calls": "equally",
            }
        ),
    )
    assert step.action == Dial(
        destinations=("+919900000001", TRUNK),
        ring_s=30,
        talk_s=3600,
        caller_id="+914400000000",
        record=Recording("dual"),
        music_on_hold="operator_tone",
        playback=Playback("callee", (Say("A call for you."),)),
        sip_headers=(("X-ticket", "42"), ("X-tier", "gold")),
        event_url="http://127.0.0.1:5003/events",
    )
    assert step.transitions == (Noted("custom_params: 'Exotel-x' is a reserved name"),)


def test_the_request_is_the_documented_one() -> None:
    run, _ = begin(url=f"{URL}?a=b")
    fetch = run.resume(NOW).action
    assert isinstance(fetch, Fetch)
    assert fetch.headers == (("Exotel-Version", "1.0"),)
    assert (fetch.method, fetch.timeout_s) == ("GET", 5.0)
    assert fetch.url.startswith(f"{URL}?a=b&CallSid=c1&")


def test_contacts_and_audio_urls_are_understood() -> None:
    run, step = begin(url=URL)
    music = {"type": "audio_url", "value": "http://a/moh.wav"}
    body = {"destination": [{"contact_uri": TRUNK}], "music_on_hold": music}
    step = ask(run, step, answer(body))
    assert step.action == Dial(
        (TRUNK,), ring_s=45, music_on_hold=AudioUrl("http://a/moh.wav")
    )


def test_the_fallback_url_is_asked_in_the_same_way() -> None:
    run, step = begin(url=URL, fallback_url=f"{URL}/second")
    step = ask(run, step, FetchResult(500))
    step = ask(run, step, answer({"destination": {"numbers": [TRUNK]}}))
    assert isinstance(step.action, Dial)


BAD = [
    (FetchResult(None, error="timed out"), "the URL gave timed out"),
    (FetchResult(302), "the URL gave 302"),
    (answer("{}", content_type="text/html"), "the URL gave text/html"),
    (answer("{}", is_cut=True), "the URL gave too long a body"),
    (answer("{"), "the URL gave no valid JSON"),
    (answer("[" * 100_000), "the URL gave no valid JSON"),
    (answer("[]"), "must be a mapping (name: value)"),
    (answer({}), "destination: required, but missing"),
    (answer({"destination": {"numbers": "x"}}), "destination.numbers: must be a list"),
    (answer({"destination": "x"}), "destination: must be a"),
]


@pytest.mark.parametrize(("reply", "reason"), BAD)
def test_an_unusable_answer_leads_to_nobody_dialled(
    reply: FetchResult, reason: str
) -> None:
    run, step = begin(url=URL, not_dialled="undialled")
    exit_, target, why = left(ask(run, step, reply))
    assert (exit_, target) == ("not_dialled", "undialled")
    assert why.startswith(reason)


def test_an_empty_list_dials_nobody_and_falls_to_the_second_exit() -> None:
    run, step = begin(url=URL)
    step = ask(run, step, answer({"destination": {"numbers": []}}))
    assert left(step) == ("not_dialled", "unanswered", "nobody to dial")
    assert told(run, step)["CallType"] == "call-attempt"


def test_a_connect_that_rings_nobody_leaves_the_talk_before_it_as_it_was() -> None:
    run, _ = begin(dial=["09910000001"], after_conversation="again")
    number = LegOutcome("09910000001", "completed", 21.4)
    step = run.resume(DialResult((number,), 21.4, "callee"))
    step = ask(run, step, answer({"destination": {"numbers": []}}))
    assert left(step) == ("not_dialled", "undialled", "nobody to dial")
    said = told(run, step)
    assert (said["CallType"], said["DialCallDuration"]) == ("completed", "21")
    assert said["DialWhomNumber"] == said["Legs[0][Number]"] == "09910000001"


def test_strangers_in_the_list_are_left_out_with_a_note() -> None:
    run, step = begin(url=URL)
    numbers = ["http://x", "12", ALICE]
    step = ask(run, step, answer({"destination": {"numbers": numbers}}))
    assert isinstance(step.action, Dial) and step.action.destinations == (ALICE,)
    assert [t.text for t in step.transitions if isinstance(t, Noted)] == [
        "'http://x' is nobody who can be rung",
        "'12' is nobody who can be rung",
    ]


def test_a_url_is_asked_again_after_each_attempt_but_not_for_ever() -> None:
    run, step = begin(url=URL)
    again = answer(
        {"fetch_after_attempt": True, "destination": {"numbers": [TRUNK, ALICE]}}
    )
    rounds = 0
    while isinstance(step.action, TellTime) and rounds <= MAX_ROUNDS:
        step = ask(run, step, again)
        if not isinstance(step.action, Dial):
            break
        assert step.action.destinations == (TRUNK,)
        rounds += 1
        step = run.resume(busy(TRUNK))
        if any(isinstance(t, AppletLeft) for t in step.transitions):
            break
    assert rounds == MAX_ROUNDS
    assert left(step)[0] == "no_answer"


def test_a_plain_list_of_numbers_may_come_from_a_url() -> None:
    run, step = begin(numbers_url=URL)
    listed = FetchResult(200, "text/plain", " +919900000001, sip:trmum1pbx\n")
    step = ask(run, step, listed)
    assert isinstance(step.action, Dial)
    assert step.action.destinations == ("+919900000001",)


def test_sip_headers_are_bounded_and_clean() -> None:
    assert sip_headers("a=1&b=2&c=3&d=4") == (
        (("X-a", "1"), ("X-b", "2"), ("X-c", "3")),
        ["custom_params: 'd' is beyond 3 headers of 200 bytes"],
    )
    assert sip_headers(f"a={'x' * 199}&b=2")[0] == (("X-a", "x" * 199),)
    headers, notes = sip_headers("Veeno-a=1&veen-b=2&c%0d=3&d=4%0aX:%20y")
    assert headers == () and len(notes) == 4


def test_hanging_up_follows() -> None:
    run, step = begin(dial=[ALICE], after_conversation="bye")
    assert run.resume(TALKED).action == Hangup("the flow hung up")


# --- what an answer may hold ---------------------------------------------------------


def dialled(body: Mapping[str, Any]) -> tuple[Dial, list[str]]:
    """Return what is dialled when a URL answers ``body``, and the notes."""
    run, step = begin(url=URL)
    step = ask(run, step, answer({"destination": {"numbers": ["0991"]}, **body}))
    assert isinstance(step.action, Dial)
    return step.action, [t.text for t in step.transitions if isinstance(t, Noted)]


@pytest.mark.parametrize("strange", ["\ud800", "\x1b", "\r\n"])
def test_characters_that_nothing_can_carry_are_replaced(strange: str) -> None:
    dial, _ = dialled({"outgoing_phone_number": f"1{strange}2"})
    assert dial.caller_id is not None
    dial.caller_id.encode()
    assert dial.caller_id.strip("12").strip("\ufffd\n") == ""
    dial, notes = dialled({"custom_params": f"a={strange}"})
    assert str((dial.sip_headers, notes)).isprintable()


def test_a_broken_url_for_the_playback_costs_the_playback_alone() -> None:
    for url in ("http://[::1/a.wav", "http://h/\ud800", "ftp://h/a.wav"):
        playback = {"type": "audio_url", "value": url}
        dial, notes = dialled({"start_call_playback": playback})
        assert dial.playback is None
        assert "start_call_playback is left out" in notes[0]


def test_null_is_a_field_left_out() -> None:
    nulls = dict.fromkeys(("custom_params", "record", "max_ringing_duration"))
    dial, _ = dialled({**nulls, "parallel_ringing": {"max_parallel_attempts": None}})
    assert (dial.record, dial.ring_s, dial.sip_headers) == (None, 45.0, ())


def test_no_parallel_attempts_at_all_are_one_after_the_other() -> None:
    for activate in (True, False):
        wanted = {"activate": activate, "max_parallel_attempts": 0}
        dial, notes = dialled({"parallel_ringing": wanted})
        assert dial.destinations == ("0991",)
        assert notes == ["max_parallel_attempts 0: one after the other"]


def test_only_headers_that_are_sent_count_in_bytes() -> None:
    headers, notes = sip_headers(f"bad name={'x' * 190}&exotel-a={'y' * 190}&a=1")
    assert headers == (("X-a", "1"),)
    assert len(notes) == 2


def test_of_several_who_rang_the_one_who_talked_is_told() -> None:
    run, step = begin(dial=["0991", "0992", "0993"], ring="parallel")
    legs = (
        LegOutcome("0991", "canceled"),
        LegOutcome("0992", "completed", 3.0),
        LegOutcome("0993", "canceled"),
    )
    run.resume(DialResult(legs, 3.0, "callee"))
    step = run.resume(NOW)
    assert isinstance(step.action, Fetch)
    told = dict(parse_qsl(urlsplit(step.action.url).query))
    assert told["DialWhomNumber"] == "0992"


@pytest.mark.parametrize(
    ("field", "note"),
    [
        ({"music_on_hold": "tone"}, "music_on_hold is left out: must be a mapping"),
        ({"music_on_hold": {"value": "http://h/a.wav"}}, "music_on_hold is left out: "),
        (
            {"music_on_hold": {"type": "audio_url", "value": "no URL"}},
            "value is left out",
        ),
        ({"music_on_hold": {"type": "x"}}, "music_on_hold 'x' without value: default"),
        ({"record": {}}, "record is left out: must be true or false"),
        ({"recording_channels": "both"}, "recording_channels is left out: 'both' is"),
        ({"max_ringing_duration": 0}, "max_ringing_duration is left out: must be"),
        ({"max_ringing_duration": "x"}, "max_ringing_duration is left out: must be"),
        ({"max_conversation_duration": [1]}, "max_conversation_duration is left out: "),
        (
            {"start_call_playback": {"type": "x"}},
            "start_call_playback is left out: type",
        ),
        (
            {"parallel_ringing": "yes"},
            "parallel_ringing is left out: must be a mapping",
        ),
        (
            {"parallel_ringing": {"max_parallel_attempts": "x"}},
            "max_parallel_attempts is left out: must be",
        ),
        (
            {"dial_passthru_event_url": "ftp://h/"},
            "dial_passthru_event_url is left out",
        ),
        ({"custom_params": {"a": "b"}}, "custom_params is left out: must be text"),
        ({"outgoing_phone_number": ["1"]}, "outgoing_phone_number is left out: must"),
        (
            {"fetch_after_attempt": "perhaps"},
            "fetch_after_attempt is left out: must be",
        ),
        (
            {"destination": {"numbers": ["0991"], "trunk": {"sid": "x"}}},
            "trunk is left out: must be text",
        ),
        (
            {"destination": {"numbers": ["0991", {"number": "0992"}]}},
            """'{"number": "0992"}' is nobody who can be rung""",
        ),
        (
            {"destination": [{"contact_uri": "0991"}, {"uri": "0992"}]},
            """'{"uri": "0992"}' is nobody who can be rung""",
        ),
    ],
    ids=str,
)
def test_a_field_that_cannot_be_used_is_left_out_with_a_note(
    field: Mapping[str, Any], note: str
) -> None:
    dial, notes = dialled(field)
    assert dial == Dial(("0991",), ring_s=45.0)
    assert notes[0].startswith(note)


def test_a_playback_to_nobody_known_is_for_both() -> None:
    playback = {"type": "text", "value": "Hello.", "playback_to": "all"}
    dial, notes = dialled({"start_call_playback": playback})
    assert dial.playback == Playback("both", (Say("Hello."),))
    assert notes[0].startswith("playback_to is left out: ")


def test_numbers_may_be_json_numbers_and_contacts_bare_texts() -> None:
    dial, notes = dialled({"outgoing_phone_number": 918010000001})
    assert (dial.caller_id, notes) == ("918010000001", [])
    for destination in ({"numbers": [919900000001]}, ["919900000001"]):
        dial, notes = dialled({"destination": destination})
        assert (dial.destinations, notes) == (("919900000001",), [])


def test_notes_of_an_answer_that_is_not_used_are_dropped() -> None:
    run, step = begin(url=URL, fallback_url=f"{URL}/second")
    step = ask(run, step, answer({"destination": 1, "record": {}}))
    step = ask(run, step, answer({"destination": {"numbers": [ALICE]}}))
    assert isinstance(step.action, Dial) and not step.transitions
