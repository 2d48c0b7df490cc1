"""A real worker process: a call to a real bot, death, restart, drain, no leftovers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from emulator.clock import SystemClock
from emulator.errors import WorkerLost
from emulator.media.g711 import PCMU
from emulator.media.tones import tone
from emulator.worker.host import MediaError, WorkerPool
from emulator.worker.messages import (
    Happened,
    LegRemoved,
    OpenStream,
    Play,
    PlayEnded,
    RemoveLeg,
    Report,
    StartLeg,
    StreamEnded,
)
from emulator.worker.supervisor import HEARTBEAT_LIMIT_S
from tests.support.media_rig import Peer, media

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="reads /proc of Linux"
)


class Pool:
    """A pool, its reports and its losses."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.lost: list[tuple[float, int, str, frozenset[str]]] = []
        self._news = asyncio.Event()
        self.pool = WorkerPool(
            clock=SystemClock(), on_report=self._take, on_lost=self._lose
        )

    def _take(self, report: Report) -> None:
        self.reports.append(report)
        self._news.set()

    def _lose(self, number: int, reason: str, legs: frozenset[str]) -> None:
        self.lost.append((time.monotonic(), number, reason, legs))
        self._news.set()

    async def wait_for(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def wait_until_open(self) -> None:
        """Wait until a bot has answered: what is said before is not for it."""
        await self.wait_for(
            lambda: any(r.kind == "stream.opened" for r in self.of(Happened))
        )

    async def wait_until_all_alive(self) -> None:
        for _ in range(1500):
            if self.pool.all_alive:
                return
            await asyncio.sleep(0.02)
        raise AssertionError("a worker is missing")

    def of(self, kind: type[Any]) -> list[Any]:
        return [report for report in self.reports if isinstance(report, kind)]


@asynccontextmanager
async def running(low: int, high: int, workers: int = 1) -> AsyncIterator[Pool]:
    rig = Pool()
    try:
        await rig.pool.spawn()
        rig.pool.configure(
            workers=workers, bind_ip="127.0.0.1", rtp_port_min=low, rtp_port_max=high
        )
        async with asyncio.timeout(20):
            await rig.pool.ready()
        yield rig
    finally:
        pids = rig.pool.pids
        await rig.pool.close()
        assert not any(map(is_running, pids))


@asynccontextmanager
async def echo_bot(log: list[dict[str, Any]]) -> AsyncIterator[str]:
    async def talk(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            async for text in connection:
                message = json.loads(text)
                log.append(message)
                if message["event"] == "media":
                    answer = {
                        "event": "media",
                        "stream_sid": message["stream_sid"],
                        "media": {"payload": message["media"]["payload"]},
                    }
                    await connection.send(json.dumps(answer))

    async with serve(talk, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/media"


def open_stream(url: str, leg_id: str = "L1", **changes: Any) -> OpenStream:
    return OpenStream(leg_id, f"S-{leg_id}", "C1", "A1", url, "1", "2", **changes)


async def talk(peer: Peer, frames: list[bytes]) -> list[bytes]:
    """Send one frame every 20 ms; return the payloads heard meanwhile."""
    heard: list[bytes] = []
    began_s = time.monotonic()
    for n, frame in enumerate(frames):
        peer.send(frame)
        await asyncio.sleep(max(0.0, began_s + 0.02 * (n + 1) - time.monotonic()))
        heard += [packet.payload for packet in peer.receive()]
    return heard


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def run(scenario: Awaitable[None]) -> None:
    async def main() -> None:
        await scenario

    asyncio.run(main())


def test_the_caller_hears_its_own_tone_from_an_echo_bot() -> None:
    async def scenario() -> bool:
        log: list[dict[str, Any]] = []
        async with echo_bot(log) as url, running(23000, 23019) as rig:
            port = await rig.pool.add_leg("L1", "C1", media())
            peer = Peer(port)
            rig.pool.send(StartLeg("L1"))
            rig.pool.send(open_stream(url))
            await rig.wait_until_open()
            signal_ = PCMU.encode(tone((440,), 1000))
            frames = [signal_[n : n + 160] for n in range(0, len(signal_), 160)]
            heard = b"".join(await talk(peer, [PCMU.quiet(160)] * 25 + frames))
            heard += b"".join(await talk(peer, [PCMU.quiet(160)] * 25))
            rig.pool.send(RemoveLeg("L1"))
            await rig.wait_for(lambda: rig.of(LegRemoved))
            (ended,) = rig.of(StreamEnded)
            assert (ended.status, ended.leg_id) == ("completed", "L1")
            assert rig.of(LegRemoved)[0].stats["received"]["lost"] == 0
            peer.close()
        events = [message["event"] for message in log]
        assert events[:2] == ["connected", "start"]
        assert events[-1] == "stop"
        return are_in(heard, frames)

    # A worker that stood still leaves out what has become too old to be said: on a
    # busy machine one of three must do.
    assert any(asyncio.run(scenario()) for _ in range(3))


def are_in(heard: bytes, frames: list[bytes]) -> bool:
    """Whether every frame is there, in order; holes of silence may be between."""
    at = 0
    for frame in frames:
        found = heard.find(frame, at)
        if found < 0:
            return False
        at = found + len(frame)
    return True


@pytest.mark.parametrize("rate_hz", [16000, 24000])
def test_a_faster_bot_is_heard(rate_hz: int) -> None:
    async def scenario() -> None:
        log: list[dict[str, Any]] = []
        async with echo_bot(log) as url, running(23020, 23039) as rig:
            peer = Peer(await rig.pool.add_leg("L1", "C1", media()))
            rig.pool.send(StartLeg("L1"))
            rig.pool.send(open_stream(url, sample_rate_hz=rate_hz))
            await rig.wait_until_open()
            loud = PCMU.encode(tone((500,), 20))
            heard = await talk(peer, [loud] * 60)
            assert sum(frame != PCMU.quiet(160) for frame in heard) > 20
            peer.close()
        chunk = next(m for m in log if m["event"] == "media")["media"]["payload"]
        assert len(chunk) == -(-2 * rate_hz // 50 // 3) * 4

    run(scenario())


def test_a_bot_that_is_not_there_fails_the_stream_and_not_the_leg() -> None:
    async def scenario() -> None:
        async with running(23040, 23059) as rig:
            peer = Peer(await rig.pool.add_leg("L1", "C1", media()))
            rig.pool.send(StartLeg("L1"))
            rig.pool.send(open_stream("ws://127.0.0.1:1/"))
            await rig.wait_for(lambda: rig.of(StreamEnded))
            (ended,) = rig.of(StreamEnded)
            assert ended.status == "failed"
            assert ended.error.startswith("3009")
            rig.pool.send(Play("L1", "p", silence_ms=20))
            await rig.wait_for(lambda: rig.of(PlayEnded))
            assert rig.of(PlayEnded)[0].outcome == "played"
            peer.close()

    run(scenario())


def be_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine tells late how a worker ended, and starts another one late."""
    monkeypatch.setattr("emulator.worker.process._EXIT_WAIT_S", 10.0)
    monkeypatch.setattr("emulator.worker.host.RESTART_WAIT_S", 20.0)


def test_a_killed_worker_is_seen_at_once_and_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    be_patient(monkeypatch)

    async def scenario() -> None:
        async with running(23060, 23079) as rig:
            await rig.pool.add_leg("L1", "C1", media())
            killed_s = time.monotonic()
            os.kill(rig.pool.pids[0], signal.SIGKILL)
            await rig.wait_for(lambda: rig.lost)
            ((seen_s, number, reason, legs),) = rig.lost
            assert (number, reason, legs) == (
                0,
                "killed by signal 9",
                frozenset({"L1"}),
            )
            # Not by a heartbeat that fails to come.
            assert seen_s - killed_s < HEARTBEAT_LIMIT_S / 2
            assert not rig.pool.all_alive
            rig.pool.send(StartLeg("L1"))
            assert await rig.pool.add_leg("L2", "C2", media()) % 2 == 0
            assert rig.pool.all_alive

    run(scenario())


def test_a_worker_that_dies_while_a_leg_is_added_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    be_patient(monkeypatch)

    async def scenario() -> None:
        async with running(23080, 23099) as rig:
            os.kill(rig.pool.pids[0], signal.SIGSTOP)
            adding = asyncio.create_task(rig.pool.add_leg("L1", "C1", media()))
            await asyncio.sleep(0.05)
            os.kill(rig.pool.pids[0], signal.SIGKILL)
            with pytest.raises(WorkerLost, match="killed by signal 9"):
                await adding

    run(scenario())


def test_an_exhausted_port_range_is_told_to_the_caller() -> None:
    async def scenario() -> None:
        async with running(23100, 23101) as rig:
            await rig.pool.add_leg("L1", "C1", media())
            with pytest.raises(MediaError, match="no even port and the next is free"):
                await rig.pool.add_leg("L2", "C2", media())

    run(scenario())


def test_legs_are_spread_over_workers_with_ports_of_their_own() -> None:
    async def scenario() -> None:
        async with running(23200, 23299, workers=2) as rig:
            assert len(rig.pool.pids) == 2
            ports = [
                await rig.pool.add_leg(f"L{n}", f"C{n}", media()) for n in range(4)
            ]
            assert sum(port < 23250 for port in ports) == 2

    run(scenario())


def test_draining_tells_the_bots_and_leaves_no_process() -> None:
    async def scenario() -> None:
        log: list[dict[str, Any]] = []
        async with echo_bot(log) as url, running(23120, 23139) as rig:
            await rig.pool.add_leg("L1", "C1", media())
            rig.pool.send(open_stream(url))
            await rig.wait_until_open()
            pid = rig.pool.pids[0]
            await rig.pool.drain(20)
            assert not is_running(pid)
            assert [ended.status for ended in rig.of(StreamEnded)] == ["completed"]
            assert len(rig.of(LegRemoved)) == 1
            assert rig.lost == []
            with pytest.raises(WorkerLost):
                await rig.pool.add_leg("L2", "C2", media())
        assert log[-1]["event"] == "stop"

    run(scenario())


def test_a_worker_without_control_ends_by_itself() -> None:
    async def scenario() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *worker_command(theirs.fileno()), pass_fds=(theirs.fileno(),)
            )
        # Read Alive, so that it runs.
        await asyncio.to_thread(ours.recv, 4096)
        process.send_signal(signal.SIGTERM)
        ours.close()
        async with asyncio.timeout(20):
            assert await process.wait() == 0

    run(scenario())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_is_for_control(number: signal.Signals) -> None:
    async def scenario() -> None:
        async with running(23140, 23159) as rig:
            await rig.pool.add_leg("L1", "C1", media())
            pid = rig.pool.pids[0]
            os.kill(pid, number)
            await asyncio.sleep(0.2)
            await rig.pool.add_leg("L2", "C2", media())
            assert rig.pool.pids == (pid,)
            await rig.pool.drain(20)
            assert rig.lost == []
            assert len(rig.of(LegRemoved)) == 2
            assert not is_running(pid)

    run(scenario())


def test_a_leg_whose_caller_gave_up_while_its_port_was_opened_is_removed() -> None:
    async def scenario() -> None:
        async with running(23180, 23181) as rig:
            pid = rig.pool.pids[0]
            os.kill(pid, signal.SIGSTOP)
            adding = asyncio.create_task(rig.pool.add_leg("L1", "C1", media()))
            await asyncio.sleep(0.05)
            adding.cancel()
            with pytest.raises(asyncio.CancelledError):
                await adding
            os.kill(pid, signal.SIGCONT)
            # There is one pair of ports only: it is free again.
            assert await rig.pool.add_leg("L2", "C2", media()) == 23180
            assert [removed.leg_id for removed in rig.of(LegRemoved)] == ["L1"]

    run(scenario())


def test_a_leg_that_a_stopped_worker_opens_too_late_is_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("emulator.worker.supervisor.ADD_LEG_LIMIT_S", 0.05)

    async def scenario() -> None:
        async with running(23182, 23183) as rig:
            pid = rig.pool.pids[0]
            os.kill(pid, signal.SIGSTOP)
            with pytest.raises(WorkerLost, match="no answer"):
                await rig.pool.add_leg("L1", "C1", media())
            os.kill(pid, signal.SIGCONT)
            await rig.wait_for(lambda: rig.of(LegRemoved))
            monkeypatch.undo()
            assert await rig.pool.add_leg("L2", "C2", media()) == 23182

    run(scenario())


def test_200_legs_leave_no_descriptor_behind() -> None:
    async def scenario() -> None:
        log: list[dict[str, Any]] = []
        async with echo_bot(log) as url, running(23300, 23319) as rig:
            pid = rig.pool.pids[0]

            async def cycle(n: int) -> None:
                leg_id = f"L{n}"
                await rig.pool.add_leg(leg_id, "C", media())
                rig.pool.send(StartLeg(leg_id))
                if n % 10 == 0:
                    rig.pool.send(open_stream(url, leg_id))
                rig.pool.send(RemoveLeg(leg_id))
                await rig.wait_for(lambda: len(rig.of(LegRemoved)) == n + 1)

            await cycle(0)
            before = descriptors(pid)
            for n in range(1, 201):
                await cycle(n)
            # The last stream's own may take a moment longer than its leg.
            for _ in range(500):
                if descriptors(pid) <= before:
                    break
                await asyncio.sleep(0.02)
            assert descriptors(pid) <= before

    run(scenario())


def test_a_worker_without_legs_does_not_wake_up() -> None:
    async def scenario() -> None:
        async with running(23160, 23179) as rig:
            await rig.pool.add_leg("L1", "C1", media())
            rig.pool.send(RemoveLeg("L1"))
            await rig.wait_for(lambda: rig.of(LegRemoved))
            await asyncio.sleep(0.05)
            # The least of three: a busy machine may be late to let it rest.
            counts = [await switches_in_300_ms(rig.pool.pids[0]) for _ in range(3)]
            assert min(counts) <= 2

    run(scenario())


def switches(pid: int) -> int:
    """How often the process has gone to sleep."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])


async def switches_in_300_ms(pid: int) -> int:
    before = switches(pid)
    await asyncio.sleep(0.3)
    return switches(pid) - before


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def worker_command(fd: int) -> tuple[str, ...]:
    import sys

    return (sys.executable, "-m", "emulator.worker", str(fd))
