"""Session descriptions are read liberally and written exactly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.sdp.description import (
    MAX_MEDIA,
    Description,
    Media,
    Origin,
    format_description,
    parse_description,
)
from emulator.sdp.errors import SdpParseError

LINPHONE = """v=0
o=alice 3456 789 IN IP4 192.168.1.20
s=Talk
c=IN IP4 192.168.1.20
t=0 0
a=rtcp-xr:rcvr-rtt=all:10000
m=audio 7078 RTP/AVP 96 0 8 101
c=IN IP4 203.0.113.9
a=rtpmap:96 opus/48000/2
a=fmtp:96 useinbandfec=1
a=rtpmap:101 telephone-event/8000
a=sendrecv
m=video 0 RTP/AVP 97
"""


def test_a_softphone_s_description_is_understood() -> None:
    description = parse_description(LINPHONE)
    assert description.origin == Origin("3456", 789, "192.168.1.20", "alice")
    assert description.address == "192.168.1.20"
    audio, video = description.media
    assert audio.formats == ("96", "0", "8", "101")
    assert description.address_of(audio) == "203.0.113.9"
    assert description.address_of(video) == "192.168.1.20"
    assert audio.values("rtpmap")[0] == "96 opus/48000/2"
    assert audio.attribute("sendrecv") == ""
    assert audio.attribute("ptime") is None
    assert description.attribute("rtcp-xr") == "rcvr-rtt=all:10000"


def test_a_formatted_description_has_crlf_and_the_order_of_rfc_8866() -> None:
    text = format_description(
        Description(
            Origin("1", 2, "2001:db8::1"),
            (Media("audio", 4000, "RTP/AVP", ("0",), attributes=(("ptime", "20"),)),),
            "2001:db8::1",
        )
    )
    assert text == (
        "v=0\r\no=- 1 2 IN IP6 2001:db8::1\r\ns=-\r\nc=IN IP6 2001:db8::1\r\n"
        "t=0 0\r\nm=audio 4000 RTP/AVP 0\r\na=ptime:20\r\n"
    )


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", 0, "no v=0"),
        ("v=1\n", 1, "version"),
        ("v=0\nnonsense\n", 2, "type=value"),
        ("v=0\no=too few\n", 2, "bad origin"),
        ("v=0\no=- 1 x IN IP4 1.2.3.4\n", 2, "bad origin"),
        ("v=0\nc=IN IP4\n", 2, "bad connection"),
        ("v=0\nm=audio 99999 RTP/AVP 0\n", 2, "bad media port"),
        ("v=0\nm=audio\n", 2, "bad media line"),
        ("v=0\n" + "m=audio 1 RTP/AVP 0\n" * (MAX_MEDIA + 1), MAX_MEDIA + 2, "more"),
        ("v=0\n" + "a" * 20_000, 0, "more than"),
    ],
)
def test_a_broken_description_names_its_line(text: str, line: int, reason: str) -> None:
    with pytest.raises(SdpParseError, match=reason) as caught:
        parse_description(text)
    assert caught.value.line == line
    assert str(caught.value).startswith(f"malformed SDP, line {line}: ")


tokens = st.from_regex(r"[A-Za-z0-9.-]{1,12}", fullmatch=True)
addresses = st.ip_addresses().map(str)
attributes = st.lists(st.tuples(tokens, st.none() | tokens), max_size=4).map(tuple)
media = st.builds(
    Media,
    kind=st.sampled_from(["audio", "video", "image"]),
    port=st.integers(0, 65_535),
    protocol=st.sampled_from(["RTP/AVP", "RTP/SAVP", "udptl"]),
    formats=st.lists(tokens, min_size=1, max_size=5).map(tuple),
    address=st.none() | addresses,
    attributes=attributes,
)
descriptions = st.builds(
    Description,
    origin=st.builds(Origin, tokens, st.integers(0, 2**63), addresses, tokens),
    media=st.lists(media, max_size=4).map(tuple),
    address=st.none() | addresses,
    name=tokens,
    attributes=attributes,
)


@given(descriptions)
def test_parse_undoes_format(description: Description) -> None:
    assert parse_description(str(description)) == description


@given(st.text())
def test_any_text_gives_a_description_or_a_parse_error(text: str) -> None:
    try:
        parse_description(f"v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\n{text}")
    except SdpParseError:
        pass
