"""A party that we call: one attempt after another until somebody answers.

The phones of one person ring at once, and share the leg that their INVITEs offer: who
answers first has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from emulator.calls.causes import DialResult
from emulator.calls.dialing import Attempt, Phone, Route
from emulator.calls.ending import EndCause, Ending
from emulator.calls.fork import Failure, Fork, Outcome
from emulator.calls.leg import Leg
from emulator.calls.media import CallMedia
from emulator.calls.party import Party, PartyListener
from emulator.config import MediaSettings
from emulator.sip.address import Target
from emulator.sip.events import Answered
from emulator.sip.session import CallSession

_END_CAUSES = {
    DialResult.BUSY: EndCause.CALLEE_BUSY,
    DialResult.NO_ANSWER: EndCause.NO_ANSWER,
    DialResult.FAILED: EndCause.DIAL_FAILED,
}
# Of several phones' refusals the one that says most.
_RANK = [DialResult.BUSY, DialResult.NO_ANSWER, DialResult.FAILED]
# To phones that rang in vain (RFC 3326 §3.1).
_ELSEWHERE = ("Reason", 'SIP;cause=200;text="Call completed elsewhere"')


class OutgoingParty(Party):
    """The callee.

    Args:
        takes_early_media: Whether the leg is free for the sound of its ringing.

    Attributes:
        failure: Why nobody answered.
    """

    def __init__(
        self,
        route: Route,
        phone: Phone,
        leg: Leg,
        settings: MediaSettings,
        ring_timeout_s: float,
        listener: PartyListener,
        *,
        takes_early_media: bool = True,
    ) -> None:
        super().__init__(leg, listener, EndCause.CALLEE_BYE)
        self._route = route
        self._phone = phone
        self._settings = settings
        self._ring_timeout_s = ring_timeout_s
        self._takes_early_media = takes_early_media
        self._forks: list[Fork] = []
        self._session: CallSession | None = None
        self._media: CallMedia | None = None
        self._is_up = asyncio.Event()
        self.failure: Failure | None = None

    @property
    def session(self) -> CallSession | None:
        """The session that was answered."""
        return self._session

    @property
    def media(self) -> CallMedia:
        """The offers and answers of the leg."""
        assert self._media is not None
        return self._media

    async def follow(self) -> None:
        """Act on the callee's signalling once it has answered."""
        await self._is_up.wait()
        await super().follow()

    async def establish(self) -> bool:
        """Dial; end the leg with the last failure when nobody answers."""
        for attempts in self._route.rounds():
            failure = await self._ring(attempts)
            if failure is None:
                self._is_up.set()
                return True
            self.failure = failure
            if not failure.try_next:
                break
        assert self.failure is not None, "a route has at least one attempt"
        self._end(_END_CAUSES[self.failure.result], self.failure.text)
        return False

    def hang_up(self, ending: Ending) -> None:
        """End the session, or every INVITE that is still on its way."""
        for fork in self._forks:
            fork.session.hang_up(headers=[ending.reason_header()])

    async def _ring(self, attempts: Sequence[Attempt]) -> Failure | None:
        """Ring all at once; None when one of them has answered."""
        forks = [await self._place(attempt) for attempt in attempts]
        waiting = {asyncio.create_task(fork.outcome()): fork for fork in forks}
        self.tasks |= waiting.keys()
        failures: list[Failure] = []
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when="FIRST_COMPLETED")
            # An answer counts before a refusal that came with it.
            for task in sorted(done, key=lambda task: not _is_answer(task.result())):
                fork = waiting.pop(task)
                self.tasks.discard(task)
                if self._take_outcome(fork, task.result(), failures):
                    return None
                if failures[-1].is_for_all:
                    self._cancel_others(failures[-1])
                    return failures[-1]
        return min(failures, key=lambda failure: _RANK.index(failure.result))

    def _cancel_others(self, failure: Failure) -> None:
        """One phone has spoken for its owner: the others stop (RFC 3261 §16.7)."""
        if not self._forks:
            return
        what = f"{len(self._forks)} more cancelled, as 6xx speaks for all phones"
        self._listener.record("note", text=what)
        reason = f'SIP;cause={failure.status};text="Refused elsewhere"'
        for other in self._forks:
            other.session.hang_up(headers=[("Reason", reason)])

    async def _place(self, attempt: Attempt) -> Fork:
        own_ip = self._phone.advertised_ip_towards(attempt.host)
        media = CallMedia(
            self.leg,
            self._settings,
            own_ip=own_ip,
            source_ip=attempt.host,
            offers_srtp=attempt.srtp,
        )
        offer = await media.open(None)
        session = self._phone.place_call(attempt.invite(offer, self._ring_timeout_s))
        self._listener.placed(session, attempt)
        fork = Fork(attempt, session, media, self._ring_timeout_s, self._progress)
        self._forks.append(fork)
        return fork

    def _take_outcome(
        self, fork: Fork, outcome: Outcome, failures: list[Failure]
    ) -> bool:
        """Take an answer, or note a failure; tell whether it was an answer."""
        if isinstance(outcome, Answered):
            self._answered(fork, outcome)
            return True
        text = f"{fork.attempt.description}: {outcome.text}"
        self._listener.record("note", text=text)
        self._forks.remove(fork)
        failures.append(outcome)
        return False

    def _answered(self, fork: Fork, event: Answered) -> None:
        for other in self._forks:
            if other is not fork:
                other.session.hang_up(headers=[_ELSEWHERE])
        self._session, self._media = fork.session, fork.media
        address = fork.session.remote_address
        self.media.source_ip = (
            address.host if isinstance(address, Target) else address.ip
        )
        self._accept_answer(event.sdp or "")

    def _progress(self, fork: Fork, status: int, sdp: str | None) -> None:
        """A phone rings; early media is its sound."""
        if self._session is not None:
            return
        if status >= 180:
            self._listener.party_rings({"status": status})
        if sdp is not None and self._takes_early_media and len(self._forks) == 1:
            self._media = fork.media
            self._accept_answer(sdp)
            self._listener.early_media()


def _is_answer(outcome: Outcome) -> bool:
    return isinstance(outcome, Answered)
