"""Simulated people: real SIP and RTP, answered inside.

A call to a subscriber leaves over the loopback and comes back to our own listener; its
Call-ID tells that it is ours. So timeline, media and bridge are those of any phone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from emulator.calls.dialing import Attempt
from emulator.calls.ending import EndCause, Ending
from emulator.calls.incoming import IncomingParty
from emulator.calls.leg import Leg
from emulator.calls.party import Party
from emulator.calls.seat import Seat, guarded
from emulator.calls.services import CallServices
from emulator.calls.switchboard import Switchboard
from emulator.config import SubscriberSettings
from emulator.events import JsonValue
from emulator.sip.events import ReferReceived
from emulator.sip.session import CallSession, IncomingInvite

logger = logging.getLogger("emulator.calls")

BUSY, DECLINE = 486, 603


class Subscribers:
    """Everybody who is simulated."""

    def __init__(self, services: CallServices, switchboard: Switchboard) -> None:
        self._services = services
        self._switchboard = switchboard
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> int:
        """How many of them have a call."""
        return len(self._tasks)

    def be_called(self, who: SubscriberSettings, invite: IncomingInvite) -> None:
        """Let a subscriber's phone ring."""
        sid = self._services.ids.sid(self._services.clock.utc())
        person = _Person(sid, who, invite, self._services)
        self._switchboard.plug(person.leg)
        task = asyncio.create_task(self._live(person), name=f"subscriber {sid}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _live(self, person: _Person) -> None:
        try:
            await person.live()
        finally:
            self._switchboard.unplug(person.leg)

    async def drain(self) -> None:
        """Let nobody go on; their calls have ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Person:
    """One subscriber in one call; the timeline is that of who calls."""

    def __init__(
        self,
        sid: str,
        who: SubscriberSettings,
        invite: IncomingInvite,
        services: CallServices,
    ) -> None:
        self.leg = Leg(sid, sid, services.workers, self)
        self._who = who
        self._invite = invite
        self._ended = asyncio.Event()
        self._ending = Ending(EndCause.CALLEE_BYE, "the subscriber hangs up")
        self._party = IncomingParty(
            invite, self.leg, services.settings.media,
            round(who.answers_after_s * 1000), sid, self,
        )  # fmt: skip
        self._seat = Seat(self._party, self.end)

    async def live(self) -> None:
        """Ring, answer, speak, and hang up."""
        self._seat.follow()
        acting = asyncio.create_task(guarded(self._party, self._act(), self.end))
        try:
            await self._ended.wait()
        finally:
            acting.cancel()
            await asyncio.gather(acting, return_exceptions=True)
            self._seat.hang_up(self._ending)
            await self.leg.remove("callended")
            await self._seat.settle()

    async def _act(self) -> None:
        if self._who.busy:
            self._decline(BUSY)
        elif self._who.rejects or self._who.no_answer:
            self._party.ring({})
            await self._ignore()
            self._decline(DECLINE)
        elif await self._party.establish():
            await self._talk()

    async def _ignore(self) -> None:
        """Let it ring; somebody who does not answer waits for the caller to give up."""
        if self._who.no_answer:
            await self._ended.wait()
        await asyncio.sleep(self._who.answers_after_s)

    def _decline(self, status: int) -> None:
        self._invite.session.reject(status)
        self.end(EndCause.REJECTED, "the subscriber declines")

    async def _talk(self) -> None:
        self.leg.start()
        if self._who.presses:
            self.leg.send_digits(self._who.presses)
        speaking = asyncio.create_task(self._speak())
        try:
            async with asyncio.timeout(self._who.hangs_up_after_s):
                await self._ended.wait()
        except TimeoutError:
            self.end(EndCause.CALLEE_BYE, "the subscriber hangs up")
        finally:
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)

    async def _speak(self) -> None:
        if self._who.plays is None:
            return
        played = await self.leg.play({}, path=self._who.plays)
        if played.outcome == "failed":
            logger.warning(
                "subscriber %s plays nothing: %s", self._who.number, played.error
            )

    # What party and leg tell.

    def end(self, kind: EndCause, text: str) -> None:
        """The call is over."""
        self._ended.set()

    def record(
        self,
        kind: str,
        data: Mapping[str, JsonValue] | None = None,
        /,
        *,
        at_s: float | None = None,
        **more: JsonValue,
    ) -> None:
        """The timeline is that of the leg that calls."""

    def digit_pressed(self, leg: Leg, digit: str) -> None:
        """Heard; nobody reacts."""

    def rtp_silent(self, leg: Leg, silent_s: float) -> None:
        """The other side looks after that."""

    def worker_lost(self, leg: Leg, reason: str) -> None:
        """The phone is dead."""
        self.end(EndCause.WORKER_LOST, reason)

    def party_rings(self, data: Mapping[str, JsonValue]) -> None:
        """It is our own phone that rings."""

    def early_media(self) -> None:
        """Nobody is called by a subscriber."""

    def hold_changed(self, *, is_held: bool) -> None:
        """Waits patiently."""

    def placed(self, session: CallSession, attempt: Attempt) -> None:
        """Nobody is called by a subscriber."""

    def asked_to_transfer(self, event: ReferReceived, party: Party) -> None:
        """Nobody transfers who has called us by the loopback."""
        self._invite.session.reject_refer(603)
