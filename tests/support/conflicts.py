"""What can be seen of each setting over which the references disagree.

A probe takes a value of the setting and returns something that a bot, a caller or a
customer's server would notice. Rows that need whole calls name the tests that do it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from emulator.calls.custom_headers import surfaced_headers
from emulator.config import NumberSettings, SipSettings
from emulator.flow.context import (
    CallContext,
    CallState,
    FlowOptions,
    PassthruOptions,
    StreamRecord,
)
from emulator.flow.parameters import passthru_parameters
from emulator.flow.ports import StreamResult
from emulator.ids import IdSource
from emulator.stream.interface import StreamRequest
from emulator.stream.protocol import EndByBot, Report, Send, StreamProtocol
from emulator.stream.url import StreamUrlError, merge_parameters, parse_bot_url
from emulator.stream_options import StreamOptions, profile_options

SID = "5" * 32
AT = datetime(2025, 10, 26, 6, 30, tzinfo=UTC)
Probe = Callable[[Any], object]


def talking(**knobs: Any) -> StreamProtocol:
    """Return a conversation that has begun."""
    request = StreamRequest(SID, "c" * 32, "a", "ws://b/", "09900000000", "sip:bob")
    machine = StreamProtocol(request, profile_options("observed", **knobs), {}, 8000)
    machine.open()
    return machine


def start(**knobs: Any) -> dict[str, Any]:
    request = StreamRequest(SID, "c" * 32, "a", "ws://b/", "09900000000", "sip:bob")
    machine = StreamProtocol(request, profile_options("observed", **knobs), {}, 8000)
    sent = [e.text for e in machine.open() if isinstance(e, Send)]
    found: dict[str, Any] = json.loads(sent[1])["start"]
    return found


def media(**knobs: Any) -> dict[str, Any]:
    machine = talking(**knobs)
    found: dict[str, Any] = json.loads(machine.chunks.write(bytes(machine.chunk_bytes)))
    return found


def said(event: str, body: dict[str, Any], **knobs: Any) -> tuple[int, set[str]]:
    """Return the bytes of audio taken, and the effects and notes of a bot's message."""
    message = {"event": event, "stream_sid": SID, **body}
    audio, effects = talking(**knobs).receive(json.dumps(message).encode())
    seen = {type(e).__name__ for e in effects if isinstance(e, (EndByBot, Send))}
    notes = [e.data for e in effects if isinstance(e, Report) and e.kind == "note"]
    return len(audio), seen | {str(note["rule"]) for note in notes}


def small_message(policy: str) -> object:
    payload = {"media": {"payload": "AAAA" * 106 + "AAA="}}
    size, notes = said("media", payload, min_chunk_policy=policy)
    return size, bool(notes)


def camel_case(accepts: bool) -> object:
    message = {"event": "media", "streamSid": SID, "media": {"payload": "AAAA" * 1280}}
    options = {"accept_camel_case": accepts}
    audio, _ = talking(**options).receive(json.dumps(message).encode())
    return len(audio)


def four_parameters(maximum: int) -> object:
    options = StreamOptions(custom_params_max=maximum)
    found = parse_bot_url("ws://b/?a=1&b=2&c=3&d=4", options)
    try:
        return len(merge_parameters(found, {}, options)[0])
    except StreamUrlError:
        return "refused"


def three_hundred_characters(maximum: int) -> object:
    options = StreamOptions(custom_params_max_chars=maximum)
    found = parse_bot_url("ws://b/?a=" + "x" * 298, options)
    try:
        merge_parameters(found, {}, options)
    except StreamUrlError:
        return "refused"
    return found.parameter_chars


def underscore(accepts: bool) -> object:
    options = StreamOptions(accept_sample_rate_underscore=accepts)
    return parse_bot_url("ws://b/?sample_rate=16000", options).sample_rate_hz


def dtmf(shape: str) -> object:
    (effect,) = (
        e for e in talking(dtmf_shape=shape).digit("5", 100) if isinstance(e, Send)
    )
    return json.loads(effect.text).get("digit", "nested")


def told(name: str, value: Any) -> dict[str, str]:
    """Return what a Passthru is told behind a stream that the caller ended."""
    passthru = PassthruOptions(**{name: value})
    context = CallContext("C1", "1", "2", created_at=AT)
    state = CallState(context, FlowOptions(passthru=passthru))
    result = StreamResult(SID, "completed", "user", duration_s=3.0)
    state.stream = StreamRecord(SID, "ws://b/", result)
    return dict(passthru_parameters(state, AT))


