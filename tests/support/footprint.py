"""What a running process holds and has used; from ``/proc``, so on Linux only."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Footprint:
    """A process at one moment.

    Attributes:
        files: Open file descriptors, sockets included.
        memory_bytes: Private memory, written or clean; shared libraries left out.
        cpu_s: Processor time since its start, all threads.
    """

    files: int
    sockets: int
    memory_bytes: int
    cpu_s: float


def footprint(pid: int) -> Footprint:
    """Look at a process."""
    links = list(_links(pid))
    return Footprint(
        files=len(links),
        sockets=sum(link.startswith("socket:") for link in links),
        memory_bytes=_private_bytes(pid),
        cpu_s=_cpu_s(pid),
    )


def _links(pid: int) -> list[str]:
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        # One may be closed while we look.
        with contextlib.suppress(OSError):
            found.append(os.readlink(entry))
    return found


def _private_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return 1024 * sum(
        int(line.split()[1]) for line in lines if line.startswith("Private_")
    )


def _cpu_s(pid: int) -> float:
    total_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            total_ns += int((task / "schedstat").read_text().split()[0])
    return total_ns / 1e9
