"""Two endpoints on loopback: real sockets, real timers, shortened to milliseconds."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from emulator.clock import SystemClock
from emulator.errors import ConfigError, ListenError
from emulator.ids import IdSource
from emulator.sip.address import Transport
from emulator.sip.auth import Credentials
from emulator.sip.endpoint import BoundListener, SipEndpoint
from emulator.sip.errors import RequestFailed
from emulator.sip.events import (
    Acked,
    AckTimedOut,
    Answered,
    ByeReceived,
    Cancelled,
    EndCause,
    Rejected,
    SessionEnded,
    SessionEvent,
)
from emulator.sip.options import SipLimits, SipOptions, TlsOptions
from emulator.sip.session import (
    CallSession,
    IncomingInvite,
    OutgoingInvite,
    OutgoingRequest,
)
from emulator.sip.timers import SipTimers
from emulator.sip.tls import client_context
from emulator.sip.trace import Direction, SipTrace
from emulator.sip.uri import NameAddr
from tests.support.processes import free_port
from tests.support.programs import find

ANSWER = "v=0\r\no=- 2 1 IN IP4 127.0.0.1\r\ns=answer\r\n"
OFFER = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=offer\r\n"
# 64*T1 is 0.64 s.
FAST = SipTimers(t1_s=0.01, t2_s=0.08, t4_s=0.05, d_s=0.05)
# For another program at the other end, which a busy machine may keep waiting.
PATIENT = SipTimers(t1_s=0.05, t2_s=0.4, t4_s=0.05, d_s=0.05)
DEADLINE_S = 30.0

Script = Callable[[IncomingInvite], None]


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await coroutine
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not others, f"tasks leaked: {others}"

    asyncio.run(bounded(), debug=True)


class Side:
    """One endpoint and what happened on it."""

    def __init__(self, endpoint: SipEndpoint, traces: list[SipTrace]) -> None:
        self.endpoint = endpoint
        self.traces = traces
        self.listeners: tuple[BoundListener, ...] = ()
        self.incoming: list[IncomingInvite] = []
        self.called = asyncio.Event()

    @property
    def port(self) -> int:
        return self.listeners[0].port

    def call(
        self, other: Side, transport: Transport = "udp", sdp: str | None = OFFER
    ) -> CallSession:
        return self.endpoint.place_call(
            OutgoingInvite(
                f"sip:bob@127.0.0.1:{other.port}",
                NameAddr("sip:alice@127.0.0.1"),
                NameAddr("sip:bob@127.0.0.1"),
                sdp,
                transport=transport,
            )
        )

    def sent(self) -> list[str]:
        """Return what was sent, but for what a busy machine makes T1 repeat."""
        summaries: list[str] = []
        for trace in self.traces:
            if trace.direction is not Direction.SENT or trace.is_retransmission:
                continue
            # Nothing marks a 2xx that is repeated, and each gets an ACK of its own.
            is_repeatable = trace.summary.startswith(("200", "ACK"))
            if not (is_repeatable and trace.summary in summaries):
                summaries.append(trace.summary)
        return [summary.split(" ")[0] for summary in summaries]


@contextlib.asynccontextmanager
async def side(
    on_invite: Script, *, timers: SipTimers = FAST, **options: Any
) -> AsyncIterator[Side]:
    """Run an endpoint on free ports; its sockets are closed at the end."""
    traces: list[SipTrace] = []

    def received(invite: IncomingInvite) -> None:
        made.incoming.append(invite)
        made.called.set()
        on_invite(invite)

    settings = SipOptions(port=0, timers=timers, **options)
    made = Side(
        SipEndpoint(
            settings,
            SystemClock(),
            IdSource(),
            on_invite=received,
            observe=traces.append,
        ),
        traces,
    )
    made.listeners = await made.endpoint.start()
    try:
        yield made
    finally:
        await made.endpoint.stop(1.0)


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Options of an endpoint that also listens on TLS, with one certificate for all."""
    folder = tmp_path_factory.mktemp("tls")
    return {
        "transports": ("udp", "tcp", "tls"),
        "tls": TlsOptions(port=0, folder=folder),
    }


