"""Which RTP sockets have something to read: epoll, or kqueue where there is none.

A poller of our own, drained once per tick: the event loop would run a callback per
packet and wake the process for each.
"""

from __future__ import annotations

import select
import sys
from collections.abc import Iterable
from typing import Protocol

# More sockets than one worker has legs; the rest waits for the next tick.
_MAX_EVENTS = 4096


class Poller(Protocol):
    """Watches file descriptors for input, level-triggered."""

    def register(self, fd: int) -> None:
        """Watch ``fd``."""

    def unregister(self, fd: int) -> None:
        """Watch ``fd`` no longer; call it before closing."""

    def ready(self) -> Iterable[tuple[int, int]]:
        """Return the descriptors to read, first of each pair, without waiting."""

    def fileno(self) -> int:
        """Return a descriptor that is readable while one of ours is."""

    def close(self) -> None:
        """Release the kernel's object."""


if sys.platform == "linux":

    class EpollPoller:
        """Linux."""

        def __init__(self) -> None:
            self._epoll = select.epoll()

        def register(self, fd: int) -> None:
            self._epoll.register(fd, select.EPOLLIN)

        def unregister(self, fd: int) -> None:
            self._epoll.unregister(fd)

        def ready(self) -> Iterable[tuple[int, int]]:
            return self._epoll.poll(0, _MAX_EVENTS)

        def fileno(self) -> int:
            return self._epoll.fileno()

        def close(self) -> None:
            self._epoll.close()

    def make_poller() -> Poller:
        """Return the poller of this system."""
        return EpollPoller()

else:

    class KqueuePoller:
        """macOS and the BSDs."""

        def __init__(self) -> None:
            self._kqueue = select.kqueue()

        def register(self, fd: int) -> None:
            self._change(fd, select.KQ_EV_ADD)

        def unregister(self, fd: int) -> None:
            self._change(fd, select.KQ_EV_DELETE)

        def ready(self) -> Iterable[tuple[int, int]]:
            events = self._kqueue.control(None, _MAX_EVENTS, 0)
            return [(event.ident, event.filter) for event in events]

        def fileno(self) -> int:
            return self._kqueue.fileno()

        def close(self) -> None:
            self._kqueue.close()

        def _change(self, fd: int, flags: int) -> None:
            event = select.kevent(fd, select.KQ_FILTER_READ, flags)
            self._kqueue.control([event], 0)

    def make_poller() -> Poller:
        """Return the poller of this system."""
        return KqueuePoller()
