"""Keeps one media worker running: start, heartbeat, death, restart."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from emulator.clock import Clock
from emulator.errors import EmulatorError, WorkerLost
from emulator.waiting import answer_within
from emulator.worker.messages import (
    AddLeg,
    Alive,
    Command,
    Configure,
    Configured,
    Drain,
    LegAdded,
    LegFailed,
    LegRemoved,
    MediaParams,
    Message,
    Ping,
    Pong,
    RemoveLeg,
    Report,
)
from emulator.worker.process import WorkerProcess, start_process

logger = logging.getLogger("emulator.worker")

# A worker with legs is pinged so often; it answers within a few ms.
HEARTBEAT_S = 2.0
# No answer for so long: it hangs. Longer than any stall of a busy machine.
HEARTBEAT_LIMIT_S = 10.0
# A worker opens a port within a few ms.
ADD_LEG_LIMIT_S = 5.0
# A worker that dies sooner than this is restarted with growing delays.
SHORT_LIFE_S = 1.0
MAX_RESTART_DELAY_S = 5.0
_FIRST_RESTART_DELAY_S = 0.1


class MediaError(EmulatorError):
    """A leg cannot be opened; the reason names the setting that limits it."""


class Supervisor:
    """Keeps one worker process running.

    Attributes:
        legs: The legs that live in it.
        is_ready: It is configured: legs may be added.
    """

    def __init__(
        self,
        number: int,
        clock: Clock,
        on_ready: Callable[[], None],
        on_report: Callable[[Report], None],
        on_lost: Callable[[int, str, frozenset[str]], None],
    ) -> None:
        """Nothing is started yet.

        Args:
            on_ready: Called when legs may be added, also after a restart.
            on_report: Called with every report about a leg, in order.
            on_lost: Called with number, reason and lost legs when the process died.
        """
        self.number = number
        self.legs: set[str] = set()
        self.is_ready = False
        self._clock = clock
        self._on_ready = on_ready
        self._on_report = on_report
        self._on_lost = on_lost
        self._process: WorkerProcess | None = None
        self._configuration: Configure | None = None
        self._pending: dict[str, asyncio.Future[int]] = {}
        self._news = asyncio.Event()
        self._lost_reason: str | None = None
        self._heard_s = 0.0
        self._pings = 0
        self._ending = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process's number while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process; ``started`` and ``ready`` tell how that goes."""
        self._supervisor = asyncio.create_task(
            self._supervise(), name=f"media worker {self.number}"
        )

    async def started(self) -> None:
        """Wait until the system has made the process, or refused to."""
        while self._process is None and self._lost_reason is None:
            await self._news_came()

    def configure(self, configuration: Configure) -> None:
        """Give the worker its ports, now and after every restart."""
        self._configuration = configuration
        self.send(configuration)

    async def ready(self) -> None:
        """Wait until legs may be added.

        Raises:
            WorkerLost: The process ended instead.
        """
        while not self.is_ready:
            if self._lost_reason is not None:
                raise WorkerLost(self.number, self._lost_reason)
            await self._news_came()

    async def add_leg(
        self, leg_id: str, call_sid: str, media: MediaParams | None
    ) -> int:
        """Open a leg and return its RTP port.

        Raises:
            MediaError: No port is free.
            WorkerLost: The worker died or does not answer.
        """
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._pending[leg_id] = answer
        self.legs.add(leg_id)
        self.send(AddLeg(leg_id, call_sid, media))
        try:
            return await answer_within(ADD_LEG_LIMIT_S, answer)
        except TimeoutError as error:
            self._abandon(leg_id)
            raise WorkerLost(self.number, "no answer to AddLeg") from error
        except asyncio.CancelledError:
            self._abandon(leg_id)
            raise
        except EmulatorError:
            self.legs.discard(leg_id)
            raise
        finally:
            del self._pending[leg_id]

    def _abandon(self, leg_id: str) -> None:
        """Nobody waits for this leg any more; the worker may have it or will."""
        self.legs.discard(leg_id)
        self.send(RemoveLeg(leg_id))

    def send(self, command: Command) -> None:
        """Send a command; dropped while there is no process."""
        if self._process is not None:
            self._process.send(command)

    async def drain(self, deadline_s: float) -> None:
        """Let the worker tell its bots and end; kill it after the deadline."""
        self._ending.set()
        self.send(Drain())
        if self._supervisor is not None:
            await asyncio.wait({self._supervisor}, timeout=deadline_s)
        await self.close()

    async def close(self) -> None:
        """End the process; nothing of it is left."""
        self._ending.set()
        if self._process is not None:
            self._process.kill("closed")
        if self._supervisor is not None:
            await asyncio.wait({self._supervisor})
            self._supervisor = None

    async def _news_came(self) -> None:
        self._news.clear()
        await self._news.wait()

    # -- the life of the process --------------------------------------------------

    async def _supervise(self) -> None:
        delay_s = 0.0
        while not await self._must_end_within(delay_s):
            began_s = self._clock.monotonic_s()
            reason = await self._live()
            self._lose(reason)
            if self._clock.monotonic_s() - began_s > SHORT_LIFE_S:
                delay_s = 0.0
            else:
                delay_s = min(
                    max(2 * delay_s, _FIRST_RESTART_DELAY_S), MAX_RESTART_DELAY_S
                )

    async def _must_end_within(self, delay_s: float) -> bool:
        """Wait ``delay_s``, or less when there shall be no other process."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._ending.wait()
        return self._ending.is_set()

    async def _live(self) -> str:
        """Run one process to its end; return why it ended."""
        try:
            process = await start_process(self._receive)
        except OSError as error:
            return f"cannot be started: {error}"
        if self._ending.is_set():
            await process.close()
            return "closed"
        self._process = process
        self._heard_s = self._clock.monotonic_s()
        if self._configuration is not None:
            process.send(self._configuration)
        self._news.set()
        heartbeat = asyncio.create_task(self._watch(process))
        try:
            return await process.ended()
        finally:
            heartbeat.cancel()
            await process.close()
            self._process = None

    async def _watch(self, process: WorkerProcess) -> None:
        """Kill a worker that hangs; one without legs is left alone."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            now_s = self._clock.monotonic_s()
            if not self.legs:
                self._heard_s = now_s
            elif now_s - self._heard_s > HEARTBEAT_LIMIT_S:
                process.kill(f"no answer for {HEARTBEAT_LIMIT_S:g} s")
                return
            else:
                self._pings += 1
                process.send(Ping(self._pings))

    def _lose(self, reason: str) -> None:
        self.is_ready = False
        self._lost_reason = reason
        legs, self.legs = frozenset(self.legs - self._pending.keys()), set()
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(WorkerLost(self.number, reason))
        self._news.set()
        if legs or not self._ending.is_set():
            logger.warning("media worker %d: %s", self.number, reason)
            self._on_lost(self.number, reason, legs)

    def _receive(self, message: Message) -> None:
        self._heard_s = self._clock.monotonic_s()
        match message:
            case LegAdded(leg_id, rtp_port):
                self._answer(leg_id, rtp_port)
            case LegFailed(leg_id, reason):
                self._answer(leg_id, MediaError(reason))
            case Configured():
                self.is_ready = True
                self._lost_reason = None
                self._news.set()
                self._on_ready()
            case Alive() | Pong():
                pass  # That it was heard is what counts.
            case _ if isinstance(message, Report):
                self._pass_on(message)
            case _:
                pass  # A command; no worker sends one.

    def _answer(self, leg_id: str, result: int | MediaError) -> None:
        answer = self._pending.get(leg_id)
        if answer is None or answer.done():
            return
        if isinstance(result, MediaError):
            answer.set_exception(result)
        else:
            answer.set_result(result)

    def _pass_on(self, report: Report) -> None:
        if isinstance(report, LegRemoved):
            self.legs.discard(report.leg_id)
        self._on_report(report)
