"""Calls to a trunk, as they are on the wire: header by header, over real sockets."""

from __future__ import annotations

import re
import socket
import sys
from hashlib import md5, sha256
from pathlib import Path

import pytest

from tests.support.processes import Emulator, eventually, free_port, run
from tests.support.programs import find
from tests.support.sipp import of_kind
from tests.support.trunk_calls import LONG_MS, calling, peer_on, place
from tests.support.trunk_peer import Message

# Whole processes, in real time.
pytestmark = pytest.mark.slow


@pytest.fixture(params=["udp", "tcp", "tls"])
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name == "tls":
        find("openssl")
    return name


def shape(transport: str, port: int, own_port: int, sid: str) -> list[tuple[str, str]]:
    """Return name and pattern of every header field, in order (REST, SIP spec §8.4)."""
    caller = "sip:08010000002@exotel1.pstn.exotel.com"
    suffix = "" if transport == "udp" else f";transport={transport}"
    here = f"127.0.0.1:{own_port}"
    methods = (
        "INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, SUBSCRIBE, NOTIFY, INFO, PUBLISH, "
        "MESSAGE"
    )
    fixed = [
        ("Max-Forwards", "67"),
        ("From", f"<{caller}>;tag=as[0-9a-f]{{8}}"),
        ("To", f"<sip:+918010000002@127.0.0.1:{port};transport={transport}>"),
        ("Contact", f"<sip:08010000002@{here}{suffix}>"),
        ("Call-ID", "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}@pstn.in1.exotel.com"),
        ("CSeq", "1 INVITE"),
        ("User-Agent", "exotel-emulator"),
        ("Allow", methods),
        ("Supported", "replaces"),
        ("P-Asserted-Identity", f"<{caller}>"),
        ("P-Early-Media", "supported"),
        ("X-Exotel-CallSid", sid),
        ("X-Exotel-LegSid", "[0-9a-z]{32}"),
        ("X-Exotel-TrunkSid", "trmum1pbx"),
        ("Content-Type", "application/sdp"),
        ("Content-Length", "[0-9]+"),
    ]
    via = f"SIP/2.0/{transport.upper()} {here};rport;branch=z9hG4bK[0-9a-f]{{16}}"
    route = f"<sip:{here}{suffix};lr>"
    return [("Record-Route", route), ("Via", via)] + [
        (name, pattern.replace("+", r"\+", 1) if name == "To" else pattern)
        for name, pattern in fixed
    ]


SDP = r"""v=0
o=root [0-9]+ [0-9]+ IN IP4 127.0.0.1
s=emulator
c=IN IP4 127.0.0.1
t=0 0
m=audio ([0-9]+) RTP/AVP 8 0 96
a=rtpmap:8 PCMA/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:96 telephone-event/8000
a=fmtp:96 0-15
a=ptime:20
a=sendrecv
a=rtcp:([0-9]+)
"""


def test_the_invite_has_the_platforms_shape(transport: str, tmp_path: Path) -> None:
    with (
        peer_on(transport, tmp_path) as peer,
        calling(tmp_path, peer.destination) as running,
    ):
        sid = place(running)
        (invite,) = peer.wait_for("INVITE")
        own_port = running.tls_port if transport == "tls" else running.sip_port
        assert running.finished_call()["status"] == "completed"
        (ack,), (bye,) = peer.wait_for("ACK"), peer.wait_for("BYE")
    assert invite.first_line == (
        f"INVITE sip:+918010000002@127.0.0.1:{peer.port};transport={transport} SIP/2.0"
    )
    expected = shape(transport, peer.port, own_port, sid)
    assert [name for name, _ in invite.fields] == [name for name, _ in expected]
    for (name, value), (_, pattern) in zip(invite.fields, expected, strict=True):
        assert re.fullmatch(pattern, value), f"{name}: {value}, not {pattern}"
    described = re.fullmatch(SDP, invite.body.replace("\r\n", "\n"))
    assert described, invite.body
    assert int(described[2]) == int(described[1]) + 1
    # The route that we recorded ourselves is no hop of ours.
    assert ack.get("Route") is None
    assert bye.get("Route") is None
    assert bye.first_line == (
        f"BYE sip:peer@127.0.0.1:{peer.port};transport={transport} SIP/2.0"
    )