@contextlib.asynccontextmanager
async def two_sides(
    on_invite: Script, **options: Any
) -> AsyncIterator[tuple[Side, Side]]:
    async with side(refuse) as alice, side(on_invite, **options) as bob:
        yield alice, bob


def refuse(invite: IncomingInvite) -> None:
    invite.session.reject(404)


def answer(invite: IncomingInvite) -> None:
    invite.session.ringing()
    invite.session.answer(ANSWER)


def only_ring(invite: IncomingInvite) -> None:
    invite.session.ringing()


async def until(session: CallSession, kind: type[SessionEvent]) -> SessionEvent:
    """Read events until one of this kind."""
    while True:
        event = await session.next_event()
        if isinstance(event, kind):
            return event
        assert not isinstance(event, SessionEnded), f"ended by {event}"


async def drained(*sides: Side) -> None:
    """Wait until no transaction lingers; then nothing may be left."""
    for one in sides:
        # Nobody announces the end of a transaction: the figure is all there is.
        while one.endpoint.counts()["transactions"]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        counts = dict(one.endpoint.counts())
        counts.pop("connections")
        assert set(counts.values()) == {0}, counts


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_call_from_ring_to_bye(transport: Transport) -> None:
    async def scenario() -> None:
        async with two_sides(answer) as (alice, bob):
            session = alice.call(bob, transport)
            answered = await until(session, Answered)
            assert isinstance(answered, Answered)
            assert answered.sdp == ANSWER
            theirs = bob.incoming[0].session
            assert await until(theirs, Acked) == Acked(None)
            assert bob.incoming[0].sdp == OFFER
            assert bob.incoming[0].source.transport == transport
            session.hang_up(headers=[("Reason", "Q.850;cause=16")])
            assert await until(theirs, ByeReceived) == ByeReceived(("Q.850;cause=16",))
            assert await until(theirs, SessionEnded) == SessionEnded(
                EndCause.REMOTE_BYE
            )
            assert await until(session, SessionEnded) == SessionEnded(
                EndCause.LOCAL_BYE
            )
            assert session.is_ended
            # The last event stays for whoever asks again.
            assert isinstance(await session.next_event(), SessionEnded)
            assert alice.sent() == ["INVITE", "ACK", "BYE"]
            assert bob.sent() == ["100", "180", "200", "200"]
            await drained(alice, bob)

    run(scenario())


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_the_called_side_hangs_up_over_the_same_way(transport: Transport) -> None:
    async def scenario() -> None:
        async with two_sides(answer) as (alice, bob):
            session = alice.call(bob, transport)
            theirs_ready = await until(session, Answered)
            assert theirs_ready
            theirs = bob.incoming[0].session
            await until(theirs, Acked)
            theirs.hang_up()
            await until(session, ByeReceived)
            await until(theirs, SessionEnded)
            expected = 1 if transport == "tcp" else 0
            assert bob.endpoint.counts()["connections"] == expected

    run(scenario())


def test_a_caller_that_gives_up_cancels() -> None:
    async def scenario() -> None:
        async with two_sides(only_ring) as (alice, bob):
            session = alice.call(bob)
            await session.next_event()
            session.hang_up()
            ended = await until(session, SessionEnded)
            assert ended == SessionEnded(EndCause.LOCAL_CANCEL, "487")
            assert await until(bob.incoming[0].session, Cancelled) == Cancelled(())
            await drained(alice, bob)

    run(scenario())


