"""Addresses that peers are told, and where requests go, as the wire showed them."""

from __future__ import annotations

from ipaddress import IPv4Interface

import pytest

from emulator.sip.address import SourceAddress, Target, as_transport, bracketed
from emulator.sip.agent import reply_target
from emulator.sip.headers import Headers
from emulator.sip.message import Request
from emulator.sip.nat import advertised_ip, is_own_host, observed_target, target_of_uri
from emulator.sip.options import OwnNetworks
from emulator.sip.uri import parse_sip_uri

# A container in a bridge network: the host arrives from the gateway.
CONTAINER = OwnNetworks(
    (IPv4Interface("127.0.0.1/8"), IPv4Interface("172.18.0.2/16")),
    frozenset({"172.18.0.1"}),
)
LAPTOP = OwnNetworks(
    (IPv4Interface("127.0.0.1/8"), IPv4Interface("192.168.1.5/24")),
    frozenset({"192.168.1.1"}),
)


def told(
    networks: OwnNetworks,
    peer: str,
    dialled: str | None = None,
    configured: str | None = None,
) -> str:
    return advertised_ip(
        networks, peer, configured=configured, dialled=dialled, bind_ip="0.0.0.0"
    )


def test_a_sibling_container_is_told_the_container_s_address() -> None:
    assert told(CONTAINER, "172.18.0.7", "emulator") == "172.18.0.2"
    assert told(CONTAINER, "172.18.0.7", "emulator", "10.9.9.9") == "172.18.0.2"


def test_the_host_is_told_what_it_dialled() -> None:
    assert told(CONTAINER, "172.18.0.1", "127.0.0.1") == "127.0.0.1"
    assert told(CONTAINER, "172.18.0.1", "localhost") == "127.0.0.1"
    assert told(CONTAINER, "192.168.1.5", "192.168.1.5") == "192.168.1.5"


def test_a_configured_address_wins_over_what_was_dialled() -> None:
    assert told(CONTAINER, "172.18.0.1", "127.0.0.1", "10.9.9.9") == "10.9.9.9"
    assert told(CONTAINER, "203.0.113.8", None, "10.9.9.9") == "10.9.9.9"


def test_on_a_laptop_everybody_is_told_the_address_next_to_them() -> None:
    assert told(LAPTOP, "127.0.0.1", "127.0.0.1") == "127.0.0.1"
    assert told(LAPTOP, "192.168.1.77", "anything") == "192.168.1.5"


def test_without_any_hint_the_main_address_is_told() -> None:
    assert told(LAPTOP, "203.0.113.8") == "192.168.1.5"
    assert told(CONTAINER, "172.18.0.1", "some.name") == "172.18.0.2"
    assert told(OwnNetworks(), "203.0.113.8", "some.name") == "127.0.0.1"


@pytest.mark.parametrize(
    ("networks", "bind_ip", "host", "is_own"),
    [
        (LAPTOP, "127.0.0.1", "127.0.0.1", True),
        (LAPTOP, "127.0.0.1", "localhost", True),
        (LAPTOP, "127.0.0.1", "127.0.0.2", False),
        (LAPTOP, "127.0.0.1", "192.168.1.5", False),
        (LAPTOP, "0.0.0.0", "192.168.1.5", True),
        (LAPTOP, "0.0.0.0", "127.0.0.2", True),
        (LAPTOP, "0.0.0.0", "192.168.1.77", False),
        (LAPTOP, "192.168.1.5", "localhost", False),
        (CONTAINER, "0.0.0.0", "172.18.0.1", False),
    ],
)
def test_what_our_listeners_hear(
    networks: OwnNetworks, bind_ip: str, host: str, is_own: bool
) -> None:
    assert is_own_host(networks, host, bind_ip) == is_own


def invite(contact: str, via: str = "10.0.0.5:5060;rport") -> Request:
    items = [("Via", f"SIP/2.0/UDP {via};branch=z9hG4bK1")]
    items += [("Contact", contact)] if contact else []
    return Request("INVITE", "sip:x@y", Headers(items))