def test_the_trunk_hangs_up_by_the_route_that_we_recorded(
    transport: str, tmp_path: Path
) -> None:
    with (
        peer_on(transport, tmp_path) as peer,
        calling(tmp_path, peer.destination, greeting_ms=LONG_MS) as running,
    ):
        place(running)
        peer.wait_for("ACK")
        peer.hang_up()
        finished = running.finished_call()
    assert (finished["status"], finished["ended_by"]) == ("completed", "callee")


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_calls_share_a_connection_and_outlive_it(
    transport: str, tmp_path: Path
) -> None:
    with (
        peer_on(transport, tmp_path) as peer,
        calling(tmp_path, peer.destination, greeting_ms=5000) as running,
    ):
        place(running)
        place(running)
        peer.wait_for("ACK", 2)
        assert peer.connections == 1
        peer.drop_connections()
        # Our BYEs come over a new one.
        peer.wait_for("BYE", 2)
        assert peer.connections == 2
        causes = {running.finished_call(index)["cause"] for index in (0, 1)}
    assert causes == {"flow-ended"}


def digest(text: str, algorithm: str) -> str:
    make = md5 if algorithm == "MD5" else sha256
    return make(text.encode()).hexdigest()


def parameter(value: str, name: str) -> str:
    found = re.search(rf'\b{name}="?([^",]*)"?', value)
    assert found, f"{name} in {value}"
    return found[1]


def assert_answers(invite: Message, header: str, realm: str, nonce: str) -> None:
    """Compute the digest anew (RFC 7616 §3.4.1)."""
    value = invite[header]
    algorithm = "MD5" if header == "Authorization" else "SHA-256"
    assert parameter(value, "username") == "pbx"
    assert parameter(value, "realm") == realm
    uri = invite.first_line.split(" ")[1]
    first = digest(f"pbx:{realm}:secret", algorithm)
    second = digest(f"INVITE:{uri}", algorithm)
    middle = nonce
    if "qop=" in value:
        middle = ":".join(
            [nonce, parameter(value, "nc"), parameter(value, "cnonce"), "auth"]
        )
    expected = digest(f"{first}:{middle}:{second}", algorithm)
    assert parameter(value, "response") == expected


@pytest.mark.parametrize(
    ("status", "header", "realm", "nonce"),
    [
        (401, "Authorization", "pbx", "n1"),
        (407, "Proxy-Authorization", "edge", "n2"),
    ],
)
def test_a_challenge_is_answered_with_the_trunks_credentials(
    transport: str, tmp_path: Path, status: int, header: str, realm: str, nonce: str
) -> None:
    script = ((100, status), (100, 180, 200))
    with (
        peer_on(transport, tmp_path, *script) as peer,
        calling(tmp_path, peer.destination) as running,
    ):
        place(running)
        finished = running.finished_call()
        first, second = peer.wait_for("INVITE", 2)
    assert finished["status"] == "completed"
    assert_answers(second, header, realm, nonce)
    names = [name for name, _ in second.fields]
    assert names.index(header) == names.index("Supported") + 1
    for name in ("From", "To", "Call-ID", "Contact", "X-Exotel-CallSid"):
        assert second[name] == first[name]
    assert (first["CSeq"], second["CSeq"]) == ("1 INVITE", "2 INVITE")


def test_wrong_credentials_fail_the_call_and_name_their_setting(tmp_path: Path) -> None:
    with (
        peer_on("tcp", tmp_path, (401,)) as peer,
        calling(tmp_path, peer.destination) as running,
    ):
        place(running)
        finished = running.finished_call()
        invites = peer.wait_for("INVITE", 2)
        notes = of_kind(running.timeline(finished["sid"]), "note")
    assert (finished["status"], len(invites)) == ("failed", 2)
    assert any("trunks[].destination_credentials" in note["text"] for note in notes)


