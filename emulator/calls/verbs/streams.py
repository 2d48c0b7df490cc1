"""Streams to bots: a two-way stream holds the flow up until it ends."""

from __future__ import annotations

from typing import Literal, TypeAlias, cast

from emulator.calls.verbs.stage import Stage, handler
from emulator.flow.ports import Capability, OpenStream, StreamResult
from emulator.worker import messages as worker

StreamStatus: TypeAlias = Literal["completed", "failed", "cancelled"]
DisconnectedBy: TypeAlias = Literal["user", "bot", "NA"]


async def _open_stream(stage: Stage, verb: OpenStream) -> StreamResult:
    ended = await stage.leg.stream(_command(stage, verb))
    stage.last_stream = _say_how(ended)
    return _stream_result(ended)


def _command(stage: Stage, verb: OpenStream) -> worker.OpenStream:
    services, context = stage.services, stage.context
    return worker.OpenStream(
        leg_id=stage.leg.leg_id,
        stream_sid=services.ids.sid(services.clock.utc()),
        call_sid=context.call_sid,
        account_sid=services.settings.account.sid,
        url=verb.url,
        from_=context.from_,
        to=context.to,
        custom_parameters=verb.custom_parameters,
        sample_rate_hz=verb.sample_rate_hz,
        codec=verb.codec or "pcm_s16le",
        two_way=verb.two_way,
        options=services.settings.stream.model_dump(),
    )


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


OPEN_STREAM = handler(OpenStream, _open_stream, Capability.STREAM)