def test_a_refusal_arrives_with_its_headers() -> None:
    def busy(invite: IncomingInvite) -> None:
        invite.session.reject(486, "Engaged", headers=[("X-Why", "lunch")])

    async def scenario() -> None:
        async with two_sides(busy) as (alice, bob):
            rejected = await until(alice.call(bob), Rejected)
            assert isinstance(rejected, Rejected)
            assert (rejected.status, rejected.reason_phrase) == (486, "Engaged")
            assert rejected.response.headers.get("x-why") == "lunch"

    run(scenario())


def test_an_application_that_fails_answers_500_and_spoils_no_other_call() -> None:
    calls = 0

    def sometimes(invite: IncomingInvite) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("a bug in the application")
        answer(invite)

    async def scenario() -> None:
        async with two_sides(sometimes) as (alice, bob):
            rejected = await until(alice.call(bob), Rejected)
            assert isinstance(rejected, Rejected)
            assert rejected.status == 500
            await until(alice.call(bob), Answered)

    run(scenario())


def test_stop_hangs_up_what_is_left() -> None:
    async def scenario() -> None:
        async with side(refuse) as alice:
            async with side(answer) as bob:
                session = alice.call(bob)
                await until(session, Answered)
                await until(bob.incoming[0].session, Acked)
            bye = await until(session, ByeReceived)
            assert isinstance(bye, ByeReceived)
            assert "the emulator is stopping" in bye.reason[0]

    run(scenario())


def test_stop_leaves_no_reader_waiting_for_a_deaf_peer() -> None:
    async def scenario() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
            deaf.bind(("127.0.0.1", 0))
            async with side(refuse) as alice:
                session = alice.endpoint.place_call(
                    OutgoingInvite(
                        f"sip:bob@127.0.0.1:{deaf.getsockname()[1]}",
                        NameAddr("sip:alice@127.0.0.1"),
                        NameAddr("sip:bob@127.0.0.1"),
                        OFFER,
                    )
                )
                await alice.endpoint.stop(0.01)
                assert await until(session, SessionEnded) == SessionEnded(
                    EndCause.TIMEOUT, "the endpoint closed"
                )
                assert set(alice.endpoint.counts().values()) <= {0, 1}

    run(scenario())


def test_while_draining_calls_are_refused() -> None:
    async def scenario() -> None:
        async with two_sides(answer) as (alice, bob):
            bob.endpoint.stop_accepting()
            rejected = await until(alice.call(bob), Rejected)
            assert isinstance(rejected, Rejected)
            assert rejected.status == 503
            assert rejected.response.headers.get("Retry-After") == "10"

    run(scenario())


def test_nobody_at_the_other_end_of_tcp_ends_the_session() -> None:
    async def scenario() -> None:
        async with side(refuse) as alice:
            port = free_port()
            session = alice.endpoint.place_call(
                OutgoingInvite(
                    f"sip:bob@127.0.0.1:{port};transport=tcp",
                    NameAddr("sip:alice@127.0.0.1"),
                    NameAddr("sip:bob@127.0.0.1"),
                    OFFER,
                )
            )
            ended = await until(session, SessionEnded)
            assert isinstance(ended, SessionEnded)
            assert ended.cause is EndCause.TRANSPORT

    run(scenario())


def test_a_host_name_is_looked_up() -> None:
    async def scenario() -> None:
        async with two_sides(answer) as (alice, bob):
            session = alice.endpoint.place_call(
                OutgoingInvite(
                    f"sip:bob@localhost:{bob.port}",
                    NameAddr("sip:alice@127.0.0.1"),
                    NameAddr("sip:bob@localhost"),
                    OFFER,
                )
            )
            await until(session, Answered)

    run(scenario())


def test_a_port_that_is_taken_is_named_with_its_setting() -> None:
    async def scenario() -> None:
        async with side(refuse) as alice:
            second = SipEndpoint(
                SipOptions(port=alice.port),
                SystemClock(),
                IdSource(),
                on_invite=refuse,
            )
            with pytest.raises(ListenError, match=rf"udp 127.0.0.1:{alice.port}.*sip"):
                await second.start()

    run(scenario())


