"""The bot's URL: credentials, rate, custom parameters and what a report may show."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.stream.url import (
    BotUrl,
    StreamUrlError,
    merge_parameters,
    parse_bot_url,
)
from emulator.stream_options import StreamOptions

OPTIONS = StreamOptions()


def parse(url: str, **changes: object) -> BotUrl:
    return parse_bot_url(url, StreamOptions(**changes))  # type: ignore[arg-type]


def credentials(url: str) -> str:
    authorization = parse(url).authorization
    assert authorization is not None
    scheme, _, encoded = authorization.partition(" ")
    assert scheme == "Basic"
    return base64.b64decode(encoded).decode()


def test_userinfo_becomes_basic_credentials_and_leaves_the_url() -> None:
    url = parse("wss://key:token@bot.example/media?a=1")
    assert url.dial_url == "wss://bot.example/media?a=1"
    assert credentials("wss://key:token@bot.example/media") == "key:token"


def test_userinfo_is_percent_decoded_before_it_is_encoded() -> None:
    assert credentials("ws://k%40y:p%3Ass%2F@bot.example/") == "k@y:p:ss/"


def test_a_user_without_password_still_authenticates() -> None:
    assert credentials("ws://key@bot.example/") == "key:"


def test_an_at_sign_in_the_password_belongs_to_the_password() -> None:
    assert credentials("ws://key:p@ss@bot.example/") == "key:p@ss"


def test_without_userinfo_there_is_no_authorization() -> None:
    assert parse("ws://bot.example/").authorization is None


def test_reports_show_that_there_were_credentials_and_not_which() -> None:
    url = parse("wss://key:token@bot.example/media?a=1")
    assert url.masked_url == "wss://***@bot.example/media?a=1"


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("ws://127.0.0.1:5001/media", "127.0.0.1", 5001),
        ("ws://bot.example/", "bot.example", 80),
        ("wss://bot.example", "bot.example", 443),
        ("ws://[::1]:5001/", "::1", 5001),
    ],
)
def test_host_and_port(url: str, host: str, port: int) -> None:
    parsed = parse(url)
    assert (parsed.host, parsed.port) == (host, port)
    assert parsed.dial_url == url


def test_sample_rate_is_taken_out_of_the_custom_parameters() -> None:
    url = parse("ws://b/?sample-rate=16000&queue=sales")
    assert url.sample_rate_hz == 16000
    assert url.custom_parameters == {"queue": "sales"}
    assert url.dial_url == "ws://b/?sample-rate=16000&queue=sales"


def test_sample_rate_may_be_listed_as_a_custom_parameter_by_knob() -> None:
    url = parse("ws://b/?sample-rate=16000", sample_rate_in_custom_params=True)
    assert url.custom_parameters == {"sample-rate": "16000"}


def test_another_sample_rate_falls_back_with_a_note() -> None:
    url = parse("ws://b/?sample-rate=44100")
    assert url.sample_rate_hz == 8000
    assert url.notes == (("url.sample_rate", "sample-rate=44100"),)


def test_sample_rate_with_an_underscore_is_not_obeyed_but_noted() -> None:
    url = parse("ws://b/?sample_rate=16000")
    assert url.sample_rate_hz is None
    assert url.notes == (("url.sample_rate_name", "sample_rate=16000"),)
    assert url.custom_parameters == {"sample_rate": "16000"}


def test_sample_rate_with_an_underscore_is_obeyed_by_knob() -> None:
    url = parse("ws://b/?sample_rate=16000", accept_sample_rate_underscore=True)
    assert (url.sample_rate_hz, url.notes) == (16000, ())
    assert (url.custom_parameters, url.parameter_chars) == ({}, 0)


def test_parameters_are_decoded_and_keep_case_order_and_blanks() -> None:
    url = parse("ws://b/?Name=A+B%26C&empty=&z=%C3%A9")
    assert list(url.custom_parameters.items()) == [
        ("Name", "A B&C"),
        ("empty", ""),
        ("z", "é"),
    ]


def test_the_first_of_two_equal_names_counts_with_a_note() -> None:
    url = parse("ws://b/?a=1&a=2")
    assert url.custom_parameters == {"a": "1"}
    assert url.notes == (("url.params_repeated", "a=2"),)


def test_given_parameters_win_over_those_of_the_url() -> None:
    merged, notes = merge_parameters(parse("ws://b/?a=1&b=2"), {"b": "3"}, OPTIONS)
    assert merged == {"a": "1", "b": "3"}
    assert notes == ()


def test_a_fourth_parameter_is_noted_and_a_26th_refused() -> None:
    _, notes = merge_parameters(parse("ws://b/?0&1&2&3"), {}, OPTIONS)
    assert notes == (("url.params_many", "4 parameters"),)
    with pytest.raises(StreamUrlError, match="26 custom parameters.*allows 25"):
        merge_parameters(parse("ws://b/?" + "&".join(map(str, range(26)))), {}, OPTIONS)


def test_a_callers_headers_do_not_count_against_the_limits() -> None:
    options = StreamOptions(custom_params_max=3, custom_params_max_chars=256)
    headers = {"UUI": "7", "Custom-Header": "x" * 300}
    merged, notes = merge_parameters(parse("ws://b/?a&b&c"), headers, options)
    assert (len(merged), notes) == (5, ())


def test_over_256_characters_are_noted_and_over_800_refused() -> None:
    _, notes = merge_parameters(
        parse("ws://b/?sample-rate=8000&a=" + "/" * 300), {}, OPTIONS
    )
    assert notes == (("url.params_long", "302 characters"),)
    with pytest.raises(StreamUrlError, match="802 characters.*allows 800"):
        merge_parameters(parse("ws://b/?a=" + "x" * 800), {}, OPTIONS)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://bot.example/", "does not start with ws:// or wss://"),
        ("ws:///media", "names no host"),
        ("ws://bot.example:99999/", "port in the URL is no number"),
        (
            "ws://u:S3C/RET@bot.example/",
            "^the port in the URL is no number up to 65535$",
        ),
        ("ws://bot.example/media ", "holds a blank"),
        (" ws://bot.example/media", "holds a blank"),
        ("ws://[::1/", "cannot be read"),
        ("ws://bot.example/\r\nX: y", "holds a blank"),
        ("ws://" + "a" * 64 + ".example\u00e9/", "cannot be read"),
        ("", "does not start with"),
        ("ws://b/" + "x" * 9000, "more than 8192 characters"),
    ],
)
def test_a_url_that_cannot_be_dialled_is_refused(url: str, message: str) -> None:
    with pytest.raises(StreamUrlError, match=message):
        parse(url)


@given(st.text())
def test_any_text_is_a_url_or_a_refusal(text: str) -> None:
    for url in (text, f"ws://{text}", f"ws://b/{text}"):
        try:
            parsed = parse(url)
        except StreamUrlError:
            continue
        assert "\n" not in parsed.dial_url
        assert parsed.host


def test_secrets_in_the_query_are_hidden_from_reports() -> None:
    url = parse_bot_url("wss://k:s@h/m?token=t1&queue=q", StreamOptions())
    assert url.masked_url == "wss://***@h/m?token=***&queue=q"
    assert "token=t1" in url.dial_url
