"""Dialogs: route sets, targets, sequence numbers (RFC 3261 §12)."""

from __future__ import annotations

import pytest

from emulator.sip.address import Target
from emulator.sip.dialog import Dialog, DialogId, contact_uri, routes_of
from emulator.sip.errors import SipParseError
from emulator.sip.headers import Headers
from emulator.sip.message import Request, Response
from emulator.sip.party import LocalParty
from emulator.sip.uri import NameAddr

PARTY = LocalParty("test", {"udp": 5060, "tcp": 5060})


def dialog(*routes: str, observed: Target | None = None) -> Dialog:
    return Dialog(
        call_id="c",
        local=NameAddr("sip:me@x", params={"tag": "l"}),
        remote=NameAddr("sip:you@y", params={"tag": "r"}),
        remote_target="sip:you@192.0.2.7:5066",
        route_set=tuple(NameAddr(route) for route in routes),
        local_cseq=10,
        remote_cseq=None,
        transport="udp",
        local_ip="192.0.2.1",
        contact="<sip:me@192.0.2.1:5060>",
        observed=observed,
    )


def test_a_request_carries_the_dialog() -> None:
    request = dialog().request("BYE", PARTY, "z9hG4bKb")
    assert request.uri == "sip:you@192.0.2.7:5066"
    assert request.headers.get("Via") == (
        "SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKb"
    )
    assert (request.from_.tag, request.to.tag) == ("l", "r")
    assert request.cseq == (11, "BYE")
    assert "Contact" not in request.headers


def test_requests_count_up_and_an_ack_repeats_its_invite() -> None:
    made = dialog()
    invite = made.request("INVITE", PARTY, "z9hG4bKi")
    ack = made.request("ACK", PARTY, "z9hG4bKa", cseq=invite.cseq.number)
    bye = made.request("BYE", PARTY, "z9hG4bKb")
    assert [m.cseq.number for m in (invite, ack, bye)] == [11, 11, 12]
    assert invite.headers.get("Contact") == "<sip:me@192.0.2.1:5060>"


def test_a_loose_route_keeps_the_target_in_the_request_line() -> None:
    made = dialog("sip:p1.x:5070;lr", "sip:p2.x;lr")
    request = made.request("BYE", PARTY, "z9hG4bKb")
    assert request.uri == "sip:you@192.0.2.7:5066"
    assert request.headers.all("Route") == ["<sip:p1.x:5070;lr>", "<sip:p2.x;lr>"]
    assert made.target() == Target("udp", "p1.x", 5070)


def test_a_strict_route_takes_the_request_line() -> None:
    made = dialog("sip:old.x", "sip:p2.x;lr")
    request = made.request("BYE", PARTY, "z9hG4bKb")
    assert request.uri == "sip:old.x"
    assert request.headers.all("Route") == [
        "<sip:p2.x;lr>",
        "<sip:you@192.0.2.7:5066>",
    ]


def test_the_observed_source_goes_before_the_contact_but_not_before_a_route() -> None:
    observed = Target("udp", "203.0.113.1", 40_000)
    assert dialog(observed=observed).target() == observed
    proxy = Target("udp", "192.0.2.50", 5060)
    assert dialog("sip:192.0.2.50;lr", observed=observed).target() == proxy


def test_a_route_on_loopback_is_replaced_by_the_observed_source() -> None:
    observed = Target("udp", "203.0.113.1", 5060)
    assert dialog("sip:127.0.0.1;lr", observed=observed).target() == observed


def test_the_via_names_the_transport_of_the_target() -> None:
    made = dialog("sip:p.x;transport=tcp;lr")
    via = made.request("BYE", PARTY, "z9hG4bKb").via
    assert via.transport == "TCP"


def test_numbers_must_not_go_back() -> None:
    made = dialog()
    assert [made.accepts_cseq(n) for n in (5, 5, 9, 8, 10)] == [
        True,
        True,
        True,
        False,
        True,
    ]


def test_the_target_follows_the_contact_but_not_to_another_scheme() -> None:
    made = dialog()
    made.refresh_target(Response(200, "OK", Headers([("Contact", "<sip:new@z>")])))
    assert made.remote_target == "sip:new@z"
    with pytest.raises(SipParseError):
        made.refresh_target(Response(200, "OK", Headers([("Contact", "<tel:+91>")])))
    assert made.remote_target == "sip:new@z"
    assert made.id == DialogId("c", "l", "r")


def test_record_routes_are_read_forwards_by_the_uas_and_backwards_by_the_uac() -> None:
    headers = Headers([("Record-Route", "<sip:a;lr>, <sip:b;lr>")])
    request = Request("INVITE", "sip:x", headers)
    assert [r.uri for r in routes_of(request)] == ["sip:a;lr", "sip:b;lr"]
    response = Response(200, "OK", headers)
    backwards = routes_of(response, reverse=True)
    assert [r.uri for r in backwards] == ["sip:b;lr", "sip:a;lr"]


def test_a_dialog_needs_a_contact_unless_the_caller_is_of_rfc_2543() -> None:
    via = ("Via", "SIP/2.0/UDP h;branch=z9hG4bK1")
    with pytest.raises(SipParseError, match="no Contact"):
        contact_uri(Request("INVITE", "sip:x", Headers([via])))
    old = Headers([("Via", "SIP/2.0/UDP h"), ("From", "<sip:old@h>")])
    assert contact_uri(Request("INVITE", "sip:x", old)) == "sip:old@h"
