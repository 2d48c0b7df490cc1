"""How each room behaves: every setting with its unit and reason."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, field_validator

from emulator.config.section import ListenPort, Port, Section


class MediaSettings(Section):
    """The RTP side."""

    bind: str = Field("127.0.0.1", description="Address of the RTP sockets.")
    rtp_range: tuple[Port, Port] = Field(
        (10000, 20000),
        description="First and last RTP port; the first one even. Also as 10000-20000.",
    )
    workers: int = Field(1, ge=1, le=64, description="Media worker processes.")
    codecs: tuple[Literal["PCMU", "PCMA"], ...] = Field(
        ("PCMA", "PCMU"), min_length=1, description="Offered and accepted, best first."
    )

    telephone_event_payload_type: int = Field(
        96, ge=96, le=127, description="Of digits by RFC 4733 in offers; an answer "
        "takes the offer's.",
    )  # fmt: skip
    srtp: Literal["off", "accept", "require"] = Field(
        "accept",
        description="SRTP with keys in SDP (RFC 4568). accept: whoever offers it gets "
        "it; require: plain RTP gets 488, and our own offers ask for SRTP.",
    )
    jitter_buffer_ms: int = Field(
        0,
        ge=0,
        le=500,
        description="How long a caller's packets wait to be put in order, in ms; they "
        "are heard with the next packet of ours. 0: not at all.",
    )
    inband_dtmf: bool = Field(
        False, description="Hear digits in the audio of phones without RFC 4733."
    )
    capture_calls: int = Field(
        10,
        ge=0,
        description="Calls at once of which both sides are kept for the API; 0: none.",
    )
    capture_max_s: float = Field(
        600.0, gt=0, description="What is kept of a call, from its answer: 32 kB/s."
    )
    capture_keep_mb: int = Field(
        500, ge=1, description="All that is kept; beyond it the oldest goes."
    )

    @field_validator("rtp_range", mode="before")
    @classmethod
    def _may_have_a_dash(cls, value: object) -> object:
        low, dash, high = value.partition("-") if isinstance(value, str) else ("",) * 3
        return (low.strip(), high.strip()) if dash else value

    @field_validator("rtp_range")
    @classmethod
    def _is_a_range(cls, value: tuple[int, int]) -> tuple[int, int]:
        if value[1] <= value[0]:
            raise ValueError(f"the last port must be above the first, {value[0]}")
        return value


class RecordingSettings(Section):
    """Recordings that applets and requests ask for."""

    base_url: str | None = Field(
        None,
        description="What a RecordingUrl begins with, up to the account; unset: this "
        "emulator's own http://…/exotelrecordings.",
    )
    auth: Literal["auto", "open", "basic"] = Field(
        "auto",
        description="Who may fetch: basic asks for the API key and token, as the "
        "platform has since October 2024; auto asks only beyond loopback, and notes on "
        "the timeline when a fetch came without.",
    )
    available_after_s: float = Field(
        0.0,
        ge=0,
        description="404 for so long after its end; the platform takes 1 to 15 "
        "minutes. 0: at once, and while it lasts.",
    )
    keep_mb: int = Field(
        2000, ge=1, description="All recordings; beyond it the oldest goes."
    )


class CallSettings(Section):
    """Calls and their memory."""

    ring_ms: int = Field(
        300, ge=0, description="Ring time before a flow answers; 0: at once."
    )
    max_ring_s: float = Field(
        60.0, gt=0, le=180, description="Ring time of a call from a trunk to a person."
    )
    connect_early_media: Literal["tone", "always", "never"] = Field(
        "tone",
        description="A Connect lets the caller hear the sounds of the only phone that "
        "rings instead of a tone or silence (music_on_hold), always, or never.",
    )
    max_concurrent: int = Field(
        1000, ge=1, description="More calls get 503: bounds memory and ports."
    )
    timeline_max_events: int = Field(
        2000, ge=100, description="Events kept per call; the middle goes first."
    )
    keep_ended: int = Field(
        1000, ge=0, description="Ended calls kept in memory for the API."
    )
    shutdown_deadline_s: float = Field(
        5.0, gt=0, description="Calls still up so long after SIGTERM are cut."
    )


class SpeechSettings(Section):
    """Text to speech for Greeting."""

    voice: str = Field("en", description="An eSpeak NG voice.")


class HttpSettings(Section):
    """The HTTP listener: API and page."""

    bind: str = Field("127.0.0.1", description="Address of the HTTP listener.")
    port: ListenPort = Field(8080, description="HTTP port.")
    token: SecretStr | None = Field(
        None,
        description="Bearer token of the control API; needed unless bind is loopback.",
    )
    max_connections: int = Field(
        256,
        ge=1,
        description="Open at once; beyond, requests get 503. A browser opens six per "
        "page, a test run a few; the rest of ulimit -n is for calls.",
    )
    unfinished_request_s: float = Field(
        32.0,
        gt=0,
        description="A connection whose request is not complete, or whose answer is "
        "not taken, for so long is closed.",
    )


class LogSettings(Section):
    """Logging."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least level that is written."
    )
    format: Literal["console", "json"] = Field(
        "console", description="For people or for machines."
    )
