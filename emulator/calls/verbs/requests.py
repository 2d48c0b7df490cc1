"""Requests to a customer's server, waited for or not."""

from __future__ import annotations

from emulator.calls.verbs.stage import Stage, handler, unless_gone
from emulator.flow.ports import Capability, Fetch, FetchResult


async def _fetch(stage: Stage, verb: Fetch) -> FetchResult:
    if verb.purpose == "passthru" and stage.leg.has_fault("webhook_twice"):
        stage.listener.record("fault.acted", fault="webhook_twice")
        stage.beside.create_task(_send(stage, verb))
    if not verb.is_awaited:
        stage.beside.create_task(_send(stage, verb))
        return FetchResult(None)
    asking = stage.services.webhooks.fetch(verb, stage.listener)
    answer = await unless_gone(stage, asking)
    if answer is None:
        return FetchResult(None, error="the caller left before it came")
    return FetchResult(
        answer.status,
        answer.content_type,
        answer.body.decode("utf-8", "replace"),
        answer.error,
        answer.is_cut,
    )


async def _send(stage: Stage, verb: Fetch) -> None:
    """Send a request whose answer is for the timeline alone."""
    async with stage.unawaited_requests:
        await stage.services.webhooks.fetch(verb, stage.listener)


FETCH = handler(Fetch, _fetch, Capability.FETCH)
