from __future__ import annotations

import asyncio

from emulator.bus import Bus


def test_every_subscriber_gets_every_item_in_order() -> None:
    async def scenario() -> None:
        bus: Bus[int] = Bus()
        with bus.subscribe() as one, bus.subscribe() as two:
            for n in range(3):
                bus.publish(n)
            assert [await one.get() for _ in range(3)] == [0, 1, 2]
            assert [await two.get() for _ in range(3)] == [0, 1, 2]

    asyncio.run(scenario())


def test_a_slow_subscriber_loses_the_oldest_and_is_told() -> None:
    async def scenario() -> None:
        bus: Bus[int] = Bus()
        with bus.subscribe(max_items=2) as slow:
            for n in range(5):
                bus.publish(n)
            assert [await slow.get(), await slow.get()] == [3, 4]
            assert slow.dropped == 3

    asyncio.run(scenario())


def test_get_waits_for_an_item() -> None:
    async def scenario() -> None:
        bus: Bus[str] = Bus()
        with bus.subscribe() as subscription:
            asyncio.get_running_loop().call_soon(bus.publish, "late")
            assert await subscription.get() == "late"
        bus.publish("after leaving")
        assert subscription.dropped == 0

    asyncio.run(scenario())
