"""Offer and answer agree on codec, address, direction and ptime (RFC 3264)."""

from __future__ import annotations

import pytest

from emulator.errors import NegotiationError
from emulator.sdp.description import parse_description
from emulator.sdp.negotiation import (
    AgreedAudio,
    DirectionOfMedia,
    LocalAudio,
    answer_offer,
    is_hold,
    make_offer,
    read_answer,
)

LOCAL = LocalAudio("10.0.0.1", 10_000)


def offer(*lines: str, audio: str = "m=audio 4000 RTP/AVP 0 8 101") -> str:
    head = ["v=0", "o=- 1 1 IN IP4 10.0.0.2", "s=-", "c=IN IP4 10.0.0.2", "t=0 0"]
    return "\r\n".join([*head, audio, *lines]) + "\r\n"


def answered(text: str, local: LocalAudio = LOCAL) -> tuple[list[str], AgreedAudio]:
    """Return the answer's lines from the first ``m=`` on, and what was agreed."""
    answer, agreed = answer_offer(parse_description(text), local)
    lines = str(answer).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("m="))
    return lines[start:], agreed


def test_the_first_offered_codec_that_we_have_is_taken() -> None:
    lines, agreed = answered(offer("a=rtpmap:101 telephone-event/8000"))
    assert agreed == AgreedAudio(
        "PCMU", 0, 101, 20, "10.0.0.2", 4000, DirectionOfMedia.SENDRECV
    )
    assert lines == [
        "m=audio 10000 RTP/AVP 0 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=ptime:20",
        "a=sendrecv",
    ]


def test_our_own_order_can_decide() -> None:
    local = LocalAudio("10.0.0.1", 10_000, prefer_own_order=True)
    _, agreed = answered(offer(), local)
    assert (agreed.codec, agreed.payload_type) == ("PCMA", 8)


def test_only_the_codecs_of_the_list_are_taken() -> None:
    _, agreed = answered(offer(), LocalAudio("10.0.0.1", 10_000, codecs=("PCMA",)))
    assert agreed.codec == "PCMA"


def test_the_offerer_s_numbers_are_kept() -> None:
    text = offer(
        "a=rtpmap:110 pcma/8000/1",
        "a=rtpmap:96 telephone-event/8000",
        "a=fmtp:96 0-16",
        audio="m=audio 4000 RTP/AVP 110 96",
    )
    lines, agreed = answered(text)
    assert (agreed.codec, agreed.payload_type) == ("PCMA", 110)
    assert agreed.telephone_event_payload_type == 96
    assert "a=rtpmap:96 telephone-event/8000" in lines


def test_a_redefined_static_number_is_not_g711() -> None:
    text = offer("a=rtpmap:0 speex/8000", audio="m=audio 4000 RTP/AVP 0")
    with pytest.raises(NegotiationError):
        answered(text)


def test_telephone_events_at_another_rate_are_not_ours() -> None:
    _, agreed = answered(offer("a=rtpmap:101 telephone-event/48000"))
    assert agreed.telephone_event_payload_type is None


def test_the_section_s_address_wins() -> None:
    _, agreed = answered(offer("c=IN IP4 203.0.113.7"))
    assert agreed.remote_ip == "203.0.113.7"


@pytest.mark.parametrize(
    ("offered", "agreed_ms"),
    [("20", 20), ("10", 10), ("60", 60), ("120", 60), ("5", 10), ("33", 30), ("x", 20)],
)
def test_ptime_follows_the_offer_within_bounds(offered: str, agreed_ms: int) -> None:
    lines, agreed = answered(offer(f"a=ptime:{offered}"))
    assert agreed.ptime_ms == agreed_ms
    assert f"a=ptime:{agreed_ms}" in lines


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("sendrecv", "sendrecv"),
        ("sendonly", "recvonly"),
        ("recvonly", "sendonly"),
        ("inactive", "inactive"),
    ],
)
def test_the_answer_mirrors_the_direction(theirs: str, ours: str) -> None:
    lines, agreed = answered(offer(f"a={theirs}"))
    assert f"a={ours}" in lines
    assert agreed.direction.value == ours


