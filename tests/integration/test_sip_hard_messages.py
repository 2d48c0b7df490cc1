"""Hard and broken messages over real sockets: what comes back, by each transport.

The messages are those of ``tests/unit/sip/test_sip_torture.py``, and so are their
outcomes; RFC 4475's own bytes are sent too when ``RFC4475_DIR`` names their folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.clock import SystemClock
from emulator.ids import IdSource
from emulator.sip.address import Transport
from emulator.sip.endpoint import SipEndpoint
from emulator.sip.errors import SipParseError
from emulator.sip.message import parse_message
from emulator.sip.options import SipOptions, TlsOptions
from emulator.sip.session import IncomingInvite
from emulator.sip.tls import client_context
from tests.support.programs import find
from tests.unit.sip.test_sip_torture import DATA, RFC_DIR, USERS, outcomes

# What the application says to an INVITE that reaches it, and the stack never does.
REACHED = 486
REPLY = re.compile(rb"(?:^|\r\n)SIP/2\.0 ([2-6]\d\d) ")
REPLY_DEADLINE_S = 20.0
# After two round trips with the endpoint, what it had to say is in our socket.
SILENCE_S = 0.1
# No address of this machine's: a message without rport is answered at port 5060 of it.
CLIENT_IP = "127.44.75.1"


def files(folder: str) -> Iterator[tuple[str, bytes]]:
    """Yield every message with its name."""
    root = Path(RFC_DIR) if folder == "rfc" else DATA / folder
    for path in sorted(root.rglob("*.dat")):
        yield path.stem, path.read_bytes()


def answer_port(data: bytes) -> int:
    """Return where RFC 3261 §18.2.2 has a datagram answered."""
    try:
        message = parse_message(data)
    except SipParseError as error:
        if error.request is None:
            return 5060
        try:
            return error.request.via.port or 5060
        except SipParseError:
            return 5060
    return message.via.port or 5060


def reach(invite: IncomingInvite) -> None:
    invite.session.reject(REACHED)


async def ping(port: int) -> None:
    """Ask the endpoint something of no interest, and wait for the answer."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.setblocking(False)
        own.bind(("127.0.0.1", 0))
        branch = f"z9hG4bK{os.urandom(8).hex()}"
        asked = (
            f"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;rport;branch={branch}\r\n"
            f"From: <sip:a@b>;tag=1\r\nTo: <sip:b@c>\r\nCall-ID: {branch}\r\n"
            "CSeq: 1 OPTIONS\r\n\r\n"
        )
        await loop.sock_sendto(own, asked.encode(), ("127.0.0.1", port))
        async with asyncio.timeout(REPLY_DEADLINE_S):
            assert b"200" in await loop.sock_recv(own, 65_536)


async def over_udp(data: bytes, port: int, ping_port: int, patience_s: float) -> str:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.setblocking(False)
        own.bind((CLIENT_IP, answer_port(data)))
        await loop.sock_sendto(own, data, ("127.0.0.1", port))
        for _ in range(2):
            await ping(ping_port)
        found = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while not REPLY.search(found):
                    found += b"\r\n" + await loop.sock_recv(own, 65_536)
    return first_final(found)


async def over_stream(
    data: bytes,
    port: int,
    ping_port: int,
    patience_s: float,
    context: ssl.SSLContext | None,
) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.write(data)
    await writer.drain()
    for _ in range(2):
        await ping(ping_port)
    found = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(patience_s):
            while not (REPLY.search(found) or reader.at_eof()):
                found += await reader.read(65_536)
    writer.close()
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()
    return first_final(found)


def first_final(data: bytes) -> str:
    found = REPLY.search(data)
    status = found.group(1).decode() if found else "silence"
    return "call" if status == str(REACHED) else status


async def outcome_of(
    data: bytes, transport: Transport, options: SipOptions, expected: str
) -> str:
    """Send a message to an endpoint of its own; return the first final response."""
    endpoint = SipEndpoint(options, SystemClock(), IdSource(1), on_invite=reach)
    ports = {heard.transport: heard.port for heard in await endpoint.start()}
    patience_s = SILENCE_S if "silence" in expected else REPLY_DEADLINE_S
    try:
        port = ports[transport]
        if transport == "udp":
            got = await over_udp(data, port, ports["udp"], patience_s)
        else:
            context = client_context(TlsOptions()) if transport == "tls" else None
            got = await over_stream(data, port, ports["udp"], patience_s, context)
        await ping(ports["udp"])
    finally:
        await endpoint.stop(0.0)
    return got


@pytest.mark.parametrize("folder", ["torture", "malformed", "rfc"])
@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_hard_messages_are_answered_as_expected(
    folder: str, transport: Transport, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if folder == "rfc" and not RFC_DIR:
        pytest.skip("RFC 4475's OWN MESSAGES DID NOT RUN: RFC4475_DIR is not set")
    if transport == "tls":
        find("openssl")
    keys = tmp_path_factory.getbasetemp() / "hard-messages"
    transports: tuple[Transport, ...] = (
        ("udp", "tcp", "tls") if transport == "tls" else ("udp", "tcp")
    )
    options = SipOptions(
        bind_ip="127.0.0.1",
        port=0,
        transports=transports,
        tls=TlsOptions(port=0, folder=keys),
        users=USERS,
    )
    expected = outcomes("torture" if folder == "rfc" else folder, transport)

    async def scenario() -> dict[str, str]:
        return {
            name: await outcome_of(data, transport, options, expected[name])
            for name, data in files(folder)
            if name in expected
        }

    found = asyncio.run(scenario())
    assert found.keys() == expected.keys()
    wrong = {
        name: f"{got} instead of {expected[name]}"
        for name, got in found.items()
        if got not in expected[name].split("|")
    }
    assert not wrong
