"""Streams to bots.

A two-way stream holds the flow up until it ends. A one-way stream lives on beside the
applets that follow; its end, whenever it comes, is told to the flow's run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal, TypeAlias, cast

from emulator.calls.ending import EndCause
from emulator.calls.recordings import LegRecording
from emulator.calls.verbs.stage import Stage, handler, hidden_digits
from emulator.flow.parameters import mask_secrets
from emulator.flow.ports import (
    Capability,
    FailStream,
    OpenStream,
    Recording,
    StartStream,
    StopStream,
    StreamResult,
    StreamStarted,
)
from emulator.text import printable
from emulator.worker import messages as worker

StreamStatus: TypeAlias = Literal["completed", "failed", "cancelled"]
DisconnectedBy: TypeAlias = Literal["user", "bot", "NA"]


async def _open_stream(stage: Stage, verb: OpenStream) -> StreamResult:
    command = _command(stage, verb, two_way=verb.two_way)
    with (
        _no_greeting_disconnect(stage),
        hidden_digits(stage.listener, verb.record),
        _recorded(stage, command.stream_sid, verb.record) as recording,
    ):
        ended = await stage.leg.stream(command)
    stage.last_stream = _say_how(ended)
    return replace(_stream_result(ended), recording_url=_url(stage, ended, recording))


async def _fail_stream(stage: Stage, verb: FailStream) -> StreamResult:
    """Tell of it as of a stream whose bot could not be reached."""
    sid = stage.services.ids.stream_sid(stage.services.clock.utc())
    if verb.is_cancelled:
        failed = StreamResult(sid, "cancelled", "user")
    else:
        failed = StreamResult(sid, "failed", "NA", verb.error, duration_s=0.0)
    with _recorded(stage, sid, verb.record) as recording:
        stage.listener.record(
            "stream.failed",
            stream_sid=sid,
            error=printable(verb.error),
            url=printable(mask_secrets(verb.asked)),
        )
    if verb.two_way:
        stage.last_stream = f"stream {failed.status}: {verb.error}"
    return replace(failed, recording_url=_url(stage, failed, recording))


def _url(
    stage: Stage,
    ended: worker.StreamEnded | StreamResult,
    recording: LegRecording | None,
) -> str | None:
    """Return the recording's URL; a failed stream has one too (spec §7, 11)."""
    is_known = ended.status != "failed" or (
        stage.services.settings.quirks.recording_url_on_failure
    )
    return recording.url if recording is not None and is_known else None


async def _start_stream(stage: Stage, verb: StartStream) -> StreamStarted:
    command = _command(stage, verb, two_way=False)
    stream = stage.beside.create_task(_follow(stage, command))
    stage.streams[command.stream_sid] = stream
    # It is dialled, or refused for the account's limit, before any stream that follows.
    await asyncio.sleep(0)
    result = stream.result() if stream.done() else None
    return StreamStarted(command.stream_sid, result)


async def _follow(stage: Stage, command: worker.OpenStream) -> StreamResult:
    result = _stream_result(await stage.leg.stream(command))
    stage.stream_ended(result)
    return result


async def _stop_stream(stage: Stage, verb: StopStream) -> StreamResult:
    stage.leg.close_stream(verb.stream_sid)
    return await stage.streams[verb.stream_sid]


def _command(
    stage: Stage, verb: OpenStream | StartStream, *, two_way: bool
) -> worker.OpenStream:
    services, context = stage.services, stage.context
    record = verb.record if isinstance(verb, OpenStream) else None
    return worker.OpenStream(
        leg_id=stage.leg.leg_id,
        stream_sid=services.ids.stream_sid(services.clock.utc()),
        call_sid=context.call_sid,
        account_sid=services.settings.account.sid,
        url=verb.url,
        from_=context.from_,
        to=context.to,
        custom_parameters=verb.custom_parameters,
        sample_rate_hz=verb.sample_rate_hz,
        codec=verb.codec or services.settings.stream.codec,
        two_way=two_way,
        options=services.settings.stream.options(),
        hide_digits=record is not None and record.encrypt_dtmf,
    )


@contextmanager
def _recorded(
    stage: Stage, stream_sid: str, wanted: Recording | None
) -> Iterator[LegRecording | None]:
    if wanted is None:
        yield None
        return
    recording = stage.services.recordings.start(stage.leg, stream_sid, wanted)
    try:
        yield recording
    finally:
        recording.stop()


@contextmanager
def _no_greeting_disconnect(stage: Stage) -> Iterator[None]:
    """Drop the call meanwhile if the platform would (streaming spec §7, 1)."""
    quirks = stage.services.settings.quirks
    if not quirks.no_greeting_disconnect or stage.has_greeted:
        yield
        return
    dropping = asyncio.get_running_loop().call_later(
        quirks.no_greeting_disconnect_s,
        stage.listener.end,
        EndCause.NO_GREETING,
        "no Greeting before the Voicebot (quirks.no_greeting_disconnect)",
    )
    try:
        yield
    finally:
        dropping.cancel()


def _say_how(ended: worker.StreamEnded) -> str:
    """Return a stream's end in a few words, for whoever asks why the call ended."""
    if problem := ended.error or ended.detailed_status:
        return f"stream {ended.status}: {problem}"
    code = f" with {ended.close_code}" if ended.close_code else ""
    return f"stream {ended.status}, closed first by the {ended.closed_first}{code}"


def _stream_result(ended: worker.StreamEnded) -> StreamResult:
    """Return the stream's end in the flow's words; absent fields stay absent (§5)."""
    cancelled = ended.status == "cancelled"
    return StreamResult(
        stream_sid=ended.stream_sid,
        # The worker speaks the platform's words; the stream room's tests hold it to.
        status=cast(StreamStatus, ended.status),
        disconnected_by=cast(DisconnectedBy, ended.disconnected_by),
        error=ended.error,
        detailed_status=ended.detailed_status,
        duration_s=None if cancelled else ended.duration_s,
    )


FAIL_STREAM = handler(FailStream, _fail_stream)
OPEN_STREAM = handler(
    OpenStream, _open_stream, Capability.STREAM, Capability.RECORD_STREAM
)
START_STREAM = handler(StartStream, _start_stream, Capability.FORK_STREAM)
STOP_STREAM = handler(StopStream, _stop_stream)
