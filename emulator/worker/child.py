"""The worker process: one engine, one loop, one link to control.

``python -m emulator.worker FD`` (``host`` starts it). It ends when control says
``Drain`` or when the link breaks: always after its bots have been told. Signals are for
control.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
from typing import Any

import uvloop

from emulator.clock import Clock, SystemClock
from emulator.ids import IdSource
from emulator.logs import log_loop_error, set_up_logging
from emulator.rtp.ports import RtpPorts
from emulator.stream.client import StreamClient
from emulator.stream.interface import StreamRequest
from emulator.stream_options import StreamOptions
from emulator.worker.background import ThreadBackground
from emulator.worker.engine import Engine, make_options
from emulator.worker.link import Link
from emulator.worker.messages import (
    Alive,
    Command,
    Configure,
    Configured,
    Drain,
    Message,
    OpenStream,
    Ping,
    Pong,
    field_names,
)
from emulator.worker.surroundings import (
    BotStream,
    StreamDialer,
    StreamSink,
    Surroundings,
)
from emulator.worker.ticker import Ticker

# How long streams may take for their last words when the process must end.
DRAIN_LIMIT_S = 3.0
# After so long a thread that decodes or writes audio gives way to the tick. At Python's
# default of 5 ms a busy thread made the median packet 5 ms late.
GIL_SWITCH_S = 0.0005
# What bots hear when control has gone without a ``Drain``.
_END_REASON = "callended"


class Worker:
    """Wires the engine to the loop; obeys what is the host's own affair."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._link = Link(self._receive, lambda _: self._end())
        self._engine: Engine | None = None
        self._ticker: Ticker | None = None
        self._end_reason: str | None = None
        self._must_end = asyncio.Event()
        self._is_idle = asyncio.Event()

    async def run(self, sock: socket.socket) -> None:
        """Serve until told to end."""
        await self._link.open(sock, greeting=Alive(os.getpid()))
        await self._must_end.wait()
        await self._end_calls()
        self._link.close()

    def _receive(self, message: Message) -> None:
        match message:
            case Ping(number):
                self._link.send(Pong(number))
            case Configure():
                self._configure(message)
            case Drain(reason):
                self._end(reason)
            case _ if isinstance(message, Command):
                self._obey(message)
            case _:
                pass  # A report; no host sends one.

    def _configure(self, command: Configure) -> None:
        ids = IdSource()
        low, high = command.rtp_port_min, command.rtp_port_max
        around = Surroundings(
            clock=self._clock,
            ids=ids,
            report=self._link.send,
            background=ThreadBackground(),
            dial=stream_dialer(self._clock, ids),
            options=make_options(command.options),
        )
        ports = RtpPorts(command.bind_ip, low, high, ids)
        self._engine = Engine(ports, around, wake=lambda: ticker.start())
        self._ticker = ticker = Ticker(self._engine, on_idle=self._is_idle.set)
        # What is there now stays: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        self._link.send(Configured())

    def _obey(self, command: Command) -> None:
        if self._engine is not None and self._end_reason is None:
            self._engine.handle(command)

    def _end(self, reason: str = _END_REASON) -> None:
        if self._end_reason is None:
            self._end_reason = reason
            self._must_end.set()

    async def _end_calls(self) -> None:
        """Tell every bot, wait for their streams, release the sockets."""
        engine, ticker = self._engine, self._ticker
        if engine is None or ticker is None:
            return
        self._is_idle.clear()
        engine.remove_all(self._end_reason or _END_REASON)
        if not engine.is_idle:
            try:
                async with asyncio.timeout(DRAIN_LIMIT_S):
                    await self._is_idle.wait()
            except TimeoutError:
                pass  # The process ends, and with it every socket.
        ticker.close()
        engine.close()


def stream_dialer(clock: Clock, ids: IdSource) -> StreamDialer:
    """Return the dialer that makes real streams."""

    def dial(command: OpenStream, sink: StreamSink) -> BotStream:
        request = StreamRequest(
            stream_sid=command.stream_sid,
            call_sid=command.call_sid,
            account_sid=command.account_sid,
            url=command.url,
            from_=command.from_,
            to=command.to,
            custom_parameters=command.custom_parameters,
            sample_rate_hz=command.sample_rate_hz,
            codec=command.codec,
            two_way=command.two_way,
            faults=command.faults,
            hide_digits=command.hide_digits,
        )
        return StreamClient(request, _stream_options(command), sink, clock, ids)

    return dial


def _stream_options(command: OpenStream) -> StreamOptions:
    """Of the command's options those that are the stream's; others are the engine's.

    Raises:
        ConfigError: A value is out of its range.
    """
    known = field_names(StreamOptions)
    values: dict[str, Any] = {
        name: value for name, value in command.options.items() if name in known
    }
    return StreamOptions(**values)


def main(fd: int) -> None:
    """Run one worker on the link ``fd`` until it has to end."""
    # Terminals and service managers signal every process of a group. Control ends its
    # calls first and then drains us; without control the link's end is the sign.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    set_up_logging("WARNING", "console")
    sys.setswitchinterval(GIL_SWITCH_S)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.get_loop().set_exception_handler(log_loop_error)
        runner.run(Worker().run(socket.socket(fileno=fd)))
