"""What a peer writes costs time in proportion to its length, however it is written."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.calls.journal import message_text
from emulator.sdp.crypto import CryptoError, parse_crypto
from emulator.sdp.description import parse_description
from emulator.sdp.errors import SdpParseError
from emulator.sip.auth import parse_digest
from emulator.sip.body import find_part
from emulator.sip.dtmf_info import parse_info_digit
from emulator.sip.errors import SipParseError
from emulator.sip.framing import StreamFramer
from emulator.sip.headers import parse_cseq, parse_via, split_values
from emulator.sip.message import parse_message
from emulator.sip.uri import parse_name_addr, parse_params, parse_sip_uri

# The largest datagram. The square of it would be minutes, the cube days.
LARGEST = 60_000
LIMIT_S = 0.25

HEAD = (
    b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n"
    b"From: <sip:a@b>;tag=1\r\nTo: <sip:b@c>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n"
)


def message_with(line: str) -> Callable[[str], object]:
    """Return a parser of a whole message, of which ``line`` begins one header."""

    def parse(text: str) -> object:
        head = "\r\n".join(
            kept
            for kept in HEAD.decode().splitlines()
            if kept.partition(":")[0] != line.partition(":")[0]
        )
        data = f"{head}\r\n{line}{text}\r\n\r\n"
        return parse_message(data.encode("utf-8", "surrogateescape"))

    return parse


def framed(text: str) -> object:
    data = b"A\r\n" + text.encode("utf-8", "surrogateescape") + b"\r\n\r\n"
    return StreamFramer(65_536).feed(data)


PARSERS: dict[str, Callable[[str], object]] = {
    "from": message_with("From: "),
    "to": message_with("To: "),
    "via": message_with("Via: "),
    "cseq": message_with("CSeq: "),
    "other header": message_with("X-Other: "),
    "folded header": message_with("X-Other: a\r\n b\r\nX-More: "),
    "header name": message_with(""),
    "start line": lambda text: parse_message(text.encode() + b"\r\n\r\n"),
    "name-addr": parse_name_addr,
    "uri": parse_sip_uri,
    "parameters": parse_params,
    "via value": parse_via,
    "cseq value": parse_cseq,
    "list": split_values,
    "digest": parse_digest,
    "multipart": lambda text: find_part(text, b"\r\n--" * 1000, "application/sdp"),
    "part": lambda text: find_part(
        "multipart/mixed;boundary=x",
        b"--x\r\n" + text.encode("utf-8", "surrogateescape"),
        "application/sdp",
    ),
    "info digit": lambda text: parse_info_digit(
        "application/dtmf-relay", text.encode("utf-8", "surrogateescape")
    ),
    "description": lambda text: parse_description(("v=0\n" + text)[:16_000]),
    "crypto": parse_crypto,
    "stream": framed,
    "timeline": lambda text: message_text(HEAD + text.encode()),
}

STARTS = (
    *("", "a", '"', "<", "x<", "<sip:a@b>;", "<sip:a@b>;a", "<sip:a@b>;a=", "sip:a"),
    *("sip:a@b;", "sip:a@b;a=", "Digest ", "Digest a", "Digest a=", 'Digest a="'),
    *("SIP/2.0/UDP h", "SIP/2.0/UDP ", "SIP", "SIP/2.0/UDP h:", "1", "1 "),
    *("SIP/2.0/UDP h;a=", "multipart/mixed;boundary", "multipart/mixed;boundary="),
    *("a\r\n b", "l", "Authorization", "a=crypto:", "o=", "a=crypto:1 ", "Signal="),
)
REPEATED = (
    *(" ", "\t", "\x0b", "\xa0", " \t", "\r\n ", "\r\n", "\n", "\\", ";", ",", "="),
    *('"', "<", ">", "@", ":", "a=1,", "a;", '\\"', '";"', "%41", "--", "/", "0", "a"),
    *("a=\n", "a:a\r\n", "boundary=", "authorization", "\u0660", "<>", '""', "a ", "&"),
)
ENDS = ('x"<', "<", "\x01")


def cost_s(parse: Callable[[str], object], text: str) -> float:
    """Return the CPU seconds of one parse; that it fails is no matter."""
    started_s = time.process_time()
    try:
        parse(text)
    except (SipParseError, SdpParseError, CryptoError):
        pass
    return time.process_time() - started_s


@pytest.mark.parametrize("name", PARSERS)
def test_no_text_of_a_peer_takes_long_to_read(name: str) -> None:
    parse = PARSERS[name]
    for start in STARTS:
        for unit in REPEATED:
            for end in ENDS:
                # A small one first: what the cube makes of a large one never ends.
                for length in (1500, 6000):
                    text = start + unit * (length // len(unit)) + end
                    assert cost_s(parse, text) < LIMIT_S, (start, unit, end, length)


@pytest.mark.parametrize("name", PARSERS)
@pytest.mark.parametrize("end", ENDS)
def test_the_largest_datagram_takes_no_longer(name: str, end: str) -> None:
    parse = PARSERS[name]
    for start in ("", "a", "SIP/2.0/UDP h", "<sip:a@b>;a=", "Digest a="):
        for unit in (" ", "\x0b", ";", ",", "\\", "a:a\r\n", "a="):
            text = start + unit * (LARGEST // len(unit)) + end
            assert cost_s(parse, text) < LIMIT_S, (start, unit, end)


pieces = st.sampled_from([*STARTS, *REPEATED, *ENDS])


@given(st.lists(st.tuples(pieces, st.integers(1, 3000)), min_size=1, max_size=4))
@settings(max_examples=60)
def test_no_mixture_of_them_takes_long_either(runs: list[tuple[str, int]]) -> None:
    text = "".join(piece * count for piece, count in runs)[:LARGEST]
    for name, parse in PARSERS.items():
        assert cost_s(parse, text) < LIMIT_S, name
