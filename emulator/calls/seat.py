"""The place of one party in a call: who sits there, who follows their signalling.

A seat outlives its party: a transfer (REFER) puts somebody else there, on the same
media leg, so that prompts, streams and the other party notice nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from emulator.calls.ending import EndCause, Ending
from emulator.calls.party import Party
from emulator.errors import EmulatorError
from emulator.sip.errors import SessionStateError

logger = logging.getLogger("emulator.calls")

# For the 200 to our BYE, so that the timeline shows it; the SIP layer goes on alone.
SIGNALLING_DEADLINE_S = 2.0

OnEnd = Callable[[EndCause, str], None]


class Seat:
    """Who is on a leg.

    Args:
        on_end: Told when following somebody failed by a bug of ours.
    """

    def __init__(self, party: Party, on_end: OnEnd) -> None:
        self.party = party
        self._on_end = on_end
        self._parties = [party]
        self._followers: dict[asyncio.Task[object], Party] = {}
        self._beside: set[asyncio.Task[object]] = set()

    @property
    def takers(self) -> int:
        """How many have been rung to take the seat."""
        return len(self._parties) - 1

    def follow(self) -> None:
        """Begin to act on the party's signalling."""
        party = self.party
        self._followers[self._start(party, party.follow())] = party

    def beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Let something go on for as long as the seat is taken."""
        task = self._start(self.party, work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    def _start(
        self, party: Party, work: Coroutine[Any, Any, None]
    ) -> asyncio.Task[object]:
        return asyncio.create_task(guarded(party, work, self._on_end))

    def expect(self, party: Party) -> None:
        """Somebody is rung who may take the seat."""
        self._parties.append(party)

    def hand_over(self, party: Party) -> None:
        """Put somebody else here; who sat here is heard no more."""
        self.party.leave()
        party.bye_cause = self.party.bye_cause
        self.party = party
        self.follow()

    def hang_up(self, ending: Ending) -> None:
        """End the sessions of everybody who is or was here."""
        for task in self._beside:
            task.cancel()
        for party in self._parties:
            party.hang_up(ending)

    async def settle(self) -> None:
        """Wait for the peers to confirm the end; leave nothing running."""
        ringing = {task for party in self._parties for task in party.tasks}
        talking = {
            task
            for task, party in self._followers.items()
            if party.session is not None and not party.session.is_ended
        }
        if awaited := ringing | talking:
            await asyncio.wait(awaited, timeout=SIGNALLING_DEADLINE_S)
        tasks = ringing | self._followers.keys() | self._beside
        running = [task for task in tasks if not task.done()]
        for task in running:
            task.cancel()
        if running:
            await asyncio.gather(*running, return_exceptions=True)


async def guarded(party: Party, work: Coroutine[Any, Any, None], on_end: OnEnd) -> None:
    """Do ``work`` for a party; what fails by a bug ends that party's leg alone."""
    try:
        await work
    except SessionStateError as error:
        # The peer ended the session a moment ago: its events tell the rest.
        if party.session is None or not party.session.is_ended:
            _fail(str(error), on_end)
    except EmulatorError as error:
        _fail(str(error), on_end)
    except Exception:
        logger.exception("the call failed")
        on_end(EndCause.EMULATOR_ERROR, "an error inside the emulator; see log")


def _fail(error: str, on_end: OnEnd) -> None:
    logger.error("the call failed: %s", error)
    on_end(EndCause.EMULATOR_ERROR, error)
