"""What goes to the bot, byte by byte."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.stream.interface import StreamRequest
from emulator.stream.messages import (
    CONNECTED,
    MessageWriter,
    format_json,
    start_body,
)
from emulator.stream_options import StreamOptions, profile_options

SID = "0123456789abcdef0123456789ab19aq"
REQUEST = StreamRequest(
    stream_sid=SID,
    call_sid="c" * 32,
    account_sid="acme1",
    url="ws://bot.example/",
    from_="09900000000",
    to="04400000000",
)
OBSERVED = StreamOptions()


def writer(**changes: object) -> MessageWriter:
    return MessageWriter(SID, profile_options("observed", **changes))


def test_connected_is_bare() -> None:
    assert CONNECTED == b'{"event":"connected"}'


def test_start_without_parameters_is_the_first_captured_shape() -> None:
    body = start_body(REQUEST, {}, 8000, OBSERVED)
    assert writer().start(1, body).decode() == (
        f'{{"event":"start","stream_sid":"{SID}","sequence_number":"1",'
        f'"start":{{"stream_sid":"{SID}","call_sid":"{"c" * 32}",'
        '"account_sid":"acme1","from":"09900000000","to":"04400000000",'
        '"media_format":{"encoding":"base64","sample_rate":"8000",'
        '"bit_rate":"128kbps"}}}'
    )


def test_start_with_parameters_is_the_second_captured_shape() -> None:
    given = {"key1": "value1", "UUI": "7", "Custom-Header": "Salesbot"}
    text = writer().start(1, start_body(REQUEST, given, 8000, OBSERVED)).decode()
    assert (
        '"to":"04400000000","custom_parameters":{"Custom-Header":"Salesbot",'
        '"UUI":"7","key1":"value1"},"media_format":' in text
    )


def test_start_carries_an_empty_object_by_knob() -> None:
    options = profile_options("observed", omit_empty_custom_parameters=False)
    assert start_body(REQUEST, {}, 8000, options)["custom_parameters"] == {}


@pytest.mark.parametrize(
    ("rate_hz", "tracks", "bit_rate"),
    [(8000, True, "128kbps"), (16000, True, "256kbps"), (24000, True, "384kbps"),
     (24000, False, "128kbps")],
)  # fmt: skip
def test_bit_rate_follows_the_sample_rate_only_by_knob(
    rate_hz: int, tracks: bool, bit_rate: str
) -> None:
    options = profile_options("observed", bit_rate_tracks_sample_rate=tracks)
    assert start_body(REQUEST, {}, rate_hz, options)["media_format"] == {
        "encoding": "base64",
        "sample_rate": str(rate_hz),
        "bit_rate": bit_rate,
    }


def test_media_is_compact_and_all_strings() -> None:
    assert (writer().media_template % (3, 2, 20, b"AAAA")).decode() == (
        f'{{"event":"media","stream_sid":"{SID}","sequence_number":"3",'
        '"media":{"chunk":"2","timestamp":"20","payload":"AAAA"}}'
    )


def test_numeric_types_int_spares_the_timestamp() -> None:
    template = writer(numeric_types="int").media_template
    text = (template % (3, 2, 20, b"AAAA")).decode()
    assert '"sequence_number":3,' in text
    assert '"chunk":2,"timestamp":"20"' in text


@pytest.mark.parametrize(
    ("sequence_number", "size_bytes"),
    [(100, 572), (150, 573), (500, 573), (502, 574), (1000, 575), (1001, 576),
     (5001, 576), (5002, 577), (9999, 577)],
)  # fmt: skip
def test_media_has_the_captured_size(sequence_number: int, size_bytes: int) -> None:
    # Streaming spec §2.4: 572 at 100, 574 by about 500, 575 at 1000, 576 from 1001,
    # 577 once the timestamp has six digits, up to 9999.
    chunk = sequence_number - 1
    payload = base64.b64encode(bytes(320))
    timestamp_ms = (chunk - 1) * 20
    text = writer().media_template % (sequence_number, chunk, timestamp_ms, payload)
    assert len(text) == size_bytes


@pytest.mark.parametrize("sequence_number", [100, 1000, 9999])
def test_bare_numbers_are_four_bytes_shorter(sequence_number: int) -> None:
    arguments = (sequence_number, sequence_number - 1, 20, b"AAAA")
    strings = writer().media_template % arguments
    numbers = writer(numeric_types="int").media_template % arguments
    assert len(strings) - len(numbers) == 4


def test_a_percent_sign_in_the_sid_survives_the_template() -> None:
    text = MessageWriter("50%d", OBSERVED).media_template % (2, 1, 0, b"AAAA")
    assert json.loads(text)["stream_sid"] == "50%d"


def test_dtmf_nested_and_flat() -> None:
    assert writer().dtmf(7, "#", 120).decode() == (
        f'{{"event":"dtmf","stream_sid":"{SID}","sequence_number":"7",'
        '"dtmf":{"duration":"120","digit":"#"}}'
    )
    assert writer(dtmf_shape="flat").dtmf(7, "#", 120) == (
        b'{"event":"dtmf","digit":"#"}'
    )


def test_mark_echo_and_stop() -> None:
    assert writer().mark(15, "x").decode() == (
        f'{{"event":"mark","stream_sid":"{SID}","sequence_number":"15",'
        '"mark":{"name":"x"}}'
    )
    assert writer().stop(20, "c1", "acme1", "callended").decode() == (
        f'{{"event":"stop","stream_sid":"{SID}","sequence_number":"20",'
        '"stop":{"call_sid":"c1","account_sid":"acme1","reason":"callended"}}'
    )


def test_angle_brackets_and_ampersands_are_escaped_as_go_does() -> None:
    text = format_json({"a<": 'b>&\u2028\u2029"\\'})
    assert text == (b'{"a\\u003c":"b\\u003e\\u0026\\u2028\\u2029\\"\\\\"}')


def test_lone_surrogates_become_the_replacement_character() -> None:
    assert json.loads(format_json({"\udc80": {"x": "a\ud800"}})) == {
        "\ufffd": {"x": "a\ufffd"}
    }


@given(st.dictionaries(st.text(), st.text(), max_size=5))
def test_custom_parameters_survive_and_come_out_sorted(given: dict[str, str]) -> None:
    options = profile_options("observed", omit_empty_custom_parameters=False)
    text = writer().start(1, start_body(REQUEST, given, 8000, options))
    got = json.loads(text)["start"]["custom_parameters"]
    assert got == given
    assert list(got) == sorted(given, key=lambda name: name.encode())
