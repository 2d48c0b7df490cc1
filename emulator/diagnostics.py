"""What the emulator holds open at this moment, gathered from every room.

Whoever looks for a leak compares two answers: once no call is up and transactions have
lingered, all that belongs to a call is zero.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from pathlib import Path

from emulator.api.schemas import (
    ControlBody,
    Diagnostics,
    OpenCalls,
    OpenSip,
    ProcessBody,
    WorkerBody,
)
from emulator.calls.manager import CallManager
from emulator.sip.endpoint import SipEndpoint
from emulator.worker.host import WorkerLoad, WorkerPool


def take_diagnostics(
    endpoint: SipEndpoint, calls: CallManager, pool: WorkerPool
) -> Diagnostics:
    """Look everywhere; costs milliseconds, most of it for the lists of files."""
    control = _process(os.getpid())
    return Diagnostics(
        sip=OpenSip.model_validate(endpoint.counts()),
        calls=OpenCalls.model_validate(calls.counts()),
        control=ControlBody(
            **control.model_dump(),
            tasks=len(asyncio.all_tasks()),
            threads=threading.active_count(),
        ),
        workers=[_worker(load) for load in pool.loads()],
    )


def _worker(load: WorkerLoad) -> WorkerBody:
    return WorkerBody(
        number=load.number,
        legs=load.legs,
        streams=load.streams,
        process=None if load.pid is None else _process(load.pid),
    )


def _process(pid: int) -> ProcessBody:
    """Ask Linux about a process; a system without ``/proc`` tells nothing."""
    links = _open_files(Path(f"/proc/{pid}/fd"))
    memory = _memory_bytes(Path(f"/proc/{pid}/status"))
    return ProcessBody(
        pid=pid,
        resident_bytes=memory.get("VmRSS"),
        own_bytes=memory.get("RssAnon"),
        files=None if links is None else len(links),
        sockets=None if links is None else sum(s.startswith("socket:") for s in links),
    )


def _open_files(folder: Path) -> list[str] | None:
    """Return what every descriptor leads to, but for the one that lists them."""
    links: list[str] = []
    try:
        for entry in folder.iterdir():
            # The listing's own descriptor, or one that was closed meanwhile.
            with contextlib.suppress(FileNotFoundError):
                links.append(os.readlink(entry))
    except OSError:
        return None
    return links


def _memory_bytes(status: Path) -> dict[str, int]:
    """Return the fields of a process's status that are sizes."""
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return {}
    sizes = [line.split() for line in lines if line.endswith(" kB")]
    return {name.rstrip(":"): 1024 * int(size) for name, size, _ in sizes}
