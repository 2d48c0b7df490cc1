"""Bindings: several phones, expiry, removal, order (RFC 3261 §10.3)."""

from __future__ import annotations

import pytest

from emulator.sip.address import SourceAddress, Target
from emulator.sip.auth import Credentials
from emulator.sip.headers import Headers
from emulator.sip.message import Request, Response
from emulator.sip.options import SipOptions
from emulator.sip.party import Reply
from emulator.sip.registrar import (
    DEFAULT_EXPIRES_S,
    MAX_BINDINGS,
    MAX_EXPIRES_S,
    Registrar,
)
from emulator.sip.session import OutgoingRequest
from emulator.sip.uri import NameAddr
from tests.unit.sip.sip_world import World

PHONE = "<sip:alice@192.0.2.10:5062>"
SOURCE = SourceAddress("udp", "192.0.2.10", 5062)


def register(
    *contacts: str, expires: str | None = None, cseq: int = 1, call_id: str = "c"
) -> Request:
    items = [
        ("Via", "SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bK1;rport"),
        ("From", "<sip:alice@example.org>;tag=1"),
        ("To", "<sip:alice@example.org>"),
        ("Call-ID", call_id),
        ("CSeq", f"{cseq} REGISTER"),
        *(("Contact", contact) for contact in contacts),
    ]
    if expires is not None:
        items.append(("Expires", expires))
    return Request("REGISTER", "sip:example.org", Headers(items))


def contacts(reply: Reply) -> list[str]:
    return [value for name, value in reply.headers if name == "Contact"]


@pytest.fixture
def registrar() -> Registrar:
    return Registrar()


def test_a_phone_is_bound_and_listed(registrar: Registrar) -> None:
    reply = registrar.register("alice", register(PHONE), SOURCE, 100.0)
    assert reply.status == 200
    assert contacts(reply) == [f"{PHONE};expires={DEFAULT_EXPIRES_S}"]
    (binding,) = registrar.bindings("alice", 100.0)
    assert binding.target == Target("udp", "192.0.2.10", 5062)
    assert binding.dialled == "example.org"
    assert registrar.bindings("bob", 100.0) == []


@pytest.mark.parametrize("use_source", [True, False])
def test_a_phone_behind_a_translator_is_called_where_it_was_seen(
    use_source: bool,
) -> None:
    registrar = Registrar(use_source=use_source)
    seen = SourceAddress("udp", "203.0.113.7", 40_000)
    registrar.register("alice", register(PHONE), seen, 0.0)
    (binding,) = registrar.bindings("alice", 0.0)
    expected = seen.as_target() if use_source else Target("udp", "192.0.2.10", 5062)
    assert binding.target == expected


def test_a_phone_that_sends_from_another_port_is_called_at_its_contact(
    registrar: Registrar,
) -> None:
    seen = SourceAddress("udp", "192.0.2.10", 40_000)
    registrar.register("alice", register(PHONE), seen, 0.0)
    (binding,) = registrar.bindings("alice", 0.0)
    assert binding.target == Target("udp", "192.0.2.10", 5062)


def test_a_register_without_contact_only_asks(registrar: Registrar) -> None:
    registrar.register("alice", register(PHONE), SOURCE, 0.0)
    reply = registrar.register("alice", register(cseq=2), SOURCE, 600.0)
    assert contacts(reply) == [f"{PHONE};expires=3000"]


def test_a_binding_expires(registrar: Registrar) -> None:
    registrar.register("alice", register(PHONE, expires="60"), SOURCE, 0.0)
    assert registrar.bindings("alice", 59.0)
    assert registrar.bindings("alice", 60.0) == []


def test_the_contact_s_own_expiry_wins_and_long_ones_are_cut(
    registrar: Registrar,
) -> None:
    reply = registrar.register(
        "alice",
        register(f"{PHONE};expires=120", "<sip:b@c>;expires=99999999999", expires="90"),
        SOURCE,
        0.0,
    )
    assert [c.rpartition("=")[2] for c in contacts(reply)] == [
        "120",
        f"{MAX_EXPIRES_S}",
    ]


def test_several_phones_come_in_order_of_preference(registrar: Registrar) -> None:
    both = register("<sip:a@1.1.1.1>;q=0.2", "<sip:a@2.2.2.2>;q=0.9")
    registrar.register("alice", both, SOURCE, 0.0)
    hosts = [b.contact.host for b in registrar.bindings("alice", 1.0)]
    assert hosts == ["2.2.2.2", "1.1.1.1"]


def test_a_contact_elsewhere_is_marked(registrar: Registrar) -> None:
    both = register(PHONE, "<sip:x@192.0.2.99:9999>")
    registrar.register("alice", both, SOURCE, 0.0)
    marks = {b.contact.host: b.is_elsewhere for b in registrar.bindings("alice", 1.0)}
    assert marks == {"192.0.2.10": False, "192.0.2.99": True}


