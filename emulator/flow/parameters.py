"""What webhooks are told about a call (streaming spec §4.4).

The order is that of the manual's table. Empty values that the platform leaves out are
left out; ``EndTime`` is the epoch in India for as long as the call lives.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import quote_plus, unquote_plus, urlencode, urlsplit, urlunsplit

from emulator.flow.context import CallContext, CallState, Conversation, StreamRecord
from emulator.flow.ports import LegOutcome, StreamResult
from emulator.ids import IST
from emulator.text import mask_query, mask_text

Pair = tuple[str, str]

_SECONDS = "%Y-%m-%d %H:%M:%S"
_CREATED = "%a, %d %b %Y %H:%M:%S"
_EPOCH = datetime.fromtimestamp(0, UTC)
# Of the one guide that has other words (streaming spec §5.1).
_CALLER_WORDS = {"user": "caller", "bot": "bot", "NA": "system"}
# The part of an authority that ends with the last @ (RFC 3986 §3.2).
_USERINFO = re.compile(r"^([^/?#]*//)[^/?#]*@")
# Deprecated, and still sent without a value.
_NULLS = ("ForwardedFrom", "ProcessStatus", "RecordingAvailableBy")


def passthru_parameters(call: CallState, now: datetime) -> list[Pair]:
    """Return everything that a Passthru, Connect or Gather URL is told."""
    pairs = [
        *_call(call, now),
        *_connect(call.conversation),
        *_extras(call),
        *_stream(call),
    ]
    return [(name, value) for name, value in pairs if value is not None]


def greeting_parameters(call: CallState) -> list[Pair]:
    """Return what a Greeting's dynamic URL is told (streaming spec §4.1)."""
    context = call.context
    pairs = [
        ("CallSid", context.call_sid),
        ("From", context.from_),
        ("To", context.to),
        ("DialWhomNumber", _dialled(call.conversation)),
        ("CustomField", context.custom_field),
    ]
    return [(name, value) for name, value in pairs if value is not None]


def add_query(url: str, pairs: list[Pair]) -> str:
    """Return ``url`` with ``pairs`` behind its own query, which is kept as it is."""
    parts = urlsplit(url)
    query = "&".join(piece for piece in (parts.query, urlencode(pairs)) if piece)
    return urlunsplit(parts._replace(query=query, fragment=""))


def mask_userinfo(url: str) -> str:
    """Return ``url``, or what was meant for one, with ``***`` for its credentials."""
    return _USERINFO.sub(r"\1***@", url, count=1)


def mask_secrets(url: str) -> str:
    """Return ``url`` with ``***`` for credentials and for secrets in its query.

    A URL or JSON in the query, percent-encoded, is masked as well.
    """
    head, mark, query = mask_userinfo(url).partition("?")
    plain = unquote_plus(query)
    if mask_text(plain) != plain:
        query = "&".join(map(_mask_pair, query.split("&")))
    return mask_query(head + mark + query)


def _mask_pair(pair: str) -> str:
    """Return a pair of a query without the secrets that its value quotes."""
    name, mark, value = pair.partition("=")
    if "%" not in value:
        return pair
    plain = unquote_plus(value)
    masked = mask_text(plain)
    return pair if masked == plain else f"{name}{mark}{quote_plus(masked, safe='*')}"


def _call(call: CallState, now: datetime) -> Iterator[tuple[str, str | None]]:
    context, talk = call.context, call.conversation
    yield "CallSid", context.call_sid
    yield "CallFrom", context.from_
    yield "CallTo", context.to
    yield "CallStatus", "completed" if call.is_caller_gone else "in-progress"
    yield "Direction", _direction(call)
    yield "Created", _in_ist(context.created_at, _CREATED)
    yield "DialCallDuration", str(int(talk.talk_s or 0)) if talk else "0"
    yield "StartTime", _in_ist(context.created_at, _SECONDS)
    yield "EndTime", _in_ist(_end_time(call, now), _SECONDS)
    yield "CallType", _call_type(call)
    yield "DialWhomNumber", _dialled(talk)
    yield "From", context.from_
    yield "To", context.to
    yield "CurrentTime", _in_ist(now, _SECONDS)
    yield "flow_id", call.flow_id
    yield "tenant_id", context.account_sid
    for name in _NULLS:
        yield name, "null"


