"""Bodies of the control API."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from emulator.config.faults import MAX_RULES, AnyRule


class Body(BaseModel):
    """What every body is; built for the first request that needs it."""

    model_config = ConfigDict(defer_build=True)


class Health(Body):
    """The process is alive."""

    status: str = "ok"
    version: str


class Readiness(Body):
    """Whether calls can be taken, and what is missing."""

    ready: bool
    checks: dict[str, bool] = Field(description="Name of the check and its outcome.")


class OpenSip(Body):
    """What the SIP stack holds open; transactions linger 32 s after their call."""

    transactions: int = Field(description="All of the four kinds below.")
    invite_client: int
    non_invite_client: int
    invite_server: int
    non_invite_server: int
    dialogs: int
    sessions: int
    registrations: int = Field(description="Phones, not users.")
    connections: int = Field(description="TCP and TLS.")
    timers: int
    mailboxes: int = Field(description="Sessions whose end has not been told yet.")


class OpenCalls(Body):
    """What the calls hold."""

    active: int
    kept: int = Field(description="In memory; calls.keep_ended bounds the ended ones.")
    taken: int = Field(description="Since the start, refused ones too.")
    legs: int = Field(description="Parties, those of subscribers too.")
    subscribers: int = Field(description="Simulated people who have a call.")
    call_ids: int = Field(description="Call-IDs whose messages belong to a kept call.")
    early_traces: int = Field(description="SIP messages of no call, so far.")


class ProcessBody(Body):
    """One process, as the system sees it; null where it does not tell (macOS)."""

    pid: int
    resident_bytes: int | None = Field(description="Libraries included.")
    own_bytes: int | None = Field(description="Resident and of this process alone.")
    files: int | None = Field(description="Open file descriptors, sockets included.")
    sockets: int | None


class ControlBody(ProcessBody):
    """The control process."""

    tasks: int = Field(description="Of asyncio, the one of this answer included.")
    threads: int


class WorkerBody(Body):
    """A media worker; without a process while it is being started again."""

    number: int
    legs: int
    streams: int
    process: ProcessBody | None


class Diagnostics(Body):
    """What is open and what it takes."""

    sip: OpenSip
    calls: OpenCalls
    control: ControlBody
    workers: list[WorkerBody]


class LegBody(Body):
    """One party of a call."""

    sid: str = Field(description="Of the first party: the call's SID.")
    party: Literal["caller", "callee"]
    status: str
    from_: str = Field(serialization_alias="from")
    to: str
    answered_at: datetime | None
    duration_s: float = Field(description="From answer to end, or to now.")
    cause: str | None = Field(description="Short name of what ended it.")
    reason: str | None = Field(description="The same in one line for people.")


class CallBody(Body):
    """One call."""

    sid: str
    direction: str
    status: str
    from_: str = Field(serialization_alias="from")
    to: str
    flow: str | None
    applet: str | None = Field(description="The applet that has the call now.")
    created_at: datetime
    answered_at: datetime | None
    ended_at: datetime | None
    duration_s: float = Field(description="From answer to end, or to now.")
    ended_by: str | None = Field(description="caller, platform, or null while it lasts")
    cause: str | None = Field(description="Short name of what ended the call.")
    reason: str | None = Field(description="The same in one line for people.")
    legs: list[LegBody] = Field(
        description="The call's parties, the first one first. Entries of the timeline "
        "about any other carry its SID as `leg`."
    )
    timeline: str = Field(description="Path of the timeline.")
    audio: str | None = Field(
        description="Path of what was said, both ways mixed; caller.wav and bot.wav "
        "stand beside it. Null: not kept."
    )


class NewCall(Body):
    """A call to place."""

    model_config = ConfigDict(extra="forbid")

    to: str = Field(
        description="user:<name>, the number of a declared user or subscriber, or "
        "sip:<trunk>."
    )
    flow: str = Field(description="The flow that runs when it is answered.")
    ring_timeout_s: float = Field(60.0, gt=0, le=600)
    custom_field: str | None = Field(
        None, max_length=1000, description="Webhooks are told it as `CustomField`."
    )
    faults: list[AnyRule] = Field(
        [],
        max_length=MAX_RULES,
        description="What shall go wrong with this call, beside the rules in force.",
    )


class Calls(Body):
    """Calls, newest first."""

    calls: list[CallBody]


class TimelineEntry(Body):
    """One event of a call."""

    number: int = Field(description="Counts from 1 without holes.")
    offset_ms: float = Field(description="Since the call was created.")
    monotonic_s: float
    at: str = Field(description="UTC.")
    kind: str
    data: dict[str, Any]


class TimelineBody(Body):
    """A part of a timeline."""

    call_sid: str
    entries: list[TimelineEntry]
    dropped: int = Field(description="Entries lost from the middle of a full timeline.")
    complete: bool = Field(description="The call is over: nothing will be added.")


class ErrorDetail(Body):
    """What went wrong."""

    code: str
    message: str


class ErrorBody(Body):
    """Every error of the control API."""

    error: ErrorDetail