def test_our_own_hold_limits_the_direction() -> None:
    local = LocalAudio("10.0.0.1", 10_000, direction=DirectionOfMedia.SENDONLY)
    _, agreed = answered(offer("a=sendrecv"), local)
    assert agreed.direction is DirectionOfMedia.SENDONLY
    _, agreed = answered(offer("a=sendonly"), local)
    assert agreed.direction is DirectionOfMedia.INACTIVE


def test_a_direction_for_the_whole_session_counts() -> None:
    text = offer().replace("t=0 0", "t=0 0\r\na=sendonly")
    _, agreed = answered(text)
    assert agreed.direction is DirectionOfMedia.RECVONLY


@pytest.mark.parametrize(
    ("text", "held"),
    [
        (offer(), False),
        (offer("a=sendonly"), True),
        (offer("a=inactive"), True),
        (offer("a=recvonly"), False),
        (offer("c=IN IP4 0.0.0.0"), True),
    ],
)
def test_hold_is_recognised(text: str, held: bool) -> None:
    assert is_hold(parse_description(text)) is held


def test_the_old_hold_address_stops_us_from_sending() -> None:
    _, agreed = answered(offer("c=IN IP4 0.0.0.0"))
    assert agreed.direction is DirectionOfMedia.RECVONLY


def test_other_sections_are_refused_in_order() -> None:
    text = "\r\n".join(
        [
            "v=0",
            "o=- 1 1 IN IP4 10.0.0.2",
            "c=IN IP4 10.0.0.2",
            "m=video 5000 RTP/AVP 97",
            "a=rtpmap:97 H264/90000",
            "m=audio 4000 RTP/SAVP 0",
            "m=audio 4002 RTP/AVP 8",
            "m=audio 4004 RTP/AVP 0",
        ]
    )
    lines, agreed = answered(text)
    assert agreed.remote_port == 4002
    assert [line for line in lines if line.startswith("m=")] == [
        "m=video 0 RTP/AVP 97",
        "m=audio 0 RTP/SAVP 0",
        "m=audio 10000 RTP/AVP 8",
        "m=audio 0 RTP/AVP 0",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (offer(audio="m=audio 4000 RTP/AVP 18"), "18"),
        (offer(audio="m=audio 0 RTP/AVP 0"), "audio 0"),
        (offer(audio="m=audio 4000 RTP/SAVP 0"), "RTP/SAVP"),
        (offer(audio="m=video 4000 RTP/AVP 97"), "video"),
        ("v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\n", "no media"),
        ("v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\nm=audio 1 RTP/AVP 0\r\n", "no c= line"),
    ],
)
def test_without_a_common_codec_the_offer_is_refused(text: str, words: str) -> None:
    with pytest.raises(NegotiationError, match=words):
        answered(text)


def test_our_offer_has_every_codec_and_an_answer_picks_one() -> None:
    own = make_offer(LOCAL)
    assert own.media[0].formats == ("8", "0", "101")
    their_local = LocalAudio("10.0.0.2", 4000)
    answer, theirs = answer_offer(own, their_local)
    ours = read_answer(answer, LOCAL)
    assert (ours.codec, ours.telephone_event_payload_type) == ("PCMA", 101)
    assert (theirs.remote_ip, theirs.remote_port) == ("10.0.0.1", 10_000)
    assert (ours.remote_ip, ours.remote_port) == ("10.0.0.2", 4000)


def test_an_answer_that_refuses_is_no_agreement() -> None:
    refusal = offer(audio="m=audio 0 RTP/AVP 8")
    with pytest.raises(NegotiationError, match="no common codec"):
        read_answer(parse_description(refusal), LOCAL)


def test_the_version_grows_with_every_description() -> None:
    first, second = make_offer(LOCAL), make_offer(LOCAL.next())
    assert first.origin.session_id == second.origin.session_id
    assert second.origin.version == first.origin.version + 1