def test_the_next_destination_is_tried_on_5xx(transport: str, tmp_path: Path) -> None:
    with (
        peer_on(transport, tmp_path, (100, 503)) as first,
        peer_on(transport, tmp_path) as second,
        calling(tmp_path, first.destination, second.destination) as running,
    ):
        place(running)
        assert running.finished_call()["status"] == "completed"
        (one,), (other,) = first.wait_for("INVITE"), second.wait_for("INVITE")
        assert len(first.wait_for("ACK")) == 1
    # Another call for SIP, the same one for the platform.
    assert one["Call-ID"] != other["Call-ID"]
    assert one["From"] != other["From"]
    assert one["X-Exotel-CallSid"] == other["X-Exotel-CallSid"]


def test_the_next_destination_is_tried_when_the_first_is_silent(
    tmp_path: Path,
) -> None:
    with (
        peer_on("udp", tmp_path, ()) as silent,
        peer_on("tcp", tmp_path) as second,
        calling(
            tmp_path,
            silent.destination,
            second.destination,
            env={"EXOTEL_EMULATOR_SIP__DESTINATION_TIMEOUT_S": "3"},
        ) as running,
    ):
        place(running)
        assert running.finished_call()["status"] == "completed"
        silent.wait_for("INVITE")
    assert not silent.requests("CANCEL"), "before any response (RFC 3261 §9.1)"


@pytest.mark.parametrize(
    ("script", "rings_s", "status", "cause"),
    [
        ((100, 486), 8.0, "busy", "callee-busy"),
        ((180, 404), 8.0, "failed", "dial-failed"),
        ((999,), 8.0, "failed", "dial-failed"),
        ((607,), 8.0, "busy", "callee-busy"),
        ((100,), 3.0, "no-answer", "no-answer"),
        ((180,), 3.0, "no-answer", "no-answer"),
        ((), 1.0, "failed", "dial-failed"),
    ],
)
def test_what_becomes_of_a_call_that_nobody_answers(
    tmp_path: Path, script: tuple[int, ...], rings_s: float, status: str, cause: str
) -> None:
    """Rung for no longer than asked, whatever the peer does or does not say."""
    with (
        peer_on("udp", tmp_path, script) as peer,
        calling(tmp_path, peer.destination) as running,
    ):
        place(running, ring_timeout_s=rings_s)
        finished = running.finished_call()
    assert (finished["status"], finished["cause"]) == (status, cause)


@pytest.mark.parametrize(("kind", "within_s"), [("udp", 40.0), ("tcp", 15.0)])
def test_a_peer_that_vanishes_while_it_rings_leaves_nothing(
    tmp_path: Path, kind: str, within_s: float
) -> None:
    """The call is over when its ring time is; 64*T1 later so is all of SIP."""
    with (
        peer_on(kind, tmp_path, (180,)) as peer,
        calling(tmp_path, peer.destination) as running,
    ):
        place(running, ring_timeout_s=3.0)
        eventually(lambda: running.calls()[0]["status"] == "ringing", "ringing")
        peer.vanish()
        eventually(lambda: running.calls()[0]["ended_at"], "its end", deadline_s=15.0)
        finished = running.finished_call()
        eventually(
            lambda: not any(running.diagnostics()["sip"].values()),
            "nothing of SIP left",
            deadline_s=within_s,
        )
    assert (finished["status"], finished["cause"]) == ("no-answer", "no-answer")


def test_a_dead_trunk_fails_the_call(tmp_path: Path) -> None:
    with calling(tmp_path, f"127.0.0.1:{free_port()};transport=tcp") as running:
        place(running)
        finished = running.finished_call()
    assert (finished["status"], finished["cause"]) == ("failed", "dial-failed")


