"""``/emulator/v1/flows`` and ``/outbox``: flows read again, and what they send."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Protocol

from fastapi import APIRouter, Query, Response
from pydantic import Field

from emulator.api.schemas import Body, ErrorDetail
from emulator.calls.outbox import Outbox
from emulator.errors import ConfigError, Problem


class LoadedFlow(Protocol):
    """A flow, as far as it is listed."""

    @property
    def flow(self) -> str:
        """Its name."""

    @property
    def app_id(self) -> str:
        """The platform's id of it."""

    @property
    def applets(self) -> Mapping[str, object]:
        """Its nodes."""


@dataclass(frozen=True)
class FlowContext:
    """What the routes work on.

    Attributes:
        flows: Returns those that calls take now.
        reload: Reads the files again and returns the traps found; raises
            ``ConfigError`` when they cannot be used.
    """

    flows: Callable[[], Iterable[LoadedFlow]]
    reload: Callable[[], Awaitable[Iterable[Problem]]]
    outbox: Outbox


class FlowBody(Body):
    """One flow."""

    flow: str
    app_id: str
    applets: int = Field(description="How many applets it has.")


class FlowsBody(Body):
    """The flows that calls take from now on."""

    flows: list[FlowBody]
    warnings: list[str] = Field(description="Traps: file, line, column, what and why.")


class RefusedFlows(Body):
    """Why the files cannot be used; calls go on with the flows that they had."""

    error: ErrorDetail
    problems: list[str] = Field(description="Every problem of every file.")


class MessageBody(Body):
    """An SMS or email that a flow sent; nothing left the machine."""

    number: int = Field(description="Counts from 1 without holes.")
    kind: str = Field(description="sms or email")
    call_sid: str
    at: datetime
    to: str
    subject: str
    body: str


class OutboxBody(Body):
    """Messages, oldest first."""

    messages: list[MessageBody]


def flow_router(context: FlowContext) -> APIRouter:
    """Return the routes, bound to ``context``."""
    router = APIRouter()

    @router.get("/flows")
    async def flows() -> FlowsBody:
        """List the flows that calls take now."""
        return _body(context.flows(), ())

    @router.post("/flows/reload", responses={422: {"model": RefusedFlows}})
    async def reload(response: Response) -> FlowsBody | RefusedFlows:
        """Read the flow files again; calls that run keep the flows they began with."""
        try:
            warnings = await context.reload()
        except ConfigError as error:
            response.status_code = 422
            return RefusedFlows(
                error=ErrorDetail(code="flows", message=error.message),
                problems=[str(problem) for problem in error.problems],
            )
        return _body(context.flows(), warnings)

    @router.get("/outbox")
    async def outbox(
        call_sid: Annotated[str | None, Query(description="Of one call only.")] = None,
    ) -> OutboxBody:
        """List the SMS and emails that flows sent, oldest first."""
        found = context.outbox.messages(call_sid)
        return OutboxBody(
            messages=[
                MessageBody.model_validate(m, from_attributes=True) for m in found
            ]
        )

    return router


def _body(flows: Iterable[LoadedFlow], warnings: Iterable[Problem]) -> FlowsBody:
    return FlowsBody(
        flows=[
            FlowBody(flow=flow.flow, app_id=flow.app_id, applets=len(flow.applets))
            for flow in flows
        ],
        warnings=[str(warning) for warning in warnings],
    )
