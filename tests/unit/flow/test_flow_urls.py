"""Rules of stream URLs: what is dialled, the sample rate, custom parameters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.flow import urls
from emulator.stream.url import parse_bot_url
from emulator.stream_options import StreamOptions


@pytest.mark.parametrize(
    "url",
    [
        "ws://127.0.0.1:5001/media",
        "wss://bot.example",
        "wss://key:token@bot.example:8443/a/b?x=1&sample-rate=16000",
        "https://bot.example/resolve?a=b",
        "ws://[::1]:5001/",
        " wss://bot.example/with a blank",
    ],
)
def test_a_url_that_can_be_dialled_or_resolved_is_kept_as_typed(url: str) -> None:
    assert urls.check_url(url) == url


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "must begin with ws:// or wss://"),
        ("bot.example/media", "must begin with ws:// or wss://"),
        ("sip://bot.example", "must begin with ws:// or wss://, not sip://"),
        ("ws:///media", "names no host"),
        ("ws://bot.example:port/", "is no URL: the port is no number"),
        ("ws://[bot/", "is no URL: the host cannot be read"),
        ("ws://bot.example/#a", "must have no #fragment"),
        ("ws://bot.example/\r\nX: y", "holds a control character"),
    ],
)
def test_what_is_wrong_with_a_url_is_said(url: str, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        urls.check_url(url)
    assert str(caught.value).startswith(words)


def test_a_password_that_breaks_the_url_is_not_in_what_is_said() -> None:
    with pytest.raises(ValueError, match="percent-encoded") as caught:
        urls.check_url("ws://u2:S3C/RET2@bot.example/")
    assert "S3C" not in str(caught.value)


def test_query_pairs_are_parameters_and_the_sample_rate_is_not() -> None:
    query = urls.parse_query("ws://b/m?queueName=premium&sample-rate=16000&x=a%20b+c&y")
    assert query.sample_rate == "16000"
    assert query.parameters == {"queueName": "premium", "x": "a b c", "y": ""}
    assert query.text == "queueName=premium&x=a%20b+c&y"


@pytest.mark.parametrize(
    ("query", "rate_hz"),
    [
        ("", 8000),
        ("?sample-rate=8000", 8000),
        ("?sample-rate=16000", 16000),
        ("?a=b&sample-rate=24000", 24000),
        ("?sample-rate=44100", 8000),
        ("?sample-rate=", 8000),
        ("?sample_rate=16000", 8000),
    ],
)
def test_the_url_chooses_the_sample_rate(query: str, rate_hz: int) -> None:
    assert urls.sample_rate_hz(f"wss://bot.example/media{query}") == rate_hz


def test_an_applets_rate_silences_the_trap_or_is_told_to_have_lost() -> None:
    assert list(urls.sample_rate_traps("ws://b/", 16000)) == []
    assert list(urls.sample_rate_traps("ws://b/?sample-rate=16000", 16000)) == []
    assert list(urls.sample_rate_traps("ws://b/?sample-rate=8000", 16000)) == [
        "the URL's sample-rate wins: 8000, not 16000"
    ]


def test_the_underscore_is_no_parameter_and_no_trap_where_it_is_obeyed() -> None:
    rules = urls.StreamUrlRules(accepts_underscore=True)
    url = "ws://b/?sample_rate=16000"
    assert urls.sample_rate_hz(url, None, rules) == 16000
    assert urls.count_parameters(url, {}, rules) == (0, 0)
    assert list(urls.sample_rate_traps(url, None, rules)) == []


def test_load_and_dial_measure_the_same() -> None:
    for query in ("a=" + "/" * 300, "sample-rate=8000&a=%2F+b", "a&&b=", "a=é"):
        url = f"ws://b/m?{query}"
        dialled = parse_bot_url(url, StreamOptions())
        counts = (len(dialled.custom_parameters), dialled.parameter_chars)
        assert urls.count_parameters(url, {}) == counts


def test_parameters_are_counted_as_one_query() -> None:
    url = "ws://b/?sample-rate=8000&a=1&b=2"
    assert urls.count_parameters(url, {}) == (2, len("a=1&b=2"))
    assert urls.count_parameters(url, {"b": "3", "c": "x y"}) == (
        3,
        len("a=1&b=2&b=3&c=x%20y"),
    )
    assert urls.count_parameters("ws://b/", {"c": "d"}) == (1, 3)
    assert urls.count_parameters("ws://b/", {}) == (0, 0)


@given(st.text(max_size=60))
def test_any_text_is_a_url_or_a_value_error(text: str) -> None:
    for url in (text, f"ws://bot.example/{text}", f"wss://{text}"):
        try:
            urls.check_url(url)
        except ValueError:
            continue
        urls.parse_query(url)
        list(urls.sample_rate_traps(url))