# --- a peer that speaks bytes ---


def invite_bytes(port: int, number: int = 1, transport: str = "UDP") -> bytes:
    return (
        f"INVITE sip:bob@127.0.0.1 SIP/2.0\r\n"
        f"Via: SIP/2.0/{transport} 127.0.0.1:{port};branch=z9hG4bK{number};rport\r\n"
        f"From: <sip:raw@127.0.0.1>;tag=raw\r\n"
        f"To: <sip:bob@127.0.0.1>\r\n"
        f"Call-ID: raw{number}\r\n"
        f"CSeq: 1 INVITE\r\n"
        f"Contact: <sip:raw@127.0.0.1:{port}>\r\n"
        f"Content-Length: 0\r\n\r\n"
    ).encode()


def test_an_answer_without_ack_is_repeated_then_the_call_ends() -> None:
    async def scenario() -> None:
        async with side(answer) as bob:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
                raw.bind(("127.0.0.1", 0))
                raw.setblocking(False)
                port = raw.getsockname()[1]
                raw.sendto(invite_bytes(port), ("127.0.0.1", bob.port))
                await bob.called.wait()
                await until(bob.incoming[0].session, AckTimedOut)
                loop = asyncio.get_running_loop()
                seen = b""
                while b"BYE " not in seen:
                    seen = await loop.sock_recv(raw, 65_535)
            repeated = [
                trace
                for trace in bob.traces
                if trace.summary.startswith("200") and trace.direction is Direction.SENT
            ]
            assert len(repeated) > 3

    run(scenario())


def test_bytes_over_tcp_arrive_in_any_pieces() -> None:
    async def scenario() -> None:
        async with side(answer) as bob:
            reader, writer = await asyncio.open_connection("127.0.0.1", bob.port)
            data = b"\r\n\r\n" + invite_bytes(5999, transport="TCP")
            for start in range(0, len(data), 7):
                writer.write(data[start : start + 7])
                await writer.drain()
            assert await reader.readexactly(2) == b"\r\n"
            assert (await reader.readline()).startswith(b"SIP/2.0 100")
            writer.close()
            await writer.wait_closed()

    run(scenario())


def test_garbage_is_survived_on_udp_and_tcp() -> None:
    async def scenario() -> None:
        async with two_sides(answer) as (alice, bob):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
                for junk in (b"\0" * 100, b"\xff" * 1000, b"hello\r\n\r\n", b"\r\n"):
                    raw.sendto(junk, ("127.0.0.1", bob.port))
            _, writer = await asyncio.open_connection("127.0.0.1", bob.port)
            writer.write(b"\x16\x03\x01 not SIP at all\r\n\r\n" * 50)
            await writer.drain()
            await until(alice.call(bob), Answered)
            writer.close()
            await writer.wait_closed()

    run(scenario())


def test_a_message_without_end_closes_the_connection() -> None:
    async def scenario() -> None:
        async with side(answer) as bob:
            reader, writer = await asyncio.open_connection("127.0.0.1", bob.port)
            writer.write(b"INVITE sip:bob SIP/2.0\r\nX: " + b"a" * 70_000)
            # It has not read all, and may reset the connection.
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
            await wait_closed(writer.wait_closed())

    run(scenario())


async def wait_closed(closing: Awaitable[None]) -> None:
    """The other side may have reset the connection, or be in the middle of a word."""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await closing


def test_connections_beyond_the_limit_are_closed() -> None:
    async def scenario() -> None:
        async with side(answer, limits=SipLimits(max_connections=1)) as bob:
            _, first = await asyncio.open_connection("127.0.0.1", bob.port)
            first.write(b"\r\n\r\n")
            reader, second = await asyncio.open_connection("127.0.0.1", bob.port)
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            for writer in (first, second):
                writer.close()
                await wait_closed(writer.wait_closed())

    run(scenario())


