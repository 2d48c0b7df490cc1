"""Dialling further parties for the caller: ring them, let one of them talk.

All destinations of a verb ring at once, each on a leg of its own; who answers first
talks to the caller, the others are cancelled. The caller hears music meanwhile.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Literal, cast

from emulator.calls.dialing import NotDialled, find_route
from emulator.calls.dialled import DialledLeg
from emulator.calls.ending import EndCause, Ending
from emulator.calls.leg import Leg, Prompt
from emulator.calls.recordings import LegRecording
from emulator.calls.talking import HOLD_MUSIC, EndedBy, Music, join, talk
from emulator.calls.verbs.dial_events import DialEvents
from emulator.calls.verbs.prompts import Located, locate
from emulator.calls.verbs.stage import Stage, handler, hidden_digits
from emulator.config.telephone import canonical
from emulator.flow.ports import (
    Capability,
    Dial,
    DialResult,
    LegOutcome,
    Playback,
)
from emulator.text import printable

LegStatus = Literal["completed", "busy", "no-answer", "failed", "canceled"]

_MUSIC: dict[str, Prompt] = {
    "default": HOLD_MUSIC,
    "operator_tone": {"tone": "operator_tone"},
}


async def _dial(stage: Stage, verb: Dial) -> DialResult:
    """Ring and talk. A destination that cannot be dialled at all counts for none."""
    connecting = _Connecting(stage, verb)
    connecting.find_legs()
    return await connecting.run()


@dataclass(frozen=True)
class _Talked:
    """What came of the talk."""

    seconds: float
    ended_by: EndedBy
    recording_url: str | None


class _Connecting:
    """One verb being carried out."""

    def __init__(self, stage: Stage, verb: Dial) -> None:
        self._stage = stage
        self._verb = verb
        self._legs: list[DialledLeg] = []
        self._events = DialEvents(stage, verb)
        self._music = Music(stage.leg, self._find_music, "ringing")
        self._is_heard_early = False

    # Whom to ring.

    def find_legs(self) -> None:
        """Prepare a leg for everybody who can be rung; note who cannot."""
        self._note_caller_id()
        for destination in self._verb.destinations:
            try:
                leg = self._leg_to(destination)
            except NotDialled as error:
                self._note(f"{destination} is not dialled: {error}")
                continue
            self._legs.append(leg)
            self._events.watch(leg)
        if len(self._legs) == 1:
            [leg] = self._legs
            leg.on_early_media = partial(self._hear_early, leg)

    def _leg_to(self, destination: str) -> DialledLeg:
        stage, verb = self._stage, self._verb
        services, dialler = stage.services, stage.dialler
        sid = dialler.new_leg_sid()
        is_trunk = destination.startswith("sip:")
        # A trunk is shown the caller, a person the ExoPhone (REST and SIP spec §8.4).
        shown = verb.caller_id or (stage.context.from_ if is_trunk else None)
        identity = dialler.identity(sid, shown)
        route = find_route(services.settings, services.phone, destination, identity)
        if is_trunk or destination.startswith("user:"):
            route = route.with_headers(verb.sip_headers)
        return dialler.dial(route, verb.ring_s, sid)

    def _note_caller_id(self) -> None:
        shown = self._verb.caller_id
        numbers = self._stage.services.settings.numbers
        ours = {canonical(number.number) for number in numbers}
        if shown is not None and canonical(shown) not in ours:
            self._note(
                f"caller id {shown} is no ExoPhone; the platform refuses it (numbers[])"
            )

    # Ringing.

    async def run(self) -> DialResult:
        """Ring, and talk if somebody answers."""
        talked = None
        try:
            if self._legs:
                self._music.start()
                winner = await self._ring()
                talked = await self._talk_to(winner) if winner else None
        finally:
            self._music.stop()
            self._part_early()
            await self._close(*self._end_of_call())
            self._events.finish()
        return self._result(talked)

    async def _find_music(self) -> Prompt | None:
        wanted = self._verb.music_on_hold
        if isinstance(wanted, str):
            return _MUSIC.get(wanted)
        located = await locate(self._stage, wanted)
        if isinstance(located, Located):
            return located.prompt
        self._note(f"no music on hold, the default instead: {located}")
        return HOLD_MUSIC

    def _hear_early(self, leg: DialledLeg) -> None:
        """Let the caller hear the sounds of the only phone that rings."""
        wanted = self._stage.services.settings.calls.connect_early_media
        is_music = self._verb.music_on_hold not in ("operator_tone", "none")
        if self._is_heard_early or wanted == "never" or (is_music and wanted == "tone"):
            return
        self._is_heard_early = True
        self._music.stop()
        leg.leg.start()
        join(self._stage.dialler, leg, early=True)

    def _part_early(self) -> None:
        """What the phone sounded like while it rang is over."""
        if self._is_heard_early:
            self._is_heard_early = False
            self._stage.leg.bridge(None)

    async def _ring(self) -> DialledLeg | None:
        """Ring all; return who answers first. The others are given up."""
        gone = asyncio.create_task(self._stage.caller_gone.wait())
        ringing = {asyncio.create_task(leg.ring()): leg for leg in self._legs}
        try:
            winner = await self._first_answer(ringing, gone)
            for leg in ringing.values():
                if winner is not None:
                    leg.begin_close(EndCause.ANSWERED_ELSEWHERE, "answered elsewhere")
                else:
                    leg.begin_close(*self._end_of_call())
            return winner
        finally:
            for task in (gone, *ringing):
                task.cancel()

    async def _first_answer(
        self,
        ringing: dict[asyncio.Task[bool], DialledLeg],
        gone: asyncio.Task[Literal[True]],
    ) -> DialledLeg | None:
        """Take tasks that ended out of ``ringing`` until one of them was answered."""
        while ringing and not gone.done():
            done, _ = await asyncio.wait(
                {*ringing, gone}, return_when="FIRST_COMPLETED"
            )
            for task in [task for task in ringing if task in done]:
                leg = ringing.pop(task)
                if not task.cancelled() and task.result():
                    return leg
                leg.begin_close(*self._end_of_call())
        return None

    # Talking.

    async def _talk_to(self, callee: DialledLeg) -> _Talked:
        playback = self._verb.playback
        if playback is None or playback.to == "both":
            self._music.stop()
        if playback is not None:
            self._part_early()
            await self._play_back(playback, callee)
        self._music.stop()
        recording = self._record(callee)
        caller, gone = self._stage.dialler, self._stage.caller_gone
        join(caller, callee)
        limit_s = self._verb.talk_s
        with hidden_digits(self._stage.listener, self._verb.record):
            ended_by = await talk(caller, callee, gone, limit_s)
        if recording is not None:
            recording.stop()
        if ended_by == "limit":
            text = f"they talked for {limit_s:g} s, which is the limit"
            callee.end(EndCause.TALK_LIMIT, text)
        callee.begin_close(*self._end_of_call())
        url = recording.url if recording else None
        return _Talked(callee.duration_s, self._blame(ended_by, callee), url)

    def _blame(self, ended_by: EndedBy, callee: DialledLeg) -> EndedBy:
        """A party whose media worker died did not leave."""
        endings = (self._stage.dialler.ending, callee.ending)
        is_lost = any(e is not None and e.kind is EndCause.WORKER_LOST for e in endings)
        return "worker" if is_lost else ended_by

    async def _play_back(self, playback: Playback, callee: DialledLeg) -> None:
        """Play something before they talk, until one of them has gone."""
        legs = [callee.leg]
        if playback.to == "both":
            legs.append(self._stage.leg)
        playing = asyncio.create_task(self._play_all(playback, legs))
        gone = asyncio.create_task(self._stage.caller_gone.wait())
        left = asyncio.create_task(callee.ended.wait())
        try:
            await asyncio.wait({playing, gone, left}, return_when="FIRST_COMPLETED")
        finally:
            for task in (playing, gone, left):
                task.cancel()
            await asyncio.gather(playing, return_exceptions=True)

    async def _play_all(self, playback: Playback, legs: list[Leg]) -> None:
        for source in playback.sources:
            located = await locate(self._stage, source)
            if isinstance(located, str):
                self._note(f"no playback on answer: {located}")
                continue
            await asyncio.gather(
                *(leg.play(located.said, **located.prompt) for leg in legs)
            )

    def _record(self, callee: DialledLeg) -> LegRecording | None:
        """Record both; a second conversation of a call is named after its leg."""
        wanted = self._verb.record
        if wanted is None:
            return None
        stage = self._stage
        sid = callee.sid if stage.has_recorded else stage.context.call_sid
        stage.has_recorded = True
        return stage.services.recordings.start(stage.leg, sid, wanted)

    # The end.

    def _end_of_call(self) -> tuple[EndCause, str]:
        """Return why legs are closed: the call's own end, or that of this verb."""
        ending = self._stage.dialler.ending
        over = Ending(EndCause.FLOW_ENDED, "the connect is over")
        return (ending or over).kind, (ending or over).text

    async def _close(self, kind: EndCause, text: str) -> None:
        await asyncio.gather(*(leg.close(kind, text) for leg in self._legs))

    def _result(self, talked: _Talked | None) -> DialResult:
        legs = tuple(self._outcome(leg) for leg in self._legs)
        if talked is not None:
            return DialResult(
                legs, talked.seconds, talked.ended_by, talked.recording_url
            )
        if not self._stage.caller_gone.is_set():
            return DialResult(legs)
        ending = self._stage.dialler.ending
        is_lost = ending is not None and ending.kind is EndCause.WORKER_LOST
        return DialResult(legs, ended_by="worker" if is_lost else "caller")

    def _outcome(self, leg: DialledLeg) -> LegOutcome:
        return LegOutcome(
            number=leg.to,
            # A leg that has ended has one of these.
            status=cast(LegStatus, leg.status.value),
            talk_s=leg.duration_s,
            cause=leg.cause.name,
            cause_code=leg.cause.value,
        )

    def _note(self, text: str) -> None:
        self._stage.listener.record("note", text=printable(text))


DIAL = handler(Dial, _dial, Capability.DIAL)
