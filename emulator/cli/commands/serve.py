"""``serve``: run the emulator until a signal, then end its calls in order."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import uvloop

from emulator.cli import tidying
from emulator.errors import ExitStatus
from emulator.events import JsonValue
from emulator.logs import log_loop_error
from emulator.service import ServeOptions, Service

BOT_PORTS = (5001, 5002)


def run(
    *,
    config: Path | None,
    flows: Path | None,
    sip_port: int | None,
    http_port: int | None,
    bind: str | None,
    with_bots: bool,
    ephemeral: bool,
) -> ExitStatus:
    """Serve; return when the calls are ended after SIGINT or SIGTERM."""
    options: dict[str, tuple[str, JsonValue]] = {}
    if flows is not None:
        options["flow.directory"] = ("--flows", str(flows))
    if sip_port is not None:
        options["sip.port"] = ("--sip-port", sip_port)
        # TLS keeps its distance, as 5061 does from 5060.
        options["sip.tls_port"] = ("--sip-port", sip_port and sip_port + 1)
    if http_port is not None:
        options["http.port"] = ("--http-port", http_port)
    if bind is not None:
        for section in ("sip", "media", "http"):
            options[f"{section}.bind"] = ("--bind", bind)
    with _data_place(options) if ephemeral else nullcontext():
        serve_options = ServeOptions(config=config, options=options, env=os.environ)
        # A quarter of a call's cost in this process is the standard library's loop.
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.get_loop().set_exception_handler(log_loop_error)
            return runner.run(_serve(Service(serve_options), with_bots))


@contextmanager
def _data_place(options: dict[str, tuple[str, JsonValue]]) -> Iterator[None]:
    """Let the data be in a directory that is there only meanwhile."""
    with tempfile.TemporaryDirectory(prefix="exotel-emulator-") as directory:
        options["data_dir"] = ("--ephemeral", directory)
        yield


async def _serve(service: Service, with_bots: bool) -> ExitStatus:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    if not await _started(service, stopping):
        return ExitStatus.OK
    tidying.prepare()
    _announce(service)
    bots = await _start_bots() if with_bots else []
    tidier = asyncio.create_task(tidying.tidy_when_idle(service), name="tidying")
    try:
        await stopping.wait()
        print("stopping: ending calls", file=sys.stderr)
        # A second signal takes the default action: it ends the process at once.
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        cut = await service.stop()
    finally:
        tidier.cancel()
        for bot in bots:
            bot.terminate()
            await bot.wait()
    if cut:
        print(f"{cut} calls did not end in time and were cut", file=sys.stderr)
    return ExitStatus.OK


async def _started(service: Service, stopping: asyncio.Event) -> bool:
    """Start; False when a signal came first, which leaves nothing behind."""
    start = asyncio.create_task(service.start())
    signalled = asyncio.create_task(stopping.wait())
    await asyncio.wait([start, signalled], return_when=asyncio.FIRST_COMPLETED)
    signalled.cancel()
    if not start.done():
        start.cancel()
        await asyncio.gather(start, return_exceptions=True)
        return False
    await start
    return True


async def _start_bots() -> list[asyncio.subprocess.Process]:
    """Start an echo bot on each port that is free; where one listens, it is used."""
    bots = []
    for port in BOT_PORTS:
        if _is_taken(port):
            print(f"bot   port {port} is taken: calls go to whoever listens there")
        else:
            bots.append(await _start_bot(port))
    return bots


async def _start_bot(port: int) -> asyncio.subprocess.Process:
    """Start an echo bot in a process of its own.

    Not in our process group: Ctrl-C must not end it before it has seen ``stop``. It
    ends with us all the same, because its standard input closes then.
    """
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "emulator", "bot", "echo", "--port", str(port),
        "--with-parent", stdin=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def _is_taken(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _announce(service: Service) -> None:
    """Print one line per listener, what to dial, and the time it took."""
    for listener in service.listeners:
        print(f"SIP   {listener.transport:<4} {listener.ip}:{listener.port}")
    http = service.settings.http
    print(f"HTTP  http://{http.bind}:{service.http.port}/emulator/v1/ready")
    media = service.settings.media
    print(f"RTP   udp  {media.bind}:{media.rtp_range[0]}-{media.rtp_range[1]}")
    if service.token is not None and http.token is None:
        print(f"token {service.token} (set http.token to choose your own)")
    host = (
        "127.0.0.1"
        if service.settings.sip.bind == "0.0.0.0"
        # noqa: S104
        else (service.settings.sip.bind)
    )
    port = service.listeners[0].port
    for number in service.settings.numbers:
        print(f"dial  sip:{number.number}@{host}:{port}  -> flow {number.flow}")
    for warning in service.warnings:
        print(f"warning: {warning}")
    print(f"ready after {_process_age_s():.2f} s", flush=True)


def _process_age_s() -> float:
    """Return seconds since this process was started, interpreter start included."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started_s
    except (OSError, AttributeError, IndexError, ValueError):
        # Not Linux: processor time is the nearest that the standard library has.
        return time.process_time()
