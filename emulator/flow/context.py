"""What the applets of one call know: given facts, and what happened so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from emulator.flow.ports import FetchResult, LegOutcome, StreamResult
from emulator.flow.urls import StreamUrlRules


@dataclass(frozen=True, slots=True)
class CallContext:
    """Facts of the call that no applet changes.

    Attributes:
        from_, to: As bots and webhooks read them.
        sip_parameters: The caller's custom SIP headers without ``X-``, as far as the
            bot may see them (``sip.custom_headers``).
        created_at: When the call came in, timezone-aware.
        custom_field: ``CustomField`` of a call that the API placed.
        ringing_s: How long the caller heard ringing.
    """

    call_sid: str
    from_: str
    to: str
    sip_parameters: Mapping[str, str] = field(default_factory=dict)
    created_at: datetime | None = None
    account_sid: str = ""
    direction: str = "incoming"
    custom_field: str | None = None
    ringing_s: float | None = None


@dataclass(frozen=True, slots=True)
class PassthruOptions:
    """Knobs of Passthru: the settings ``passthru.*``.

    Attributes:
        stream_fields_encoding: ``flat`` sends ``Stream[StreamSID]=…``, ``json`` one
            ``Stream``.
        after_hangup: Whether the Passthru behind the applet that the caller left is
            still sent.
        empty_exit: ``open`` leaves the call silent, as the platform does.
    """

    method: Literal["GET", "POST"] = "GET"
    timeout_s: float = 10.0
    stream_fields_encoding: Literal["flat", "json", "both"] = "flat"
    after_hangup: Literal["next", "never"] = "next"
    empty_exit: Literal["open", "hangup"] = "open"
    direction_word: Literal["incoming", "inbound"] = "incoming"
    disconnected_by_vocab: Literal["user", "caller"] = "user"


@dataclass(frozen=True, slots=True)
class QuirkOptions:
    """Oddities of the platform that applets show: settings ``quirks.*`` (spec §7).

    Attributes:
        quoted_digits: ``digits`` comes in double quotes.
        epoch_end_time: ``EndTime`` of a live call is the epoch; else it is absent.
        head_before_get: A Greeting's URL is asked by HEAD first.
        strict_content_type: Its answer must be exactly ``text/plain``.
        blank_in_url_hangs_up: Else blanks are encoded.
    """

    quoted_digits: bool = True
    epoch_end_time: bool = True
    head_before_get: bool = True
    strict_content_type: bool = True
    blank_in_url_hangs_up: bool = True


@dataclass(frozen=True, slots=True)
class FlowOptions:
    """Knobs of the engine: the settings ``flow.*``.

    Attributes:
        max_steps: Applets that one call may pass: bounds loops.
        silent_greeting_ms: Length of a text without a speakable word.
        resolver_timeout_s: For dynamic URLs of Greeting and streams.
    """

    max_steps: int = 1000
    silent_greeting_ms: int = 1000
    resolver_timeout_s: float = 10.0
    passthru: PassthruOptions = PassthruOptions()
    quirks: QuirkOptions = QuirkOptions()
    stream_url: StreamUrlRules = StreamUrlRules()


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """The stream that a Passthru would tell about.

    Attributes:
        url: As dialled; None when it was never dialled.
        result: None while the stream runs.
    """

    stream_sid: str | None
    url: str | None
    result: StreamResult | None


@dataclass(frozen=True, slots=True)
class RungLeg:
    """One party that a Connect rang; ``type`` tells whether alone."""

    outcome: LegOutcome
    type: Literal["single", "parallel"]


@dataclass(frozen=True, slots=True)
class Conversation:
    """What the last Connect did.

    Attributes:
        legs: Every party that was rung, in order.
        talk_s: None when nobody answered.
        caller_id: As the parties saw it.
        is_ended_by_caller: The caller hung up, ringing or talking.
    """

    legs: tuple[RungLeg, ...]
    talk_s: float | None
    caller_id: str
    is_ended_by_caller: bool


@dataclass(slots=True)
class CallState:
    """What applets leave for those behind them; owned by one ``FlowRun``."""

    context: CallContext
    options: FlowOptions
    flow_id: str = ""
    is_caller_gone: bool = False
    ended_at: datetime | None = None
    stream: StreamRecord | None = None
    live_streams: list[str] = field(default_factory=list)
    answer: FetchResult | None = None
    digits: str | None = None
    conversation: Conversation | None = None
    recording_url: str | None = None
    has_voicemail: bool = False
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Put a note on the call's timeline with the next step."""
        self.notes.append(text)
