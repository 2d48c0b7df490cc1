"""Publish and subscribe, with a bounded queue per subscriber.

A subscriber that does not keep up loses its oldest items and is told how many; it never
holds up a call.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")

# A page or a poller that is this far behind has stopped reading.
DEFAULT_QUEUE_ITEMS = 1000


class Subscription(Generic[T]):
    """One subscriber's queue; close it (or use ``with``) to leave the bus."""

    def __init__(self, bus: Bus[T], max_items: int) -> None:
        self._bus = bus
        self._queue: deque[T] = deque(maxlen=max_items)
        self._arrived = asyncio.Event()
        self.dropped = 0

    def put(self, item: T) -> None:
        """Queue ``item``; the oldest goes when the queue is full."""
        if len(self._queue) == self._queue.maxlen:
            self.dropped += 1
        self._queue.append(item)
        self._arrived.set()

    async def get(self) -> T:
        """Return the next item; wait for one if there is none."""
        while not self._queue:
            self._arrived.clear()
            await self._arrived.wait()
        return self._queue.popleft()

    def close(self) -> None:
        """Leave the bus."""
        self._bus.remove(self)

    def __enter__(self) -> Subscription[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Bus(Generic[T]):
    """Hands every published item to every subscriber."""

    def __init__(self) -> None:
        self._subscribers: set[Subscription[T]] = set()

    def subscribe(self, max_items: int = DEFAULT_QUEUE_ITEMS) -> Subscription[T]:
        """Return a new subscription; it sees what is published from now on."""
        subscription = Subscription(self, max_items)
        self._subscribers.add(subscription)
        return subscription

    def remove(self, subscription: Subscription[T]) -> None:
        """Forget a subscription; unknown ones are ignored."""
        self._subscribers.discard(subscription)

    def publish(self, item: T) -> None:
        """Queue ``item`` for every subscriber."""
        for subscription in self._subscribers:
            subscription.put(item)
