"""A phone inside the test: our own caller, driven by what the timeline shows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from emulator.cli.caller import Caller, CallOutcome, CallPlan
from tests.support.processes import Emulator

DEADLINE_S = 20.0
# Longer than any test: a phone hangs up when it is told to.
TALKING_S = 100.0


class Phone:
    """One call of ours: keys and hanging up at the moment that a test wants."""

    def __init__(self, running: Emulator, client: httpx.AsyncClient, plan: CallPlan):
        self._running = running
        self._client = client
        self._sid = asyncio.get_running_loop().create_future()
        self._caller = Caller(plan, on_sid=self._sid.set_result)
        self._call = asyncio.create_task(self._caller.run())
        self.story: list[dict[str, Any]] = []

    async def sid(self) -> str:
        """Return the call's SID, once the emulator has named it."""
        async with asyncio.timeout(DEADLINE_S):
            sid: str = await self._sid
            return sid

    async def until(self, kind: str, **data: Any) -> dict[str, Any]:
        """Return the data of the first event of this kind with these data."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                for entry in self.story:
                    if entry["kind"] == kind and data.items() <= entry["data"].items():
                        found: dict[str, Any] = entry["data"]
                        return found
                if await self._read():
                    kinds = [entry["kind"] for entry in self.story]
                    raise AssertionError(f"no {kind} {data} in {kinds}")

    async def _read(self) -> bool:
        """Read what is new; return whether the story is complete."""
        after = self.story[-1]["number"] if self.story else 0
        answer = await self._client.get(
            f"/calls/{await self.sid()}/timeline", params={"after": after, "wait_s": 1}
        )
        body = answer.json()
        self.story += body["entries"]
        return bool(body["complete"]) and not body["entries"]

    def press(self, digits: str) -> None:
        self._caller.press(digits)

    def hang_up(self) -> None:
        self._caller.hang_up()

    async def over(self) -> list[dict[str, Any]]:
        """Return the whole timeline, once the call is over on both sides."""
        async with asyncio.timeout(DEADLINE_S):
            await self._call
            while not await self._read():
                pass
        return self.story

    async def outcome(self) -> CallOutcome:
        return await self._call

    async def end(self) -> None:
        self._caller.hang_up()
        await asyncio.wait([self._call], timeout=DEADLINE_S)
        self._call.cancel()
        await asyncio.gather(self._call, return_exceptions=True)

    # What the timeline tells.

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [entry["data"] for entry in self.story if entry["kind"] == kind]

    @property
    def way(self) -> list[str]:
        """The exits that were taken: ``node exit``."""
        left = self.events("applet.left")
        return [f"{entry['applet']} {entry['exit']}" for entry in left]


@asynccontextmanager
async def calling(running: Emulator, number: str, **plan: Any) -> AsyncIterator[Phone]:
    """Dial a number; the call is hung up at the end at the latest."""
    uri = f"sip:{number}@127.0.0.1:{running.sip_port}"
    base = f"{running.url}/emulator/v1"
    async with httpx.AsyncClient(base_url=base, timeout=15) as client:
        phone = Phone(running, client, CallPlan(uri, **{"seconds": TALKING_S, **plan}))
        try:
            yield phone
        finally:
            await phone.end()