def test_our_own_port_is_no_phone_but_a_connection_is() -> None:
    at = Target("udp", "192.0.2.10", 5062)
    registrar = Registrar(is_ours=lambda target: target == at)
    reply = registrar.register("alice", register(PHONE), SOURCE, 0.0)
    assert reply.status == 403
    assert "the emulator's own port" in dict(reply.headers)["Warning"]
    assert registrar.bindings("alice", 0.0) == []
    connected = SourceAddress("tcp", "192.0.2.10", 40_000, 7)
    assert registrar.register("alice", register(PHONE), connected, 0.0).status == 200


def test_a_refresh_replaces_and_zero_removes(registrar: Registrar) -> None:
    registrar.register("alice", register(PHONE), SOURCE, 0.0)
    registrar.register("alice", register(PHONE, cseq=2), SOURCE, 10.0)
    assert len(registrar.bindings("alice", 10.0)) == 1
    reply = registrar.register(
        "alice", register(PHONE, expires="0", cseq=3), SOURCE, 20.0
    )
    assert (reply.status, contacts(reply)) == (200, [])
    assert registrar.bindings("alice", 20.0) == []


def test_a_star_removes_all(registrar: Registrar) -> None:
    registrar.register("alice", register(PHONE, "<sip:a@b>"), SOURCE, 0.0)
    reply = registrar.register("alice", register("*", expires="0", cseq=2), SOURCE, 1.0)
    assert reply == Reply(200)
    assert registrar.bindings("alice", 1.0) == []


@pytest.mark.parametrize(
    "bad",
    [
        register("*", cseq=2),
        register("*", expires="60", cseq=2),
        register("*", PHONE, expires="0", cseq=2),
        register("*", expires="0", cseq=1),
        register(PHONE, cseq=1),
    ],
)
def test_a_bad_or_late_register_changes_nothing(
    registrar: Registrar, bad: Request
) -> None:
    registrar.register("alice", register(PHONE), SOURCE, 0.0)
    assert registrar.register("alice", bad, SOURCE, 1.0).status == 400
    assert len(registrar.bindings("alice", 1.0)) == 1


def test_another_call_id_has_its_own_order(registrar: Registrar) -> None:
    registrar.register("alice", register(PHONE, cseq=9), SOURCE, 0.0)
    again = register(PHONE, cseq=1, call_id="restarted")
    assert registrar.register("alice", again, SOURCE, 1.0).status == 200


def test_too_short_a_time_is_refused_with_the_least(registrar: Registrar) -> None:
    reply = registrar.register("alice", register(PHONE, expires="30"), SOURCE, 0.0)
    why = ("Warning", '399 exotel-emulator "the expiry is below 60 s"')
    assert reply == Reply(423, (("Min-Expires", "60"), why))
    assert registrar.bindings("alice", 0.0) == []


def test_bindings_are_bounded(registrar: Registrar) -> None:
    many = [f"<sip:a@10.0.0.{n}>" for n in range(MAX_BINDINGS + 1)]
    assert registrar.register("alice", register(*many), SOURCE, 0.0).status == 403
    assert registrar.bindings("alice", 0.0) == []


def test_a_phone_behind_a_translator_is_reached_at_its_source(
    registrar: Registrar,
) -> None:
    source = SourceAddress("udp", "203.0.113.1", 40_000)
    registrar.register("alice", register(PHONE), source, 0.0)
    (binding,) = registrar.bindings("alice", 0.0)
    assert binding.target == Target("udp", "203.0.113.1", 40_000)


def test_a_phone_with_a_connection_is_reached_over_it(registrar: Registrar) -> None:
    source = SourceAddress("tcp", "192.0.2.10", 40_000, connection=7)
    registrar.register("alice", register(PHONE), source, 0.0)
    (binding,) = registrar.bindings("alice", 0.0)
    assert binding.target.connection == 7


# --- through the user agents ---


def registering_world(password: str) -> tuple[World, list[str], Response]:
    world = World()
    options = SipOptions(users={"alice": "secret"})
    bob = world.node("bob", 5062, options)
    alice = world.node("alice", 5061)
    outgoing = OutgoingRequest(
        "REGISTER",
        "sip:127.0.0.1:5062",
        NameAddr("sip:alice@127.0.0.1"),
        NameAddr("sip:alice@127.0.0.1"),
        credentials=Credentials("alice", password),
        contact_user="alice",
    )
    _, effects = alice.agent.send_request(outgoing)
    alice.perform(effects)
    world.run(1)
    (completed,) = alice.completed
    assert completed.response is not None
    hosts = [str(b.contact) for b in bob.agent.bindings("alice", world.now_s)]
    return world, hosts, completed.response


def test_a_user_registers_after_a_challenge() -> None:
    world, hosts, response = registering_world("secret")
    assert [str(line) for line in world.log] == [
        "alice: REGISTER",
        "bob: 401 REGISTER",
        "alice: REGISTER",
        "bob: 200 REGISTER",
    ]
    assert hosts == ["sip:alice@127.0.0.1:5061"]
    assert response.contacts[0].params["expires"] == str(DEFAULT_EXPIRES_S)


def test_a_wrong_password_is_refused() -> None:
    _, hosts, response = registering_world("guess")
    assert response.status == 403
    assert "no user" in (response.headers.get("Warning") or "")
    assert hosts == []
