"""What the benches share: processes on cores, and what the kernel says of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def cores() -> tuple[set[int], set[int]]:
    """The worker's core, and that of load and bot."""
    available = sorted(os.sched_getaffinity(0))
    return {available[0]}, {available[-1]}


def cpu_s(pid: int) -> float:
    """CPU time of every thread of a process, from the scheduler."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((t / "schedstat").read_text().split()[0]) for t in tasks) / 1e9


def memory_kb(pid: int) -> int:
    """Memory that a process has in use."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def facts() -> dict[str, Any]:
    """What figures of this machine should be read with."""
    processor = next(
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    return {
        "machine": platform.platform(),
        "processor": processor,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@asynccontextmanager
async def child(
    *command: str, core: set[int], ready: str | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python process on a core; waits for the line ``ready``, ends it after use."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE
    )
    os.sched_setaffinity(process.pid, core)
    assert process.stdout is not None
    try:
        while ready is not None:
            line = await process.stdout.readline()
            if line.decode().strip() == ready:
                break
            if not line:
                raise SystemExit(f"{str(command)[:80]}: ended before it was ready")
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def result_of(*command: str, core: set[int]) -> dict[str, Any]:
    """Run a Python process to its end; return the JSON that it prints."""
    async with child(*command, core=core) as process:
        return await printed_by(process)


async def printed_by(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """Wait for the end of a process; return the JSON that it printed last."""
    out, _ = await process.communicate()
    if not out:
        raise SystemExit("a process of the bench ended without a result")
    result: dict[str, Any] = json.loads(out.splitlines()[-1])
    return result


async def last_words(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """End a process; return the JSON that it prints then, or nothing."""
    process.terminate()
    out, _ = await process.communicate()
    lines = out.splitlines()
    words: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    return words
