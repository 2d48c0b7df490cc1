"""A second SIP stack's opinion: aiosipua registers, and calls the emulator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiosipua
import pytest

from tests.support.processes import Emulator, echo_bot, emulator, free_port
from tests.support.sipp import DIRECT, of_kind

# Whole processes, in real time.
pytestmark = pytest.mark.slow

DEADLINE_S = 10.0
# For what is sent without waiting, as a BYE is.
PAUSE_S = 0.4


@asynccontextmanager
async def stack() -> AsyncIterator[aiosipua.SipUAC]:
    """Yield a user agent on a free UDP port."""
    transport = aiosipua.UdpSipTransport(("127.0.0.1", free_port()))
    uac = aiosipua.SipUAC(transport)

    def dispatch(
        message: aiosipua.SipRequest | aiosipua.SipResponse, source: tuple[str, int]
    ) -> None:
        if isinstance(message, aiosipua.SipResponse):
            uac.handle_response(message, source)

    transport.on_message = dispatch
    await transport.start()
    try:
        yield uac
    finally:
        uac.close()
        await transport.stop()


def offer(direction: str = "sendrecv") -> aiosipua.SdpMessage:
    sdp = aiosipua.build_sdp("127.0.0.1", 40000, 0, "PCMU", session_id="1")
    attributes = sdp.media[0].attributes
    del attributes["sendrecv"]
    attributes[direction] = []
    return sdp


async def dial(
    uac: aiosipua.SipUAC, port: int, number: str, expires_s: int | None = None
) -> aiosipua.OutgoingCall:
    """Return the answered call; RuntimeError with the status when it is refused."""
    call = uac.send_invite(
        "sip:second@127.0.0.1",
        f"sip:{number}@127.0.0.1:{port}",
        ("127.0.0.1", port),
        offer(),
        session_expires=expires_s,
    )
    await call.wait_answered(DEADLINE_S)
    return call


async def offer_again(
    uac: aiosipua.SipUAC, call: aiosipua.OutgoingCall, direction: str
) -> None:
    """Send a re-INVITE and wait for its answer."""
    before = call.sdp_answer
    uac.send_reinvite(call.dialog, offer(direction), call.remote_addr)
    async with asyncio.timeout(DEADLINE_S):
        while call.sdp_answer is before:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.01)


def test_a_call_with_hold_and_a_digit(at_once: Emulator) -> None:
    directions = []

    async def talk() -> None:
        target = ("127.0.0.1", at_once.sip_port)
        async with stack() as uac:
            call = await dial(uac, at_once.sip_port, DIRECT, expires_s=90)
            await asyncio.sleep(PAUSE_S)
            body = "Signal=5\r\nDuration=160\r\n"
            uac.send_info(call.dialog, body, "application/dtmf-relay", target)
            for direction in ("sendrecv", "sendonly", "inactive", "sendrecv"):
                assert call.sdp_answer is not None
                assert call.sdp_answer.audio is not None
                directions.append(call.sdp_answer.audio.direction)
                await offer_again(uac, call, direction)
            call.hangup(uac)
            await asyncio.sleep(PAUSE_S)

    asyncio.run(talk())
    # Each is the answer to the offer before it.
    assert directions == ["sendrecv", "sendrecv", "recvonly", "inactive"]
    finished = at_once.finished_call()
    assert (finished["status"], finished["cause"]) == ("completed", "caller-bye")
    digits = of_kind(at_once.timeline(finished["sid"]), "digit")
    assert [digit["digit"] for digit in digits] == ["5"]


def test_a_cancel(tmp_path: Path) -> None:
    async def give_up(port: int) -> None:
        async with stack() as uac:
            call = uac.send_invite(
                "sip:second@127.0.0.1",
                f"sip:{DIRECT}@127.0.0.1:{port}",
                ("127.0.0.1", port),
                offer(),
            )
            rings = asyncio.Event()
            call.on_ringing = lambda _: rings.set()
            await asyncio.wait_for(rings.wait(), DEADLINE_S)
            # It forgets the call then, 487 and all.
            call.cancel(uac)
            await asyncio.sleep(PAUSE_S)

    # The usual 300 ms of ringing may be over before a busy machine has cancelled.
    with emulator(tmp_path, config="calls: {ring_ms: 50000}") as running:
        asyncio.run(give_up(running.sip_port))
        assert running.finished_call()["cause"] == "caller-cancel"


def test_a_refusal(at_once: Emulator) -> None:
    async def misdial() -> None:
        async with stack() as uac:
            with pytest.raises(RuntimeError, match="404"):
                await dial(uac, at_once.sip_port, "0999999")

    asyncio.run(misdial())


@pytest.mark.parametrize(
    ("password", "outcome"), [("bob", "registered"), ("guess", "failed")]
)
def test_a_registration(running: Emulator, password: str, outcome: str) -> None:
    async def register() -> str:
        async with stack() as uac:
            registration = aiosipua.Registration(
                uac,
                "sip:bob@127.0.0.1",
                ("127.0.0.1", running.sip_port),
                auth=aiosipua.SipDigestAuth("bob", password),
            )
            answered = asyncio.Event()
            registration.on_registered = lambda _: answered.set()
            registration.on_failed = lambda *_: answered.set()
            registration.register()
            await asyncio.wait_for(answered.wait(), DEADLINE_S)
            state = registration.state.value
            registration.unregister()
            await asyncio.sleep(PAUSE_S)
            return state

    assert asyncio.run(register()) == outcome


def test_a_registration_by_sha_256(tmp_path: Path) -> None:
    async def register(port: int) -> str:
        async with stack() as uac:
            registration = aiosipua.Registration(
                uac,
                "sip:bob@127.0.0.1",
                ("127.0.0.1", port),
                auth=aiosipua.SipDigestAuth("bob", "bob"),
            )
            answered = asyncio.Event()
            registration.on_registered = lambda _: answered.set()
            registration.on_failed = lambda *_: answered.set()
            registration.register()
            await asyncio.wait_for(answered.wait(), DEADLINE_S)
            return registration.state.value

    with emulator(tmp_path, config="sip: {digest_algorithms: [SHA-256]}") as running:
        assert asyncio.run(register(running.sip_port)) == "registered"


def test_silence_during_hold_does_not_end_the_call(tmp_path: Path) -> None:
    """Nobody sends while the call is held; after that, silence is a fault again."""

    async def talk(port: int) -> None:
        target = ("127.0.0.1", port)
        async with stack() as uac:
            call = await dial(uac, port, DIRECT)
            uac.send_reinvite(call.dialog, offer("inactive"), target)
            await asyncio.sleep(5.0)
            uac.send_reinvite(call.dialog, offer("sendrecv"), target)
            await asyncio.sleep(PAUSE_S)

    # This phone never sends: all that is to be said must be said within the 3 s.
    config = "sip: {rtp_timeout_s: 3}"
    # A bot that is not there would end the call before.
    with echo_bot(tmp_path) as (_, bot_port):
        env = {"BOT_URL": f"ws://127.0.0.1:{bot_port}/media?sample-rate=8000"}
        with emulator(tmp_path, config=config, env=env) as running:
            asyncio.run(talk(running.sip_port))
            finished = running.finished_call()
            story = running.timeline(finished["sid"])
    assert finished["cause"] == "rtp-timeout"
    ended = [entry["kind"] for entry in story].index("call.ended")
    received = of_kind(story[:ended], "sip.received")
    invites = [m for m in received if m["summary"].startswith("INVITE ")]
    assert len(invites) == 3, "it was still up when it was resumed"
