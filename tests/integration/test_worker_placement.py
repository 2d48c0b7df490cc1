"""Several worker processes: calls are spread, a call stays together, one may die."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from emulator.errors import WorkerLost
from emulator.worker.host import MediaError
from tests.integration.test_worker_process import run, running
from tests.support.media_rig import media


def test_a_call_stays_together_on_the_busier_worker() -> None:
    async def scenario() -> None:
        async with running(23500, 23599, workers=2) as rig:
            first = [await rig.pool.add_leg("A0", "CA", media())]
            other = await rig.pool.add_leg("B0", "CB", media())
            first += [await rig.pool.add_leg(f"A{n}", "CA", media()) for n in (1, 2, 3)]
            assert len({port < 23550 for port in first}) == 1
            assert (other < 23550) is not (first[0] < 23550)
            # A new call goes to the other one.
            another = await rig.pool.add_leg("C0", "CC", media())
            assert (another < 23550) is (other < 23550)

    run(scenario())


def test_a_new_call_goes_where_a_port_is_left() -> None:
    async def scenario() -> None:
        # One pair for the first worker, two for the second.
        async with running(23400, 23405, workers=2) as rig:
            ports = {await rig.pool.add_leg(f"{n}", f"C{n}", media()) for n in range(3)}
            assert ports == {23400, 23402, 23404}
            for _ in range(2):
                with pytest.raises(MediaError, match="no even port"):
                    await rig.pool.add_leg("4", "C4", media())
            assert sorted(load.legs for load in rig.pool.loads()) == [1, 2]

    run(scenario())


def test_a_leg_stays_with_its_call_although_another_worker_has_a_port() -> None:
    async def scenario() -> None:
        async with running(23406, 23409, workers=2) as rig:
            await rig.pool.add_leg("A0", "CA", media())
            with pytest.raises(MediaError, match="no even port"):
                await rig.pool.add_leg("A1", "CA", media())
            await rig.pool.add_leg("B0", "CB", media())

    run(scenario())


def test_legs_of_a_new_call_that_are_added_at_once_stay_together() -> None:
    async def scenario() -> None:
        async with running(23600, 23699, workers=3) as rig:
            for call in range(3):
                ports = await asyncio.gather(
                    *(
                        rig.pool.add_leg(f"{call}-{n}", f"C{call}", media())
                        for n in "ab"
                    )
                )
                # The first ports of the second and of the third worker.
                bounds = (23632, 23666)
                assert len({sum(port >= b for b in bounds) for port in ports}) == 1

    run(scenario())


def test_a_dead_worker_takes_its_calls_and_leaves_those_of_the_others() -> None:
    async def scenario() -> None:
        async with running(23700, 23799, workers=2) as rig:
            first = await rig.pool.add_leg("A0", "CA", media())
            await rig.pool.add_leg("B0", "CB", media())
            killed = rig.pool.pids[0 if first < 23750 else 1]
            os.kill(killed, signal.SIGKILL)
            await rig.wait_for(lambda: rig.lost)
            with pytest.raises(
                WorkerLost, match="it died with the other legs of call CA"
            ):
                await rig.pool.add_leg("A1", "CA", media())
            assert await rig.pool.add_leg("B1", "CB", media())
            # It is started again, and takes calls within its own ports.
            await rig.wait_until_all_alive()
            assert killed not in rig.pool.pids
            again = await rig.pool.add_leg("D0", "CD", media())
            assert (again < 23750) is (first < 23750)

    run(scenario())


def test_a_hanging_worker_is_killed_and_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("emulator.worker.supervisor.HEARTBEAT_S", 0.1)
    monkeypatch.setattr("emulator.worker.supervisor.HEARTBEAT_LIMIT_S", 0.5)

    async def scenario() -> None:
        async with running(23800, 23899, workers=2) as rig:
            first = await rig.pool.add_leg("A0", "CA", media())
            hanging = rig.pool.pids[0 if first < 23850 else 1]
            os.kill(hanging, signal.SIGSTOP)
            await rig.wait_for(lambda: rig.lost)
            ((_, _, reason, legs),) = rig.lost
            assert reason == "no answer for 0.5 s"
            assert legs == frozenset({"A0"})
            await rig.wait_until_all_alive()
            assert hanging not in rig.pool.pids

    run(scenario())