def _direction(call: CallState) -> str:
    is_incoming = call.context.direction == "incoming"
    return call.options.passthru.direction_word if is_incoming else "outbound-dial"


def _end_time(call: CallState, now: datetime) -> datetime | None:
    if call.is_caller_gone:
        return call.ended_at or now
    return _EPOCH if call.options.quirks.epoch_end_time else None


def _in_ist(at: datetime | None, format_: str) -> str | None:
    return None if at is None else at.astimezone(IST).strftime(format_)


def _call_type(call: CallState) -> str:
    if call.has_voicemail:
        return "voicemail"
    talk = call.conversation
    if talk is None:
        return "call-attempt"
    if talk.is_ended_by_caller:
        return "client-hangup"
    return "incomplete" if talk.talk_s is None else "completed"


def _dialled(talk: Conversation | None) -> str:
    """Return who talked; without a talk, who was rung last."""
    return _decisive(talk).number if talk and talk.legs else ""


def _decisive(talk: Conversation) -> LegOutcome:
    outcomes = [leg.outcome for leg in talk.legs]
    answered = [outcome for outcome in outcomes if outcome.status == "completed"]
    return (answered or outcomes)[-1]


def _connect(talk: Conversation | None) -> Iterator[tuple[str, str | None]]:
    if talk is None or not talk.legs:
        return
    yield "DialCallStatus", _decisive(talk).status
    for index, leg in enumerate(talk.legs):
        outcome = leg.outcome
        yield f"Legs[{index}][Number]", outcome.number
        yield f"Legs[{index}][Type]", leg.type
        yield f"Legs[{index}][OnCallDuration]", str(int(outcome.talk_s))
        yield f"Legs[{index}][CauseCode]", outcome.cause
        yield f"Legs[{index}][Cause]", str(outcome.cause_code)
    yield "OutgoingPhoneNumber", talk.caller_id


def _extras(call: CallState) -> Iterator[tuple[str, str | None]]:
    yield "RecordingUrl", call.recording_url
    yield "digits", _digits(call)
    yield "CustomField", call.context.custom_field
    yield "SIPCustomHeader", _sip_custom_header(call.context)


def _digits(call: CallState) -> str | None:
    if call.digits is None or not call.options.quirks.quoted_digits:
        return call.digits
    return f'"{call.digits}"'


def _sip_custom_header(context: CallContext) -> str | None:
    """Return the caller's custom headers as JSON text; None without any."""
    headers = dict(context.sip_parameters)
    return json.dumps(headers, sort_keys=True) if headers else None


def _stream(call: CallState) -> Iterator[tuple[str, str | None]]:
    if call.stream is None:
        return
    if call.context.ringing_s is not None:
        yield "Leg1RingingDuration", str(int(call.context.ringing_s))
    options = call.options.passthru
    known = _stream_fields(call.stream, options.disconnected_by_vocab)
    fields = [(name, value) for name, value in known if value is not None]
    encoding = options.stream_fields_encoding
    if encoding in ("flat", "both"):
        for name, value in fields:
            yield f"Stream[{name}]", value
    if encoding in ("json", "both"):
        yield "Stream", json.dumps(dict(fields))


def _stream_fields(
    stream: StreamRecord, vocabulary: str
) -> Iterator[tuple[str, str | None]]:
    result = stream.result
    url = None if stream.url is None else mask_userinfo(stream.url)
    yield "StreamSID", stream.stream_sid
    if result is None:
        yield "StreamUrl", url
        return
    yield "Status", result.status
    yield "Duration", _duration(result)
    yield "StreamUrl", url
    yield "RecordingUrl", result.recording_url
    by = result.disconnected_by
    yield "DisconnectedBy", _CALLER_WORDS[by] if vocabulary == "caller" else by
    yield "DetailedStatus", result.detailed_status
    yield "Error", result.error


def _duration(result: StreamResult) -> str | None:
    return None if result.duration_s is None else str(int(result.duration_s))