def test_an_idle_connection_is_closed() -> None:
    async def scenario() -> None:
        async with side(answer, limits=SipLimits(tcp_idle_s=0.1)) as bob:
            reader, writer = await asyncio.open_connection("127.0.0.1", bob.port)
            assert await reader.read() == b""
            writer.close()
            await wait_closed(writer.wait_closed())

    run(scenario())


DATA = Path(__file__).resolve().parents[1] / "data" / "sip"


@pytest.mark.parametrize("folder", ["torture", "malformed"])
@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_hard_messages_leave_the_endpoint_as_it_was(
    folder: str, transport: Transport, tls: dict[str, Any]
) -> None:
    """Every one arrives at real sockets; then a call works and nothing is left."""
    if transport == "tls":
        find("openssl")

    async def scenario() -> None:
        # Her INVITE waits for all that has come before it.
        patient = side(refuse, timers=SipTimers())
        async with patient as alice, side(refuse, **tls) as bob:
            for path in sorted((DATA / folder).glob("*.dat")):
                await hand_over(path.read_bytes(), bob, transport)
            rejected = await until(alice.call(bob), Rejected)
            assert isinstance(rejected, Rejected)
            assert rejected.status == 404
            await drained(bob)

    run(scenario())


async def hand_over(data: bytes, bob: Side, transport: Transport) -> None:
    port = port_of(bob, transport)
    if transport == "udp":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
            raw.sendto(data, ("127.0.0.1", port))
        return
    context = client_context(TlsOptions()) if transport == "tls" else None
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.write(data)
    with contextlib.suppress(ConnectionError):
        await writer.drain()
    writer.close()
    await wait_closed(writer.wait_closed())


# --- TLS and registration ---


def port_of(one: Side, transport: Transport) -> int:
    return next(x.port for x in one.listeners if x.transport == transport)


def test_a_call_over_tls(tls: dict[str, Any]) -> None:
    find("openssl")

    async def scenario() -> None:
        async with side(refuse, **tls) as alice, side(answer, **tls) as bob:
            session = alice.endpoint.place_call(
                OutgoingInvite(
                    f"sip:bob@localhost:{port_of(bob, 'tls')};transport=tls",
                    NameAddr("sip:alice@127.0.0.1"),
                    NameAddr("sip:bob@127.0.0.1"),
                    OFFER,
                )
            )
            answered = await until(session, Answered)
            assert isinstance(answered, Answered)
            assert "transport=tls" in answered.response.contacts[0].uri
            assert bob.incoming[0].source.transport == "tls"
            bob.incoming[0].session.hang_up()
            await until(session, ByeReceived)

    run(scenario())


def test_the_certificate_is_made_once_and_its_key_is_private(tmp_path: Path) -> None:
    find("openssl")

    async def scenario() -> None:
        tls = TlsOptions(port=0, folder=tmp_path)
        options: dict[str, Any] = {"transports": ("tls",), "tls": tls}
        async with side(answer, **options):
            made = (tmp_path / "sip-certificate.pem").read_bytes()
            assert stat.S_IMODE((tmp_path / "sip-key.pem").stat().st_mode) == 0o600
        async with side(answer, **options):
            assert (tmp_path / "sip-certificate.pem").read_bytes() == made

    run(scenario())


def test_a_certificate_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    async def scenario() -> None:
        certificate = tmp_path / "own.pem"
        certificate.write_text("not a certificate")
        tls = TlsOptions(port=0, certificate=certificate)
        endpoint = SipEndpoint(
            SipOptions(port=0, transports=("udp", "tls"), tls=tls),
            SystemClock(),
            IdSource(),
            on_invite=refuse,
        )
        with pytest.raises(ConfigError, match="own.pem"):
            await endpoint.start()

    run(scenario())


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_registered_user_can_be_called(transport: Transport) -> None:
    async def scenario() -> None:
        async with side(answer) as phone, side(refuse, users={"alice": "pw"}) as pbx:
            await phone.endpoint.send_request(register(pbx, transport))
            (binding,) = pbx.endpoint.bindings("alice")
            session = pbx.endpoint.place_call(
                OutgoingInvite(
                    str(binding.contact),
                    NameAddr("sip:caller@127.0.0.1"),
                    NameAddr("sip:alice@127.0.0.1"),
                    OFFER,
                    next_hop=binding.target,
                    dialled=binding.dialled,
                )
            )
            await until(session, Answered)
            assert phone.incoming[0].source.transport == transport
            expected = 1 if transport == "tcp" else 0
            assert pbx.endpoint.counts()["connections"] == expected

    run(scenario())


