"""SDES: which crypto lines are taken, skipped and refused (RFC 4568)."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.errors import NegotiationError
from emulator.sdp.crypto import CryptoError, LocalCrypto, parse_crypto
from emulator.sdp.description import Description, parse_description
from emulator.sdp.negotiation import LocalAudio, answer_offer, make_offer, read_answer

SUITE_80, SUITE_32 = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"
OURS = LocalCrypto({SUITE_80: b"a" * 30, SUITE_32: b"b" * 30})
THEIR_KEY = base64.b64encode(b"t" * 30).decode()
LOCAL = LocalAudio("10.0.0.1", 10_000, crypto=OURS)
OFFERING = LocalAudio(
    "10.0.0.1", 10_000, crypto=LocalCrypto(OURS.keys, is_offered=True)
)


def line(tag: int = 1, suite: str = SUITE_80, rest: str = "", key: str = "") -> str:
    return f"{tag} {suite} inline:{key or THEIR_KEY}{rest}"


def offer(*crypto: str, protocol: str = "RTP/SAVP", more: str = "") -> Description:
    lines = [
        "v=0", "o=- 1 1 IN IP4 10.0.0.2", "s=-", "c=IN IP4 10.0.0.2", "t=0 0",
        f"m=audio 4000 {protocol} 0", *(f"a=crypto:{value}" for value in crypto),
    ]  # fmt: skip
    return parse_description("\r\n".join(lines) + "\r\n" + more)


def crypto_of(description: Description) -> list[str]:
    return description.media[0].values("crypto")


def test_the_first_suite_that_we_know_is_answered_with_its_tag_and_our_key() -> None:
    theirs = offer(
        line(1, "AES_256_CM_HMAC_SHA1_80"), line(3, SUITE_32), line(4, SUITE_80)
    )
    answer, agreed = answer_offer(theirs, LOCAL)
    assert answer.media[0].protocol == "RTP/SAVP"
    assert crypto_of(answer) == [
        f"3 {SUITE_32} inline:{base64.b64encode(b'b' * 30).decode()}"
    ]
    assert agreed.crypto is not None
    assert (agreed.crypto.local.key, agreed.crypto.remote.key) == (b"b" * 30, b"t" * 30)


def test_a_plain_offer_is_answered_plainly_though_it_has_crypto_lines() -> None:
    answer, agreed = answer_offer(offer(line(), protocol="RTP/AVP"), LOCAL)
    assert (answer.media[0].protocol, agreed.crypto) == ("RTP/AVP", None)
    assert crypto_of(answer) == []


def test_the_second_section_is_taken_when_the_first_has_no_usable_key() -> None:
    theirs = offer(line(key="AAAA"), more="m=audio 4002 RTP/AVP 0\r\n")
    answer, agreed = answer_offer(theirs, LOCAL)
    assert [media.port for media in answer.media] == [0, 10_000]
    assert (agreed.crypto, agreed.remote_port) == (None, 4002)


@pytest.mark.parametrize(
    ("rest", "mki_bytes"),
    [
        ("", 0), ("|2^31", 0), ("|1048576", 0), ("|2^20|1:4", 4), ("|5:1", 1),
        (" WSH=128", 0), (" KDR=0 -x", 0),
    ],
)  # fmt: skip
def test_lifetime_mki_and_harmless_parameters_are_read(
    rest: str, mki_bytes: int
) -> None:
    crypto = parse_crypto(line(rest=rest))
    assert (crypto.key, crypto.mki_bytes) == (b"t" * 30, mki_bytes)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("1", "no tag, suite and key"),
        (line().replace("1 ", "x ", 1), "its tag is no number"),
        (line(suite="F8_128_HMAC_SHA1_80"), "suite F8_128_HMAC_SHA1_80 is unknown"),
        (line(key="=="), "its key is no base64"),
        (line(key="AAAA"), "its key has 3 bytes, not 30"),
        (line(rest="|2^x"), "its lifetime is no number of packets"),
        (line(rest="|2^31|1:0"), "its MKI has 0 bytes, not 1 to 128"),
        (line(rest="|2^31|1:129"), "its MKI has 129 bytes, not 1 to 128"),
        (line(rest="|2^31|1"), "its MKI is no value:length"),
        (line(rest=f";inline:{THEIR_KEY}|2^31|1:1"), "several keys in one line"),
        (line().replace("inline", "mikey"), "its key method is not inline"),
        (line(rest=" UNENCRYPTED_SRTP"), "UNENCRYPTED_SRTP is not supported"),
        (line(rest=" KDR=1"), "KDR is not supported"),
    ],
)
def test_a_line_that_cannot_be_used_says_why_without_its_key(
    value: str, reason: str
) -> None:
    with pytest.raises(CryptoError, match=reason.replace("^", r"\^")) as caught:
        parse_crypto(value)
    assert THEIR_KEY not in str(caught.value)
    with pytest.raises(NegotiationError, match=reason.split()[0]):
        answer_offer(offer(value), LOCAL)


@given(st.text(max_size=80))
def test_no_line_crashes(value: str) -> None:
    try:
        parse_crypto(value)
    except CryptoError:
        pass


def test_srtp_can_be_off_and_can_be_required() -> None:
    with pytest.raises(NegotiationError, match="SRTP is off"):
        answer_offer(offer(line()), LocalAudio("10.0.0.1", 10_000))
    strict = LocalCrypto(OURS.keys, is_required=True)
    with pytest.raises(NegotiationError, match="RTP without SRTP is refused"):
        local = LocalAudio("10.0.0.1", 10_000, crypto=strict)
        answer_offer(offer(protocol="RTP/AVP"), local)


def test_our_offer_has_a_line_per_suite_and_the_answer_takes_one() -> None:
    ours = make_offer(OFFERING)
    assert ours.media[0].protocol == "RTP/SAVP"
    assert [value.split()[:2] for value in crypto_of(ours)] == [
        ["1", SUITE_80], ["2", SUITE_32]
    ]  # fmt: skip
    agreed = read_answer(offer(line(2, SUITE_32)), OFFERING)
    assert agreed.crypto is not None
    assert agreed.crypto.local.key == b"b" * 30


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (offer(protocol="RTP/AVP"), "RTP/AVP is not what was offered"),
        (offer(), "0 a=crypto lines instead of one"),
        (offer(line(), line(2)), "2 a=crypto lines"),
        (offer(line(2, SUITE_80)), "tag 2 with AES_CM_128_HMAC_SHA1_80 is none"),
    ],
)
def test_an_answer_that_breaks_the_agreement_is_none(
    answer: Description, reason: str
) -> None:
    with pytest.raises(NegotiationError, match=reason):
        read_answer(answer, OFFERING)


def test_keys_are_in_no_repr() -> None:
    _, agreed = answer_offer(offer(line()), LOCAL)
    shown = repr(agreed) + repr(LOCAL) + repr(parse_crypto(line()))
    assert "b'a" not in shown and "tttt" not in shown and "bbbb" not in shown
