"""Hard and broken messages, each with its outcome: the peer's view of our parser.

``tests/data/sip/torture`` holds re-creations of RFC 4475's 49 messages under the RFC's
names, ``malformed`` more that are broken in one way each; ``outcomes.json`` beside them
says what must come of each on the wire: a status, ``call`` (the INVITE reaches the
application) or ``silence``; by transport, with the reason, where the framing of a
stream makes a difference. RFC 4475's own bytes run through the same expectations when
``RFC4475_DIR`` names their folder. ``tests/integration/test_sip_hard_messages.py``
sends them all over sockets.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from emulator.sip.address import SourceAddress
from emulator.sip.body import parts
from emulator.sip.errors import SipParseError
from emulator.sip.headers import parse_via
from emulator.sip.message import Request, Response, parse_message
from emulator.sip.options import SipOptions
from emulator.sip.uri import parse_name_addr
from tests.unit.sip.sip_world import World

DATA = Path(__file__).resolve().parents[2] / "data" / "sip"
RFC_DIR = os.environ.get("RFC4475_DIR", "")
SOURCE = SourceAddress("udp", "198.51.100.99", 5060)


USERS = {"user": "secret"}


def outcomes(folder: str, transport: str = "udp") -> dict[str, str]:
    """Return the statuses that may come back, by message."""
    loaded = json.loads((DATA / folder / "outcomes.json").read_text())
    kind = "udp" if transport == "udp" else "stream"
    return {
        name: outcome if isinstance(outcome, str) else outcome[kind]
        for name, outcome in loaded.items()
    }


def outcome_of(data: bytes) -> str:
    """Hand the bytes to a user agent as a shell does; say what it did."""
    world = World()
    bob = world.node("bob", 5060, SipOptions(users=USERS))
    bob.on_invite = lambda session: []
    try:
        bob.perform(bob.agent.receive(parse_message(data), SOURCE, 0.0))
    except SipParseError as error:
        bob.perform(bob.agent.receive_malformed(error, SOURCE))
    for line in world.log:
        assert isinstance(line.message, Response)
        assert parse_response_bytes(line.message)
    if bob.calls:
        return "call"
    return world.log[0].summary.partition(" ")[0] if world.log else "silence"


def parse_response_bytes(response: Response) -> bool:
    return response.to_bytes().startswith(b"SIP/2.0 ")


CASES = [
    pytest.param(folder, name, outcome, id=f"{folder}/{name}")
    for folder in ("torture", "malformed")
    for name, outcome in outcomes(folder).items()
]


@pytest.mark.parametrize(("folder", "name", "outcome"), CASES)
def test_a_hard_message_has_its_outcome(folder: str, name: str, outcome: str) -> None:
    data = (DATA / folder / f"{name}.dat").read_bytes()
    assert outcome_of(data) in outcome.split("|")


def test_every_file_has_an_outcome() -> None:
    for folder in ("torture", "malformed"):
        files = {path.stem for path in (DATA / folder).glob("*.dat")}
        assert files == set(outcomes(folder))
    assert len(outcomes("torture")) == 49


@pytest.mark.parametrize(("name", "outcome"), outcomes("torture").items())
def test_rfc_4475_s_own_message_has_its_outcome(name: str, outcome: str) -> None:
    if not RFC_DIR:
        pytest.skip("RFC 4475's OWN MESSAGES DID NOT RUN: RFC4475_DIR is not set")
    found = list(Path(RFC_DIR).rglob(f"{name}.dat"))
    assert found, f"{name}.dat is not below {RFC_DIR}"
    assert outcome_of(found[0].read_bytes()) in outcome.split("|")


# --- what the valid ones mean ---


def torture(name: str) -> Request:
    message = parse_message((DATA / "torture" / f"{name}.dat").read_bytes())
    assert isinstance(message, Request)
    return message


def test_white_space_and_folding_may_be_anywhere() -> None:
    request = torture("wsinv")
    assert request.uri == "sip:vip@example.net;kind=plain"
    assert (request.to.uri, request.to.tag) == ("sip:vip@example.net", "77ab")
    assert request.from_.tag == "8821"
    assert request.cseq.number == 12
    assert request.max_forwards == 61
    assert request.headers.get("Subject") == ""
    assert request.headers.get("newfangledheader") == "grown older field"
    vias = [parse_via(value) for value in request.headers.values("Via")]
    assert [(v.transport, v.host, v.branch) for v in vias] == [
        ("UDP", "198.51.100.7", "4432"),
        ("TCP", "relay.example.org", "z9hG4bKrelay"),
        ("UDP", "198.51.100.9", "z9hG4bK55aa"),
    ]
    assert request.contacts[0].display_name == 'Tester in "quotes"'
    assert request.contacts[0].params["q"] == "0.25"


def test_methods_and_names_may_be_odd_and_quotes_hold_control_characters() -> None:
    request = torture("intmeth")
    assert request.method == "%special-Meth0d_*+'~.!`"
    assert request.to.display_name == "BEL:\x07 NUL:\0 DEL:\x7f"
    assert request.from_.params["regular"] == "Straße"


def test_escapes_stay_as_they_are_and_can_be_read() -> None:
    request = torture("esc01")
    assert request.sip_uri.user == "sips%3Atester%40example.org"
    assert request.sip_uri.user_text == "sips:tester@example.org"
    assert torture("escnull").contacts[1].sip_uri.user_text == "\0\0"
    assert torture("esc02").method == "RE%47IST%45R"


def test_a_semicolon_belongs_to_the_user_part() -> None:
    assert torture("semiuri").sip_uri.user == "user;par=u%40example.com"


def test_long_values_are_read_whole() -> None:
    request = torture("longreq")
    assert len(request.headers.get("X-Huge") or "") == 800
    assert len(request.headers.values("Route")) == 6


def test_a_binary_part_is_found_in_a_multipart_body() -> None:
    request = torture("mpart01")
    found = dict(parts(request.headers.get("Content-Type") or "", request.body))
    assert found["text/plain"] == b"Hi"
    assert found["application/octet-stream"] == b"\x00\x01\xff\xfe0\x82\r\n\x80"


def test_parameters_without_brackets_belong_to_the_header() -> None:
    assert torture("cparam01").contacts[0].params == {"unknownparam": "1"}
    assert torture("cparam02").contacts[0].params == {}
    with pytest.raises(SipParseError):
        parse_name_addr("sip:tester@example.org?Route=x")


@pytest.mark.parametrize("name", ["unreason", "noreason"])
def test_any_reason_phrase_is_understood(name: str) -> None:
    message = parse_message((DATA / "torture" / f"{name}.dat").read_bytes())
    assert isinstance(message, Response)
    assert message.reason_phrase == {
        "unreason": "= 2**3 * 5**2 но сто девяносто девять - простое",
        "noreason": "",
    }.get(name)