@pytest.mark.parametrize(
    ("contact", "via", "goes_to_source"),
    [
        ("<sip:a@10.0.0.5:5060>", "10.0.0.5:5060;rport", False),
        ("<sip:a@127.0.0.1:5060>", "10.0.0.5:5060;rport", True),
        ("<sip:a@192.168.7.7:5060>", "10.0.0.5:5060;rport", True),
        # It sends from another port than it listens on: nobody has translated it.
        ("<sip:a@10.0.0.5:6060>", "10.0.0.5:5060;rport", False),
        ("<sip:a@10.0.0.5:6060>", "10.0.0.5:5060", False),
        ("<tel:+91>", "10.0.0.5:5060", True),
        ("", "10.0.0.5:5060", True),
    ],
)
def test_requests_go_to_the_source_when_the_contact_is_no_use(
    contact: str, via: str, goes_to_source: bool
) -> None:
    source = SourceAddress("udp", "10.0.0.5", 5060)
    expected = source.as_target() if goes_to_source else None
    assert observed_target(invite(contact, via), source) == expected


@pytest.mark.parametrize(
    ("ip", "via", "goes_to_source"),
    [
        ("203.0.113.9", "203.0.113.9:6060;rport", False),
        ("8.8.4.4", "8.8.4.4:6060;rport", True),
        ("8.8.4.4", "8.8.4.4:6060", False),
        ("127.0.0.1", "127.0.0.1:6060;rport", False),
    ],
)
def test_a_public_contact_of_another_port_may_stand_behind_a_translator(
    ip: str, via: str, goes_to_source: bool
) -> None:
    """Its port by STUN was that of another mapping; documentation ranges are not
    public."""
    source = SourceAddress("udp", ip, 40_000)
    expected = source.as_target() if goes_to_source else None
    assert observed_target(invite(f"<sip:a@{ip}:6060>", via), source) == expected


def test_a_connection_is_used_and_its_owner_s_contact_after_it() -> None:
    source = SourceAddress("tcp", "10.0.0.5", 40_000, 3)
    near = observed_target(invite("<sip:a@10.0.0.5:5060;transport=tcp>"), source)
    assert near == Target("tcp", "10.0.0.5", 5060, 3)
    far = observed_target(invite("<sip:a@192.168.7.7;transport=tcp>"), source)
    assert far == Target("tcp", "10.0.0.5", 40_000, 3)


@pytest.mark.parametrize(
    ("uri", "target"),
    [
        ("sip:a@h", Target("udp", "h", 5060)),
        ("sip:a@h:5070;transport=TCP", Target("tcp", "h", 5070)),
        ("sip:a@h;transport=tls", Target("tls", "h", 5061)),
        ("sips:a@h", Target("tls", "h", 5061)),
        ("sip:a@h;maddr=10.1.1.1", Target("udp", "10.1.1.1", 5060)),
        ("sip:a@h;transport=carrier-pigeon", Target("udp", "h", 5060)),
        ("sip:a@[2001:db8::1]:5062", Target("udp", "2001:db8::1", 5062)),
    ],
)
def test_a_uri_says_where_requests_go(uri: str, target: Target) -> None:
    assert target_of_uri(parse_sip_uri(uri)) == target


@pytest.mark.parametrize(
    ("via", "source", "target"),
    [
        (
            "10.0.0.5:5062;rport",
            SourceAddress("udp", "203.0.113.1", 40_000),
            Target("udp", "203.0.113.1", 40_000),
        ),
        (
            "10.0.0.5:5062",
            SourceAddress("udp", "203.0.113.1", 40_000),
            Target("udp", "203.0.113.1", 5062),
        ),
        (
            "10.0.0.5",
            SourceAddress("udp", "203.0.113.1", 40_000),
            Target("udp", "203.0.113.1", 5060),
        ),
        (
            "10.0.0.5:5062;rport",
            SourceAddress("tcp", "203.0.113.1", 40_000, 9),
            Target("tcp", "203.0.113.1", 5062, 9),
        ),
    ],
)
def test_responses_go_back_the_way_the_request_came(
    via: str, source: SourceAddress, target: Target
) -> None:
    assert reply_target(invite("", via), source) == target


def test_addresses_are_written_as_uris_want_them() -> None:
    assert bracketed("2001:db8::1") == "[2001:db8::1]"
    assert bracketed("10.0.0.1") == "10.0.0.1"
    assert str(SourceAddress("udp", "10.0.0.1", 5)) == "udp:10.0.0.1:5"
    assert str(Target("tls", "h", 5061)) == "tls:h:5061"
    assert as_transport("UDP") == "udp"
    assert as_transport("ws") is None