def headers_of(names: Any) -> object:
    sip = SipSettings(custom_headers=names)
    number = NumberSettings(number="08010000001", flow="f")
    headers = {"X-Team": "sales", "X-UUI": "7"}
    return sorted(surfaced_headers(sip, number, headers)[0])


# Row: what is seen, of the default and of the alternative.
PROBES: dict[int, tuple[Probe, object, object]] = {
    1: (lambda v: talking(media_chunk_ms=v).chunk_bytes, 320, 1600),
    2: (lambda v: media(numeric_types=v)["sequence_number"], "2", 2),
    3: (
        lambda v: start(media_format_encoding=v)["media_format"]["encoding"],
        "base64", "audio/x-raw",
    ),
    4: (four_parameters, 4, "refused"),
    5: (
        lambda v: "custom_parameters" in start(omit_empty_custom_parameters=v),
        False, True,
    ),
    6: (camel_case, 3840, 0),
    7: (small_message, (320, True), (0, True)),
    11: (lambda v: said("clear", {}, send_clear_to_bot=v)[1], set(), {"Send"}),
    13: (
        lambda v: said("stop", {}, bot_stop=v)[1],
        {"EndByBot", "stop.ended"}, {"stop.ignored"},
    ),
    14: (dtmf, "nested", "5"),
    18: (
        lambda v: told("disconnected_by_vocab", v)["Stream[DisconnectedBy]"],
        "user", "caller",
    ),
    19: (lambda v: "Stream" in told("stream_fields_encoding", v), False, True),
    22: (lambda v: told("direction_word", v)["Direction"], "incoming", "inbound"),
    23: (lambda v: start(number_format=v)["from"], "09900000000", "+919900000000"),
    24: (underscore, None, 16000),
    26: (lambda v: media(timestamp_origin=v)["media"]["timestamp"], "0", "20"),
    27: (
        lambda v: IdSource(1, sid_style=v).stream_sid(AT)[:2] == "MZ", False, True,
    ),
    34: (headers_of, ["UUI"], ["Team", "UUI"]),
}  # fmt: skip

# Further settings of rows that are about two: what is seen of default and documented.
SECOND_PROBES: dict[str, tuple[Probe, object, object]] = {
    "stream.media_format.bit_rate": (
        lambda v: start(media_format_bit_rate=v)["media_format"]["bit_rate"],
        "128kbps", "16",
    ),
    "stream.custom_params.max_chars": (three_hundred_characters, 300, "refused"),
}  # fmt: skip

_JOINT = "unit/worker/test_joint.py"
_BRIDGE = "unit/worker/test_bridge.py"
_PASSTHRU = "unit/flow/test_flow_passthru.py"
_ENDINGS = "integration/test_stream_endings.py"
_CALLS = "integration/test_settings_in_calls.py"

# Row: the file and its tests that show both values.
BY_OTHER_TESTS: dict[int, tuple[str, tuple[str, ...]]] = {
    9: (_CALLS, ("test_the_codec_of_applets_is_a_setting",)),
    10: (
        _JOINT,
        (
            "test_clear_lets_the_playing_message_end_and_echoes_marks_in_order",
            "test_clear_by_packet_is_silence_in_the_next_slot",
        ),
    ),
    12: (
        _JOINT,
        (
            "test_clear_lets_the_playing_message_end_and_echoes_marks_in_order",
            "test_clear_may_drop_marks",
        ),
    ),
    16: (
        "integration/test_stream_talk.py",
        ("test_stop_arrives_before_the_socket_ends",),
    ),
    17: (_ENDINGS, ("test_our_own_end_says_who_wanted_it",)),
    20: (
        _PASSTHRU,
        (
            "test_the_query_is_encoded_behind_the_urls_own",
            "test_post_carries_the_same_pairs_as_a_form",
        ),
    ),
    21: (_CALLS, ("test_a_passthru_waits_as_long_as_its_setting",)),
    25: (
        "integration/test_stream_handshake.py",
        ("test_a_bot_that_accepts_and_never_answers_runs_into_the_limit",),
    ),
    29: (_CALLS, ("test_a_voicebot_without_a_greeting_is_dropped_by_setting",)),
    31: (
        _BRIDGE,
        (
            "test_a_one_way_stream_has_the_caller_and_all_that_the_caller_hears",
            "test_a_one_way_stream_may_have_the_caller_alone",
        ),
    ),
    32: (
        _ENDINGS,
        ("test_a_silent_bot_is_noted", "test_a_silent_bot_is_fatal_by_knob"),
    ),
    33: (
        _PASSTHRU,
        (
            "test_only_the_first_passthru_is_sent",
            "test_the_request_after_the_hangup_can_be_turned_off",
        ),
    ),
}
