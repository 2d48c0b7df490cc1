"""Flows and the webhooks that they call: every setting with its unit and reason."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from emulator.config.section import Section


class FlowSettings(Section):
    """Flows."""

    directory: str = Field("flows", description="Where the *.yaml flows are.")
    max_steps: int = Field(
        1000, ge=1, description="Applets one call may pass: bounds loops."
    )
    silent_greeting_ms: int = Field(
        1000, ge=0, description="Length of a greeting text without words, as '...'."
    )
    resolver_timeout_s: float = Field(
        10.0,
        gt=0,
        le=120,
        description="For dynamic URLs of Greeting, Voicebot and Stream (assumed).",
    )
    outbox_max_messages: int = Field(
        1000,
        ge=1,
        description="SMS and emails kept in the outbox; the oldest go first.",
    )


class PassthruSettings(Section):
    """The applet Passthru: what it sends and how its answer counts."""

    method: Literal["GET", "POST"] = Field(
        "GET", description="GET with a query; one manual says POST, a form here."
    )
    timeout_s: float = Field(
        10.0,
        gt=0,
        le=120,
        description="No answer for so long is the second exit (assumed; 15 in one "
        "manual).",
    )
    stream_fields_encoding: Literal["flat", "json", "both"] = Field(
        "flat",
        description="flat: Stream[StreamSID]=… and so on; json: one Stream={…}.",
    )
    after_hangup: Literal["next", "never"] = Field(
        "next",
        description="Whether the Passthru behind the applet that the caller left is "
        "still sent.",
    )
    empty_exit: Literal["open", "hangup"] = Field(
        "open",
        description="An exit without an applet leaves the call open and silent, as "
        "operators saw it, or ends it.",
    )
    direction_word: Literal["incoming", "inbound"] = Field(
        "incoming", description="Direction of a call that came in; manuals differ."
    )
    disconnected_by_vocab: Literal["user", "caller"] = Field(
        "user",
        description="DisconnectedBy says user, bot, NA or caller, bot, system.",
    )


class WebhookSettings(Section):
    """Requests to customers' servers."""

    user_agent: str = Field(
        "exotel-emulator", description="User-Agent; the platform's is not known."
    )
    tls_verify: bool = Field(
        True, description="Verify certificates of https URLs; off for self-signed ones."
    )
    tls_ca_file: str | None = Field(
        None, description="PEM file of authorities trusted beside the system's."
    )
    max_audio_bytes: int = Field(
        10 * 1024 * 1024,
        ge=1024,
        le=100 * 1024 * 1024,
        description="A larger file behind an audio URL is not played (assumed).",
    )


class QuirkSettings(Section):
    """Oddities of the platform, one switch each; those of a room are in its section."""

    no_greeting_disconnect: bool = Field(
        False,
        description="Hang up a call whose Voicebot comes before any Greeting, as the "
        "platform does with SIP calls.",
    )
    no_greeting_disconnect_s: float = Field(
        20.0, gt=0, description="So long after the Voicebot began; 20 to 23 were seen."
    )
    quoted_digits: bool = Field(
        True, description="Passthru sends digits in double quotes."
    )
    epoch_end_time: bool = Field(
        True, description="EndTime of a live call is 1970-01-01 05:30:00, or absent."
    )
    head_before_get: bool = Field(
        True, description="HEAD before the GET of greeting and audio URLs."
    )
    strict_content_type: bool = Field(
        True,
        description="Greeting and audio URLs of another content type are not played.",
    )
    cache_audio_urls: bool = Field(
        True, description="An audio URL is fetched once; a change needs another URL."
    )
    recording_url_on_failure: bool = Field(
        True, description="A recorded Voicebot whose stream failed has a RecordingUrl."
    )
    blank_in_url_hangs_up: bool = Field(
        True,
        description="A blank in an applet's URL ends the call; off: it is encoded.",
    )
