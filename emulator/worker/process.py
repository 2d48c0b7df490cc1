"""One worker process and the link to it, from its start to its end."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable

from emulator.worker.link import Link
from emulator.worker.messages import Message

# A process whose link has ended is ending too, on a busy machine not at once; its exit
# status tells why.
_EXIT_WAIT_S = 1.0


class WorkerProcess:
    """A running ``python -m emulator.worker``; made by ``start_process``."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        on_message: Callable[[Message], None],
    ) -> None:
        self._process = process
        self._link = Link(on_message, lambda _: self._link_ended.set())
        self._link_ended = asyncio.Event()
        self._kill_reason: str | None = None

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def send(self, message: Message) -> None:
        """Send a message; dropped when the process has gone."""
        self._link.send(message)

    def kill(self, reason: str) -> None:
        """End the process at once; ``ended`` then returns ``reason``."""
        if self._process.returncode is None:
            self._kill_reason = reason
            self._process.kill()

    async def ended(self) -> str:
        """Wait until the process is gone; return why.

        A process that lives on without its link is killed.
        """
        await self._link_ended.wait()
        try:
            async with asyncio.timeout(_EXIT_WAIT_S):
                status = await self._process.wait()
        except TimeoutError:
            self.kill("its link broke")
            status = await self._process.wait()
        return self._kill_reason or _explain(status)

    async def close(self) -> None:
        """Make sure that nothing is left of it."""
        self.kill("closed")
        await self._process.wait()
        self._link.close()

    async def open(self, sock: socket.socket) -> None:
        """Take up the link; called once, by ``start_process``."""
        await self._link.open(sock)


async def start_process(on_message: Callable[[Message], None]) -> WorkerProcess:
    """Start a worker; its first message is ``Alive``.

    Not in our process group, so that Ctrl-C does not kill it before its bots are told.

    Raises:
        OSError: The system cannot start another process.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with theirs:
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "emulator.worker",
                str(theirs.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
    worker = WorkerProcess(process, on_message)
    await worker.open(ours)
    return worker


def _explain(status: int) -> str:
    return f"killed by signal {-status}" if status < 0 else f"exit status {status}"