def test_the_platforms_own_ports_take_calls(tmp_path: Path) -> None:
    """5070 and 443 there; here any that are free."""
    tcp, tls = free_port(), free_port()
    env = {
        "EXOTEL_EMULATOR_SIP__PORTS__TCP": f"[{tcp}]",
        "EXOTEL_EMULATOR_SIP__PORTS__TLS": f"[{tls}]",
    }
    with calling(tmp_path, env=env) as running:
        for transport, port in (("tcp", tcp), ("tls", tls)):
            done = run(
                sys.executable, "-m", "emulator", "call", "08010000002", "--target",
                f"127.0.0.1:{port}", "--transport", transport, "--api", running.url,
                cwd=tmp_path,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
        story = running.timeline(running.calls()[0]["sid"])
        sent = of_kind(story, "sip.sent")
    answer = next(m["text"] for m in sent if m["summary"] == "200 OK (INVITE)")
    assert f":{running.tls_port};transport=tls>" in answer, "the usual port"


@pytest.mark.parametrize("listens", ["tcp", "udp"])
def test_a_large_invite_goes_over_tcp_or_where_that_is_refused_by_udp(
    tmp_path: Path, listens: str
) -> None:
    """The destination leaves the transport open (RFC 3261 §18.1.1)."""
    env = {"EXOTEL_EMULATOR_SIP__MAX_UDP_REQUEST_BYTES": "500"}
    with (
        peer_on(listens, tmp_path) as peer,
        calling(tmp_path, f"127.0.0.1:{peer.port}", env=env) as running,
    ):
        place(running)
        finished = running.finished_call()
        (invite,) = peer.wait_for("INVITE")
    assert finished["status"] == "completed"
    assert invite["Via"].startswith(f"SIP/2.0/{listens.upper()} ")
    assert ";transport=" not in invite.first_line
    # What a destination without a transport is told holds for both.
    assert ";transport=" not in invite["Contact"]


def register(running: Emulator, user: str, contact: str) -> None:
    """Register by UDP from a port that is closed at once."""
    uri = f"sip:127.0.0.1:{running.sip_port}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(20)
        credentials = ""
        for cseq, expected in ((1, "401"), (2, "200")):
            lines = [
                f"REGISTER {uri} SIP/2.0",
                (
                    f"Via: SIP/2.0/UDP 127.0.0.1:{sock.getsockname()[1]};rport"
                    f";branch=z9hG4bKr{cseq}"
                ),
                f"From: <sip:{user}@127.0.0.1>;tag=r",
                f"To: <sip:{user}@127.0.0.1>",
                "Call-ID: registration",
                f"CSeq: {cseq} REGISTER",
                f"Contact: <{contact}>",
                *([credentials] if credentials else []),
            ]
            text = "\r\n".join([*lines, "Content-Length: 0", "", ""])
            sock.sendto(text.encode(), ("127.0.0.1", running.sip_port))
            reply = Message(sock.recv(4096).decode())
            assert reply.first_line.startswith(f"SIP/2.0 {expected}"), reply.text
            if expected == "401":
                challenge = reply["WWW-Authenticate"]
                realm = parameter(challenge, "realm")
                nonce = parameter(challenge, "nonce")
                first = digest(f"{user}:{realm}:{user}", "MD5")
                second = digest(f"REGISTER:{uri}", "MD5")
                response = digest(f"{first}:{nonce}:{second}", "MD5")
                credentials = (
                    f'Authorization: Digest username="{user}", realm="{realm}", '
                    f'nonce="{nonce}", uri="{uri}", response="{response}"'
                )


def test_a_phone_that_registers_from_another_port_than_it_listens_on_rings(
    tmp_path: Path,
) -> None:
    with peer_on("udp", tmp_path) as phone, calling(tmp_path) as running:
        register(running, "alice", f"sip:alice@127.0.0.1:{phone.port}")
        place(running, to="user:alice")
        finished = running.finished_call()
        (invite,) = phone.wait_for("INVITE")
    assert finished["status"] == "completed"
    assert invite.first_line == f"INVITE sip:alice@127.0.0.1:{phone.port} SIP/2.0"
