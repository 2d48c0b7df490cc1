"""A second SIP stack is called: aiosipua takes a trunk's calls over UDP and TCP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiosipua
import pytest

from tests.support.processes import Emulator, echo_bot, emulator, eventually, free_port

# Whole processes, in real time.
pytestmark = pytest.mark.slow

OnInvite = Callable[[aiosipua.IncomingCall], None]
CONFIG = """\
trunks:
  - name: pbx
    sid: trmum1pbx
    destinations: ["127.0.0.1:{port};transport={transport}"]
"""


@pytest.fixture(params=["udp", "tcp"])
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@contextmanager
def calling(directory: Path, port: int, transport: str) -> Iterator[Emulator]:
    """Run an emulator with an echo bot, whose only trunk is at ``port``."""
    config = CONFIG.format(port=port, transport=transport)
    with echo_bot(directory) as (_, bot_port):
        url = f"ws://127.0.0.1:{bot_port}/media?sample-rate=8000"
        nowhere = f"ws://127.0.0.1:{free_port()}/media"
        env = {"ECHO_BOT_URL": url, "BOT_URL": nowhere}
        with emulator(directory, config=config, env=env) as running:
            yield running


@asynccontextmanager
async def listening(
    port: int, transport: str, on_invite: OnInvite
) -> AsyncIterator[aiosipua.SipUAS]:
    """Run a user agent server that hands new calls to ``on_invite``."""
    kinds = {"udp": aiosipua.UdpSipTransport, "tcp": aiosipua.TcpSipTransport}
    uas = aiosipua.SipUAS(kinds[transport](("127.0.0.1", port)), session_expires=90)
    uas.on_invite = on_invite
    await uas.start()
    try:
        yield uas
    finally:
        await uas.stop()


def answer(call: aiosipua.IncomingCall) -> None:
    call.ringing()
    call.accept(aiosipua.build_sdp("127.0.0.1", 40_000, 8, "PCMA", session_id="1"))


async def place(running: Emulator, **body: Any) -> str:
    """Call the trunk; return the call's SID."""
    request = {"to": "sip:trmum1pbx", "flow": "echo", **body}
    reply = await asyncio.to_thread(running.api.post, "/calls", json=request)
    assert reply.status_code == 201, reply.text
    sid: str = reply.json()["sid"]
    return sid


async def status_is(running: Emulator, sid: str, status: str) -> None:
    def has_come() -> bool:
        return bool(running.api.get(f"/calls/{sid}").json()["status"] == status)

    await asyncio.to_thread(eventually, has_come, f"call {status}")


def test_it_reads_our_invite_answers_and_hangs_up(
    transport: str, tmp_path: Path
) -> None:
    port = free_port()
    calls: list[aiosipua.IncomingCall] = []

    def take(call: aiosipua.IncomingCall) -> None:
        calls.append(call)
        answer(call)

    async def talk(running: Emulator) -> str:
        async with listening(port, transport, take):
            sid = await place(running)
            await status_is(running, sid, "in-progress")
            calls[0].hangup()
            await asyncio.to_thread(running.finished_call)
        return sid

    with calling(tmp_path, port, transport) as running:
        sid = asyncio.run(talk(running))
        finished = running.finished_call()
    assert (finished["status"], finished["ended_by"]) == ("completed", "callee")
    (call,) = calls
    assert call.caller == "sip:08010000002@exotel1.pstn.exotel.com"
    assert call.x_headers["X-Exotel-CallSid"] == sid
    assert call.x_headers["X-Exotel-TrunkSid"] == "trmum1pbx"
    offer = call.sdp_offer
    assert offer is not None and offer.audio is not None
    assert offer.audio.formats == ["8", "0", "96"]


def test_it_hears_our_bye(transport: str, tmp_path: Path) -> None:
    port = free_port()
    byes: list[aiosipua.SipRequest] = []

    async def talk(running: Emulator) -> None:
        async with listening(port, transport, answer) as uas:
            uas.on_bye = lambda _, request: byes.append(request)
            # Nobody listens for its bot: the flow goes on and hangs up.
            await place(running, flow="voicebot")
            await asyncio.to_thread(running.finished_call)

    with calling(tmp_path, port, transport) as running:
        asyncio.run(talk(running))
    assert len(byes) == 1


def test_its_refusal_is_the_call_s_status(transport: str, tmp_path: Path) -> None:
    port = free_port()

    async def misdial(running: Emulator) -> None:
        async with listening(port, transport, lambda call: call.reject(486)):
            await place(running)
            await asyncio.to_thread(running.finished_call)

    with calling(tmp_path, port, transport) as running:
        asyncio.run(misdial(running))
        assert running.finished_call()["status"] == "busy"


def test_it_rings_until_our_cancel(transport: str, tmp_path: Path) -> None:
    port = free_port()
    cancels: list[aiosipua.SipRequest] = []

    async def ring(running: Emulator) -> None:
        async with listening(port, transport, lambda call: call.ringing()) as uas:
            uas.on_cancel = lambda request, _: cancels.append(request)
            await place(running, ring_timeout_s=1.0)
            await asyncio.to_thread(running.finished_call)

    with calling(tmp_path, port, transport) as running:
        asyncio.run(ring(running))
        finished = running.finished_call()
    assert (finished["status"], finished["cause"]) == ("no-answer", "no-answer")
    assert len(cancels) == 1