def register(pbx: Side, transport: Transport) -> OutgoingRequest:
    return OutgoingRequest(
        "REGISTER",
        f"sip:127.0.0.1:{pbx.port}",
        NameAddr("sip:alice@127.0.0.1"),
        NameAddr("sip:alice@127.0.0.1"),
        transport=transport,
        credentials=Credentials("alice", "pw"),
        contact_user="alice",
    )


def test_a_request_that_nobody_answers_fails() -> None:
    async def scenario() -> None:
        async with side(refuse) as phone:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
                deaf.bind(("127.0.0.1", 0))
                target = f"sip:127.0.0.1:{deaf.getsockname()[1]}"
                who = NameAddr("sip:a@127.0.0.1")
                outgoing = OutgoingRequest("OPTIONS", target, who, who)
                with pytest.raises(RequestFailed, match="no response within"):
                    await phone.endpoint.send_request(outgoing)

    run(scenario())


@pytest.mark.parametrize(("mode", "transport"), [("u1", "udp"), ("t1", "tcp")])
def test_sipp_answers_our_calls(mode: str, transport: Transport) -> None:
    find("sipp")

    async def scenario() -> None:
        port = free_port()
        process = await asyncio.create_subprocess_exec(
            *("sipp", "-sn", "uas", "-t", mode, "-i", "127.0.0.1", "-p", str(port)),
            *("-m", "5", "-timeout", "25", "-nostdin"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with side(refuse, timers=PATIENT) as alice:
            await listening(port, transport)
            for _ in range(5):
                session = alice.endpoint.place_call(
                    OutgoingInvite(
                        f"sip:service@127.0.0.1:{port}",
                        NameAddr("sip:alice@127.0.0.1"),
                        NameAddr("sip:service@127.0.0.1"),
                        OFFER,
                        transport=transport,
                    )
                )
                await until(session, Answered)
                session.hang_up()
                ended = await until(session, SessionEnded)
                assert ended == SessionEnded(EndCause.LOCAL_BYE)
            # A connection that closes under it is a failed call to SIPp.
            assert await process.wait() == 0

    run(scenario())


async def listening(port: int, transport: Transport) -> None:
    """Wait until a program that was just started has its socket.

    Not by binding it: the program may try in that very moment.
    """
    while not is_bound(port, transport):  # noqa: ASYNC110 (of another process)
        await asyncio.sleep(0.02)


def is_bound(port: int, transport: Transport) -> bool:
    """Say whether somebody on this machine waits at a port, and for anyone."""
    sockets = Path(f"/proc/net/{transport}").read_text()
    return f":{port:04X} 00000000:0000 " in sockets


@pytest.mark.parametrize("mode", ["u1", "t1"])
def test_sipp_makes_twenty_calls(mode: str) -> None:
    find("sipp")

    async def scenario() -> None:
        async with side(answer, timers=PATIENT) as bob:
            process = await asyncio.create_subprocess_exec(
                "sipp",
                *("-sn", "uac", f"127.0.0.1:{bob.port}", "-t", mode),
                *("-m", "20", "-r", "40", "-d", "50", "-timeout", "25"),
                *("-i", "127.0.0.1", "-nostdin"),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            assert await process.wait() == 0
            assert len(bob.incoming) == 20
            await drained(bob)

    run(scenario())
