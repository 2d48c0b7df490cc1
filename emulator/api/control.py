"""``/emulator/v1``: health, calls and their timelines."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Response

from emulator import __version__
from emulator.api.errors import ApiError
from emulator.api.faults import add_faults
from emulator.api.flows import FlowContext, flow_router
from emulator.api.recordings import add_audio
from emulator.api.schemas import (
    CallBody,
    Calls,
    Diagnostics,
    ErrorBody,
    Health,
    LegBody,
    NewCall,
    Readiness,
    TimelineBody,
    TimelineEntry,
)
from emulator.calls.call import Call
from emulator.calls.captures import Captures
from emulator.calls.dialing import NotDialled
from emulator.calls.dialled import DialledLeg
from emulator.calls.manager import CallManager, FlowUnknown
from emulator.faults import FaultBook

# A long poll that lasts longer meets the time-outs of proxies.
MAX_WAIT_S = 30.0
MAX_CALLS = 1000


@dataclass(frozen=True)
class ControlContext:
    """What the routes work on.

    Attributes:
        readiness: Returns each readiness check by name.
        diagnose: Counts what is open now.
        faults: What shall go wrong on purpose.
        captures: What was said in calls.
        token: Needed on every route but health and readiness; None: open.
    """

    calls: CallManager
    readiness: Callable[[], Mapping[str, bool]]
    token: str | None
    diagnose: Callable[[], Diagnostics]
    faults: FaultBook
    flows: FlowContext
    captures: Captures


def control_router(context: ControlContext) -> APIRouter:
    """Return the routes, bound to ``context``."""
    router = APIRouter(
        prefix="/emulator/v1",
        responses={
            401: {"model": ErrorBody, "description": "Token missing or wrong"},
            404: {"model": ErrorBody, "description": "No such call"},
        },
    )
    _add_health(router, context)
    _add_diagnostics(router, context)
    _add_calls(router, context)
    guard = [Depends(_token_check(context))]
    add_audio(
        router,
        lambda sid: context.calls.get(sid) is not None,
        context.captures,
        [Depends(_token_check(context))],
    )
    add_faults(router, context.faults, guard)
    router.include_router(flow_router(context.flows), dependencies=guard)
    return router


def _token_check(context: ControlContext) -> Callable[[str | None], None]:
    def check(authorization: Annotated[str | None, Header()] = None) -> None:
        if context.token is None:
            return
        scheme, _, given = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not secrets.compare_digest(
            given.strip().encode(), context.token.encode()
        ):
            raise ApiError(
                401, "token", "send 'Authorization: Bearer TOKEN' (setting http.token)"
            )

    return check


def _add_health(router: APIRouter, context: ControlContext) -> None:
    @router.get("/health")
    async def health() -> Health:
        """Tell that the process is alive."""
        return Health(version=__version__)

    @router.get("/ready", responses={503: {"model": Readiness}})
    async def ready(response: Response) -> Readiness:
        """Tell whether calls can be taken: 200 or 503, with the single checks."""
        checks = dict(context.readiness())
        is_ready = all(checks.values())
        response.status_code = 200 if is_ready else 503
        return Readiness(ready=is_ready, checks=checks)


def _add_diagnostics(router: APIRouter, context: ControlContext) -> None:
    @router.get("/diagnostics", dependencies=[Depends(_token_check(context))])
    async def diagnostics() -> Diagnostics:
        """Count what is open, in this process and in the media workers.

        With no call for 32 s, everything of a call is back at zero.
        """
        return context.diagnose()


def _add_calls(router: APIRouter, context: ControlContext) -> None:
    guard = [Depends(_token_check(context))]

    @router.get("/calls", dependencies=guard)
    async def calls(limit: Annotated[int, Query(ge=1, le=MAX_CALLS)] = 100) -> Calls:
        """List the calls in memory, newest first."""
        return Calls(
            calls=[_body(context, call) for call in context.calls.newest(limit)]
        )

    @router.post("/calls", status_code=201, dependencies=guard)
    async def place(new: NewCall) -> CallBody:
        """Call a declared user or trunk, and run a flow when it is answered."""
        try:
            faults = [rule.as_rule() for rule in new.faults]
            placed = context.calls.place(
                new.to, new.flow, new.ring_timeout_s, faults, new.custom_field
            )
        except FlowUnknown as error:
            raise ApiError(404, "unknown-flow", str(error)) from error
        except NotDialled as error:
            raise ApiError(409, "not-dialled", str(error)) from error
        return _body(context, placed)

    @router.get("/calls/{sid}", dependencies=guard)
    async def call(sid: str) -> CallBody:
        """Return one call."""
        return _body(context, _find(context, sid))

    @router.get("/calls/{sid}/timeline", dependencies=guard)
    async def timeline(
        sid: str,
        after: Annotated[int, Query(ge=0)] = 0,
        wait_s: Annotated[float, Query(ge=0, le=MAX_WAIT_S)] = 0,
    ) -> TimelineBody:
        """Return the entries after number ``after``.

        With ``wait_s`` the answer waits so long for a first one, unless the call is
        over: a client follows a call by asking again with its last number.
        """
        found = _find(context, sid)
        if wait_s:
            await _wait_for_entry(context, found, after, wait_s)
        return TimelineBody(
            call_sid=found.sid,
            entries=[
                TimelineEntry.model_validate(entry.to_json())
                for entry in found.timeline.since(after)
            ],
            dropped=found.timeline.dropped,
            complete=found.is_over,
        )


async def _wait_for_entry(
    context: ControlContext, call: Call, after: int, wait_s: float
) -> None:
    with context.calls.bus.subscribe() as news:
        try:
            async with asyncio.timeout(wait_s):
                while not call.is_over and not call.timeline.since(after):
                    await news.get()
        except TimeoutError:
            return


def _find(context: ControlContext, sid: str) -> Call:
    call = context.calls.get(sid)
    if call is None:
        raise ApiError(404, "unknown-call", f"no call {sid} in memory")
    return call


def _body(context: ControlContext, call: Call) -> CallBody:
    is_kept = context.captures.find(call.sid).path is not None
    ending = call.ending
    return CallBody(
        sid=call.sid,
        direction=call.direction,
        status=call.status.value,
        from_=call.from_,
        to=call.to,
        flow=call.flow_name,
        applet=call.applet,
        created_at=call.created_at,
        answered_at=call.answered_at,
        ended_at=call.ended_at,
        duration_s=call.duration_s,
        ended_by=ending.by if ending else None,
        cause=ending.cause if ending else None,
        reason=ending.text if ending else None,
        legs=_legs(call),
        timeline=f"/emulator/v1/calls/{call.sid}/timeline",
        audio=f"/emulator/v1/calls/{call.sid}/audio/mix.wav" if is_kept else None,
    )


def _legs(call: Call) -> list[LegBody]:
    ending = call.ending
    first = LegBody(
        sid=call.sid,
        party="callee" if call.direction == "outbound-api" else "caller",
        status=call.status.value,
        from_=call.from_,
        to=call.to,
        answered_at=call.answered_at,
        duration_s=call.duration_s,
        cause=ending.cause if ending else None,
        reason=ending.text if ending else None,
    )
    return [first, *(_leg(call, leg) for leg in call.legs)]


def _leg(call: Call, leg: DialledLeg) -> LegBody:
    ending = leg.ending
    return LegBody(
        sid=leg.sid,
        party="callee",
        status=leg.status.value,
        from_=call.from_,
        to=leg.to,
        answered_at=leg.answered_at,
        duration_s=leg.duration_s,
        cause=ending.cause if ending else None,
        reason=ending.text if ending else None,
    )
