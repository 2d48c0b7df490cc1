"""Messages, header fields and URIs: parse and format are inverse; nothing crashes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.sip.errors import SessionStateError, SipParseError
from emulator.sip.headers import CSeq, Headers, Via, parse_cseq, parse_via, split_values
from emulator.sip.message import Message, Request, Response, parse_message
from emulator.sip.uri import (
    NameAddr,
    SipUri,
    format_params,
    parse_name_addr,
    parse_params,
    parse_sip_uri,
    quoted,
    unquoted,
)

INVITE = (
    b"INVITE sip:08010000002@127.0.0.1 SIP/2.0\r\n"
    b"v: SIP/2.0/UDP 10.0.0.5:5062;rport;branch=z9hG4bKabc, SIP/2.0/TCP b.example\r\n"
    b'f: "Alice, \\"A\\"" <sip:alice@10.0.0.5>;tag=1\r\n'
    b"t: <sip:08010000002@127.0.0.1>\r\n"
    b"i: call-1\r\n"
    b"CSEQ: 7 INVITE\r\n"
    b"X-UUI:  a,b;c \r\n"
    b"c: application/sdp\r\n"
    b"l: 4\r\n\r\nv=0\r\ntrailing"
)

tokens = st.from_regex(r"[A-Za-z0-9.!%*_+`'~-]{1,10}", fullmatch=True)
names = st.from_regex(r"X-[A-Za-z0-9-]{1,8}", fullmatch=True)
values = st.text(
    st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=30
).map(lambda text: text.strip(" \t"))
hosts = st.from_regex(r"[a-z][a-z0-9-]{0,8}\.example", fullmatch=True) | (
    st.ip_addresses().map(str)
)
ports = st.none() | st.integers(1, 65_535)
param_values = st.none() | tokens | values.map(quoted)
params = st.dictionaries(tokens.map(str.lower), param_values, max_size=3)
plain_params = st.dictionaries(tokens.map(str.lower), st.none() | tokens, max_size=3)
users = st.none() | st.from_regex(r"[a-z0-9+=;/%?-]{1,10}", fullmatch=True).map(
    lambda text: text.replace("%", "%41")
)
uris = st.builds(
    SipUri,
    scheme=st.sampled_from(["sip", "sips"]),
    user=users,
    host=hosts,
    port=ports,
    params=plain_params.map(
        lambda p: {k.replace("%", ""): v for k, v in p.items() if k.replace("%", "")}
    ).map(lambda p: {k: v.replace("%", "") if v else None for k, v in p.items()}),
)


def parsed(data: bytes) -> Request:
    message = parse_message(data)
    assert isinstance(message, Request)
    return message


def test_compact_names_and_several_values_are_understood() -> None:
    request = parsed(INVITE)
    assert request.via == Via(
        "UDP", "10.0.0.5", 5062, {"rport": None, "branch": "z9hG4bKabc"}
    )
    assert len(request.headers.values("Via")) == 2
    assert request.from_.display_name == 'Alice, "A"'
    assert request.cseq == CSeq(7, "INVITE")
    assert request.body == b"v=0\r"
    assert "content-length" not in request.headers


def test_unknown_headers_and_the_request_uri_stay_verbatim() -> None:
    request = parsed(INVITE)
    assert request.uri == "sip:08010000002@127.0.0.1"
    assert request.headers.get("x-uui") == "a,b;c"
    assert ("X-UUI", "a,b;c") in list(request.headers)


def test_the_topmost_via_is_stamped_and_the_rest_is_left_alone() -> None:
    stamped = parsed(INVITE).received_from("203.0.113.5", 40_000)
    assert stamped.via.params["rport"] == "40000"
    assert stamped.via.params["received"] == "203.0.113.5"
    assert stamped.headers.values("Via")[1] == "SIP/2.0/TCP b.example"
    plain = parsed(INVITE.replace(b"rport;", b""))
    assert plain.received_from("10.0.0.5", 1) is plain


@pytest.mark.parametrize(
    "line", ["a, b", '"a, b", c', "<sip:a,b@c>, d", '"a\\"b, c" <x>, d']
)
def test_commas_split_values_only_outside_quotes_and_brackets(line: str) -> None:
    assert len(split_values(line)) == 2 or line == "a, b"


messages = st.builds(
    lambda method, uri, extra, body, cseq: Request(
        method,
        str(uri),
        Headers(
            [
                ("Via", "SIP/2.0/UDP a.example;branch=z9hG4bKx"),
                ("From", "<sip:a@a.example>;tag=1"),
                ("To", "<sip:b@b.example>"),
                ("Call-ID", "c"),
                ("CSeq", f"{cseq} {method}"),
                *extra,
            ]
        ),
        body,
    ),
    tokens,
    uris,
    st.lists(st.tuples(names, values), max_size=4),
    st.binary(max_size=40),
    st.integers(0, 2**31 - 1),
)


@given(messages)
def test_parse_undoes_format_for_requests(request: Request) -> None:
    assert parse_message(request.to_bytes()) == request


@given(messages, st.integers(100, 699), values)
def test_parse_undoes_format_for_responses(
    request: Request, status: int, phrase: str
) -> None:
    response = Response(status, phrase, request.headers, request.body)
    assert parse_message(response.to_bytes()) == response


def read_everything(message: Message) -> None:
    """Touch every lazily read value; each may raise the one error."""
    readers: list[Callable[[], object]] = [
        lambda: message.contacts,
        lambda: message.sdp,
        lambda: message.content_type,
        lambda: message.headers.values("Route"),
        lambda: isinstance(message, Request) and message.sip_uri,
        lambda: message.summary,
    ]
    for read in readers:
        try:
            read()
        except SipParseError as error:
            assert str(error).startswith("malformed SIP: ")


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes_give_a_message_or_a_parse_error(data: bytes) -> None:
    try:
        read_everything(parse_message(data))
    except SipParseError:
        pass


@settings(max_examples=300)
@given(st.data())
def test_a_message_with_damage_gives_a_message_or_a_parse_error(
    data: st.DataObject,
) -> None:
    damaged = bytearray(INVITE)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(damaged)))
        length = data.draw(st.integers(0, 6))
        damaged[start : start + length] = data.draw(st.binary(max_size=6))
    try:
        read_everything(parse_message(bytes(damaged)))
    except SipParseError:
        pass


@given(uris)
def test_parse_undoes_format_for_uris(uri: SipUri) -> None:
    assert parse_sip_uri(str(uri)) == uri


@given(st.builds(NameAddr, uris.map(str), values, params))
def test_parse_undoes_format_for_addresses(address: NameAddr) -> None:
    assert parse_name_addr(str(address)) == address


@given(params)
def test_parse_undoes_format_for_parameters(wanted: dict[str, str | None]) -> None:
    assert parse_params(format_params(wanted)[1:]) == wanted


@given(st.builds(Via, tokens.map(str.upper), hosts, ports, params))
def test_parse_undoes_format_for_vias(via: Via) -> None:
    assert parse_via(str(via)) == via


@given(values)
def test_unquoting_undoes_quoting(text: str) -> None:
    assert unquoted(quoted(text)) == text


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_by_the_value_parsers(text: str) -> None:
    for parse in (parse_sip_uri, parse_name_addr, parse_via, parse_cseq, parse_params):
        try:
            parse(text)
        except SipParseError:
            pass


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        ("sip:a@B.example", "sip:a@b.EXAMPLE", True),
        ("sip:%61lice@b.example;transport=TCP", "sip:alice@b.example;transport=tcp", 1),
        ("sip:a@b.example", "sip:a@b.example;newparam=5", True),
        ("sip:a@b.example;security=on", "sip:a@b.example;newparam=5", True),
        ("sip:a@b.example", "sip:A@b.example", False),
        ("sip:a@b.example", "sip:a@b.example:5060", False),
        ("sip:a@b.example", "sip:a@b.example;transport=udp", False),
        ("sip:a@b.example", "sips:a@b.example", False),
        ("sip:a@b.example;user=phone", "sip:a@b.example", False),
        ("sip:a@b.example;x=1", "sip:a@b.example;x=2", False),
    ],
)
def test_uris_compare_as_the_rfc_says(left: str, right: str, equal: bool) -> None:
    assert parse_sip_uri(left).matches(parse_sip_uri(right)) == equal
    assert parse_sip_uri(right).matches(parse_sip_uri(left)) == equal


def test_headers_are_found_in_any_case_and_can_be_changed() -> None:
    headers = Headers([("x-Thing", "1"), ("Via", "a"), ("via", "b")])
    assert headers.all("VIA") == ["a", "b"]
    assert headers.get("X-THING") == "1"
    assert headers.get("Nothing") is None
    assert headers.replaced("X-Thing", "2").get("x-thing") == "2"
    assert headers.replaced("New", "n").get("new") == "n"
    assert list(headers.without("via")) == [("x-Thing", "1")]
    assert len(headers.plus(("Y", "y"))) == 4
    assert headers == Headers(list(headers))
    assert "x-Thing" in repr(headers)


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\rb"])
def test_a_value_cannot_smuggle_in_another_header(value: str) -> None:
    with pytest.raises(SipParseError, match="line end"):
        Headers([("X-Param", value)])


def test_errors_say_what_was_wrong() -> None:
    assert str(SipParseError("no Via")) == "malformed SIP: no Via"
    error = SessionStateError("ring", "over")
    assert str(error) == "cannot ring a session that is over"
