"""Control's side of the media plane: spreads legs over workers, routes, reports.

A worker that dies loses its own legs and nothing else; it is started again. All legs of
one call live on one worker. Everything here runs in control's event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from emulator.clock import Clock
from emulator.errors import WorkerLost
from emulator.events import JsonValue
from emulator.worker.messages import (
    CloseStream,
    Command,
    Configure,
    Drain,
    LegRemoved,
    MediaParams,
    OpenStream,
    Ping,
    Report,
    StreamEnded,
)
from emulator.worker.placement import Placement
from emulator.worker.supervisor import MediaError, Supervisor

__all__ = ["MediaError", "WorkerLost", "WorkerPool"]

logger = logging.getLogger("emulator.worker")

# How long a new call waits for a worker that is being restarted (0.2 s).
RESTART_WAIT_S = 3.0


@dataclass(frozen=True, slots=True)
class WorkerLoad:
    """One worker; ``pid`` is None while it is being started again."""

    number: int
    pid: int | None
    legs: int
    streams: int


class WorkerPool:
    """The workers of this emulator.

    A new call goes where the fewest legs are, of the workers with a port to give.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        on_report: Callable[[Report], None],
        on_lost: Callable[[int, str, frozenset[str]], None],
    ) -> None:
        """Nothing is started yet.

        Args:
            on_report: Called with every report about a leg or its streams, in order.
            on_lost: Called with the worker's number, the reason and the legs that went
                with it.
        """
        self._clock = clock
        self._on_report = on_report
        self._on_lost = on_lost
        self._workers: list[Supervisor] = []
        self._homes: Placement[Supervisor] = Placement()
        self._stream_legs: dict[str, str] = {}
        self._is_ending = False
        self._ready_news = asyncio.Event()

    @property
    def all_alive(self) -> bool:
        """Every worker is configured and takes legs."""
        return bool(self._workers) and all(w.is_ready for w in self._workers)

    @property
    def pids(self) -> tuple[int, ...]:
        """The running processes' numbers."""
        return tuple(w.pid for w in self._workers if w.pid is not None)

    def loads(self) -> list[WorkerLoad]:
        """Return what every worker carries, as control knows it."""
        homes = (self._homes.of_leg(leg_id) for leg_id in self._stream_legs.values())
        streams = Counter(worker.number for worker in homes if worker is not None)
        return [
            WorkerLoad(w.number, w.pid, len(w.legs), streams[w.number])
            for w in self._workers
        ]

    async def spawn(self) -> None:
        """Start the first worker, which loads while control reads its settings."""
        await self._start_worker().started()

    def configure(
        self,
        *,
        workers: int,
        bind_ip: str,
        rtp_port_min: int,
        rtp_port_max: int,
        options: Mapping[str, JsonValue] | None = None,
    ) -> None:
        """Give every worker its part of the ports; start those that are missing.

        Args:
            options: The fields of ``worker.engine.EngineOptions``.
        """
        while len(self._workers) < workers:
            self._start_worker()
        ranges = split_ports(rtp_port_min, rtp_port_max, workers)
        for worker, (low, high) in zip(self._workers, ranges, strict=True):
            worker.configure(
                Configure(worker.number, bind_ip, low, high, dict(options or {}))
            )

    async def ready(self) -> None:
        """Wait until every worker is configured.

        Raises:
            WorkerLost: One of them died instead.
        """
        for worker in self._workers:
            await worker.ready()

    async def add_leg(
        self, leg_id: str, call_sid: str, media: MediaParams | None = None
    ) -> int:
        """Open a leg where its call's other legs are, and return its RTP port.

        Raises:
            MediaError: No port is free: for a new call on any worker.
            WorkerLost: No worker is up, the chosen one died meanwhile, or the call's
                other legs died with theirs.
        """
        full: list[Supervisor] = []
        while True:
            worker = self._homes.of_call(call_sid)
            if worker is None:
                free = await self._least_busy(full)
                # Another leg of the call may have been placed meanwhile.
                worker = self._homes.of_call(call_sid) or free
            self._homes.put(leg_id, call_sid, worker)
            try:
                return await worker.add_leg(leg_id, call_sid, media)
            except MediaError:
                self._homes.remove(leg_id)
                full.append(worker)
                # A call's legs stay together; a new call may go elsewhere.
                if self._homes.of_call(call_sid) or not self._up(full):
                    raise
            except BaseException:
                self._homes.remove(leg_id)
                raise

    def send(self, command: Command) -> None:
        """Send a command to the worker of its leg or stream; never waits.

        A command for a leg that has ended or was lost is dropped.
        """
        leg_id = self._leg_of(command)
        worker = self._homes.of_leg(leg_id)
        if worker is None:
            logger.debug("no leg %s: %s dropped", leg_id, type(command).__name__)
            return
        if isinstance(command, OpenStream):
            self._stream_legs[command.stream_sid] = leg_id
        worker.send(command)

    async def drain(self, deadline_s: float) -> None:
        """End every worker after its bots have been told; kill after the deadline."""
        self._is_ending = True
        async with asyncio.TaskGroup() as group:
            for worker in self._workers:
                group.create_task(worker.drain(deadline_s))

    async def close(self) -> None:
        """Leave no process; call it also after ``drain`` or a failed start."""
        self._is_ending = True
        for worker in self._workers:
            await worker.close()

    def _start_worker(self) -> Supervisor:
        worker = Supervisor(
            len(self._workers),
            self._clock,
            on_ready=self._ready_news.set,
            on_report=self._take,
            on_lost=self._lose,
        )
        self._workers.append(worker)
        worker.start()
        return worker

    async def _least_busy(self, full: Sequence[Supervisor]) -> Supervisor:
        up = self._up(full)
        if not up:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._one_is_up(), RESTART_WAIT_S)
            up = self._up(full)
        if not up or self._is_ending:
            raise WorkerLost(0, "no media worker is up")
        return min(up, key=lambda worker: len(worker.legs))

    def _up(self, full: Sequence[Supervisor] = ()) -> list[Supervisor]:
        """Return the workers that take legs, without those that have no port left."""
        return [w for w in self._workers if w.is_ready and w not in full]

    async def _one_is_up(self) -> None:
        while not self._up() and not self._is_ending:
            self._ready_news.clear()
            await self._ready_news.wait()

    def _leg_of(self, command: Command) -> str:
        if isinstance(command, CloseStream):
            return self._stream_legs.get(command.stream_sid, "")
        if isinstance(command, Configure | Ping | Drain):
            return ""
        return command.leg_id

    def _take(self, report: Report) -> None:
        if isinstance(report, LegRemoved):
            self._homes.remove(report.leg_id)
        elif isinstance(report, StreamEnded):
            self._stream_legs.pop(report.stream_sid, None)
        self._on_report(report)

    def _lose(self, number: int, reason: str, legs: frozenset[str]) -> None:
        self._homes.lose(legs, number)
        self._stream_legs = {
            sid: leg for sid, leg in self._stream_legs.items() if leg not in legs
        }
        self._on_lost(number, reason, legs)


def split_ports(low: int, high: int, parts: int) -> list[tuple[int, int]]:
    """Split a range into ``parts`` of whole port pairs, as even as possible."""
    first = low + low % 2
    pairs = (high - first + 1) // 2
    bounds = [first + 2 * (pairs * part // parts) for part in range(parts)]
    return list(zip(bounds, [*(b - 1 for b in bounds[1:]), high], strict=True))
