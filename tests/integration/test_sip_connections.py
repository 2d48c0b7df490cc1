"""Connections that say nothing, or never finish: counted, bounded, closed."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from emulator.clock import SystemClock
from emulator.ids import IdSource
from emulator.sip.address import Transport
from emulator.sip.endpoint import BoundListener, SipEndpoint
from emulator.sip.options import SipLimits, SipOptions, TlsOptions
from emulator.sip.session import IncomingInvite
from tests.support.programs import find

DEADLINE_S = 30.0
MAX_CONNECTIONS = 5


def refuse(invite: IncomingInvite) -> None:
    invite.session.reject(486)


@contextlib.asynccontextmanager
async def listening(folder: Path, transport: Transport, limits: SipLimits) -> Any:
    options = SipOptions(
        port=0,
        transports=(transport,),
        tls=TlsOptions(port=0, folder=folder),
        limits=limits,
    )
    endpoint = SipEndpoint(options, SystemClock(), IdSource(), on_invite=refuse)
    (listener,) = await endpoint.start()
    try:
        yield endpoint, listener
    finally:
        await endpoint.stop(1.0)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await scenario

    asyncio.run(bounded(), debug=True)


async def connected(listener: BoundListener) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    address = (listener.ip, listener.port)
    await asyncio.get_running_loop().sock_connect(sock, address)
    return sock


async def is_closed(sock: socket.socket) -> bool:
    """Wait until the other side has closed it."""
    try:
        return await asyncio.get_running_loop().sock_recv(sock, 1) == b""
    except ConnectionError:
        return True


async def read_to_end(reader: asyncio.StreamReader) -> bytes:
    """Return what comes; a side that had not read all resets when it closes."""
    with contextlib.suppress(ConnectionError):
        return await reader.read()
    return b""


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_silent_connections_count_from_the_first_packet(
    transport: Transport, tmp_path: Path
) -> None:
    if transport == "tls":
        find("openssl")

    async def scenario() -> None:
        limits = SipLimits(max_connections=MAX_CONNECTIONS)
        async with listening(tmp_path, transport, limits) as (endpoint, listener):
            socks = [await connected(listener) for _ in range(12 * MAX_CONNECTIONS)]
            with contextlib.ExitStack() as stack:
                for sock in socks:
                    stack.enter_context(sock)
                refused = socks[MAX_CONNECTIONS:]
                assert all([await is_closed(sock) for sock in refused])
                assert endpoint.counts()["connections"] == MAX_CONNECTIONS

    run(scenario())


def test_bytes_of_an_unfinished_message_keep_no_connection_open(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        limits = SipLimits(unfinished_message_s=0.2)
        async with listening(tmp_path, "tcp", limits) as (_, listener):
            reader, writer = await asyncio.open_connection(listener.ip, listener.port)
            closed = asyncio.create_task(read_to_end(reader))
            with contextlib.suppress(ConnectionError):
                writer.write(b"OPTIONS sip:x SIP/2.0\r\nX: ")
                while not closed.done():
                    writer.write(b"a")
                    await asyncio.sleep(0.02)
            assert await closed == b""
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    run(scenario())


def test_keepalives_alone_keep_a_connection_open(tmp_path: Path) -> None:
    async def scenario() -> None:
        limits = SipLimits(unfinished_message_s=0.1)
        async with listening(tmp_path, "tcp", limits) as (endpoint, listener):
            reader, writer = await asyncio.open_connection(listener.ip, listener.port)
            for _ in range(20):
                writer.write(b"\r\n\r\n")
                assert await reader.readexactly(2) == b"\r\n"
                await asyncio.sleep(0.02)
            assert endpoint.counts()["connections"] == 1
            writer.close()
            await writer.wait_closed()

    run(scenario())


RAISED = """
from emulator.sip.transport.descriptors import raise_descriptor_limit
from tests.support.programs import find
import resource
assert raise_descriptor_limit() == 512
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (512, 512)
"""


def test_the_soft_limit_of_open_files_is_raised_to_the_hard_one() -> None:
    subprocess.run(
        [sys.executable, "-c", RAISED],
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (128, 512)),
    )
