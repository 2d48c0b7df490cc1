"""Every knob of the stream to the bot, with its unit, its reason and its evidence.

A *profile* is a named set of knobs (decisions: two profiles): ``observed`` holds the
defaults below, ``documented`` follows the manuals to the letter. The settings tree, the
command that lists it and the fidelity table read each field's ``Knob``, so that a knob
is described once, here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from emulator.errors import ConfigError

Basis = Literal["verified", "documented", "assumed"]


@dataclass(frozen=True, slots=True)
class Knob:
    """What a settings page says about one field.

    Attributes:
        why: One or two lines: what it does and why the default is what it is.
        basis: Evidence for the default: a capture, a manual, or an assumption.
        cites: Where the behaviour is described.
        unit: Unit of the value, empty for words and switches.
        choices: The legal values, empty when a range applies.
        minimum, maximum: The legal range, both inclusive.
    """

    why: str
    basis: Basis
    cites: str
    unit: str = ""
    choices: tuple[object, ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    def problem(self, value: object) -> str | None:
        """Return what is wrong with ``value``, or None when it is legal."""
        if value is None:
            return None
        if any(not text.isprintable() for text in _texts(value)):
            return "holds a control character, which would break the request"
        if self.choices and value not in self.choices:
            return f"{value!r} is not one of {', '.join(map(str, self.choices))}"
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return None
        if self.minimum is not None and value < self.minimum:
            return f"{value} is under {self.minimum:g} {self.unit}".rstrip()
        if self.maximum is not None and value > self.maximum:
            return f"{value} is over {self.maximum:g} {self.unit}".rstrip()
        return None


def _texts(value: object) -> Iterator[str]:
    """Yield the texts of a value; a mapping has names and values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (str(text) for pair in value.items() for text in pair)


def _knob(default: Any, why: str, basis: Basis, cites: str, **limits: Any) -> Any:
    knob = Knob(why, basis, cites, **limits)
    return field(default=default, metadata={"knob": knob})


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """The knobs of one stream; the defaults are the profile ``observed``.

    Raises:
        ConfigError: A value is outside what its knob allows.
    """

    # What goes to the bot.
    media_chunk_ms: int = _knob(
        20,
        "Audio in one media message: 20 on the wire, about 100 in the manuals.",
        "verified", "streaming spec §2.4",
        unit="ms", choices=(20, 40, 60, 80, 100),
    )  # fmt: skip
    numeric_types: Literal["string", "int"] = _knob(
        "string",
        "sequence_number and chunk as JSON strings, as captured, or as numbers, as "
        "in the oldest samples.",
        "verified", "streaming spec §2.1", choices=("string", "int"),
    )  # fmt: skip
    media_format_encoding: str = _knob(
        "base64",
        "start.media_format.encoding.",
        "verified", "streaming spec §2.3",
    )  # fmt: skip
    media_format_bit_rate: str = _knob(
        "128kbps",
        "start.media_format.bit_rate.",
        "verified", "streaming spec §2.3",
    )  # fmt: skip
    bit_rate_tracks_sample_rate: bool = _knob(
        False,
        "Say 256kbps at 16 kHz and 384kbps at 24 kHz; nobody has captured those.",
        "assumed", "streaming spec §2.3",
    )  # fmt: skip
    omit_empty_custom_parameters: bool = _knob(
        True,
        "Leave custom_parameters out of start when there are none.",
        "verified", "streaming spec §2.3",
    )  # fmt: skip
    sample_rate_in_custom_params: bool = _knob(
        False,
        "List the URL's sample-rate among custom_parameters too.",
        "assumed", "streaming spec §1.4",
    )  # fmt: skip
    accept_sample_rate_underscore: bool = _knob(
        False,
        "Obey sample_rate in the URL as if it were sample-rate.",
        "documented", "streaming spec §1.4",
    )  # fmt: skip
    custom_params_max: int = _knob(
        25,
        "Custom parameters of one stream; a note is made past 3.",
        "documented", "streaming spec §1.4", minimum=0, maximum=1000,
    )  # fmt: skip
    custom_params_max_chars: int = _knob(
        800,
        "Characters of all custom parameters, as they stand in the query; a note is "
        "made past 256.",
        "documented", "streaming spec §1.4",
        unit="characters", minimum=0, maximum=100_000,
    )  # fmt: skip
    codec: Literal["pcm_s16le", "mulaw"] = _knob(
        "pcm_s16le",
        "Audio of applets that name no codec of their own, both ways.",
        "verified", "streaming spec §2.4", choices=("pcm_s16le", "mulaw"),
    )  # fmt: skip
    number_format: Literal["local", "e164"] = _knob(
        "local",
        "Indian numbers in start.from and start.to: 09900000000, as captured, or "
        "+919900000000, as the manuals print them.",
        "verified", "streaming spec §2.3", choices=("local", "e164"),
    )  # fmt: skip
    sid_style: Literal["dated", "prefixed"] = _knob(
        "dated",
        "Call and stream SIDs: 28 hex digits and the date, as captured, or MZ and CA "
        "before 32 hex digits, as in the manuals' samples.",
        "verified", "streaming spec §2.12", choices=("dated", "prefixed"),
    )  # fmt: skip
    timestamp_origin: int = _knob(
        0,
        "media.timestamp of the first chunk.",
        "assumed", "streaming spec §2.4", unit="ms", minimum=0, maximum=1000,
    )  # fmt: skip
    dtmf_shape: Literal["nested", "flat"] = _knob(
        "nested",
        "nested: a dtmf object; flat: digit beside event, as one beta page has it.",
        "documented", "streaming spec §2.8", choices=("nested", "flat"),
    )  # fmt: skip
    send_clear_to_bot: bool = _knob(
        False,
        "Answer the bot's clear with a clear; one manual lists it among the "
        "platform's own messages.",
        "documented", "streaming spec §2.0",
    )  # fmt: skip

    # What is taken from the bot.
    accept_camel_case: bool = _knob(
        True,
        "Take streamSid for stream_sid, with a note; live bots send it.",
        "assumed", "streaming spec §2.5",
    )  # fmt: skip
    foreign_stream_sid: Literal["ignore", "accept"] = _knob(
        "ignore",
        "What becomes of a message that names another stream.",
        "assumed", "streaming spec §2.5", choices=("ignore", "accept"),
    )  # fmt: skip
    strict_string_numbers: bool = _knob(
        False,
        "Drop messages that carry a JSON number where the platform's own decoder "
        "may want a string.",
        "assumed", "streaming spec §2.1",
    )  # fmt: skip
    min_chunk_policy: Literal["lenient", "warn", "drop"] = _knob(
        "warn",
        "Media under 3200 bytes: played, played with a note, or dropped.",
        "documented", "streaming spec §2.5", choices=("lenient", "warn", "drop"),
    )  # fmt: skip
    clear_granularity: Literal["message", "packet"] = _knob(
        "message",
        "Whether clear lets the message that is playing end, or cuts it.",
        "documented", "streaming spec §2.7", choices=("message", "packet"),
    )  # fmt: skip
    mark_on_clear: Literal["echo", "drop"] = _knob(
        "echo",
        "Marks whose audio a clear dropped: echoed, so that no bot hangs, or lost.",
        "assumed", "streaming spec §2.6", choices=("echo", "drop"),
    )  # fmt: skip
    bot_stop: Literal["end", "ignore"] = _knob(
        "end",
        "A stop sent by the bot ends the stream, or is ignored.",
        "documented", "streaming spec §2.10", choices=("end", "ignore"),
    )  # fmt: skip
    on_bot_close: Literal["drop", "drain"] = _knob(
        "drop",
        "Audio still queued when the bot closes: dropped, or played to its end.",
        "assumed", "streaming spec §2.10", choices=("drop", "drain"),
    )  # fmt: skip
    one_way_audio: Literal["mixed", "caller"] = _knob(
        "mixed",
        "What a one-way stream carries: both parties in one channel, or the caller.",
        "documented", "streaming spec §3", choices=("mixed", "caller"),
    )  # fmt: skip
    ignore_pings: bool = _knob(
        False,
        "Leave the bot's pings unanswered; one bot switched them off for trouble.",
        "assumed", "streaming spec §1.6",
    )  # fmt: skip

    # How a stream begins and ends.
    handshake_timeout_s: float = _knob(
        10.0,
        "For TCP, TLS and upgrade of one attempt together.",
        "documented", "streaming spec §1.6", unit="s", minimum=0.01, maximum=300,
    )  # fmt: skip
    handshake_retries: int = _knob(
        1,
        "Further attempts after a failed handshake.",
        "documented", "streaming spec §1.6", minimum=0, maximum=10,
    )  # fmt: skip
    retry_delay_s: float = _knob(
        0.0,
        "Wait before the next attempt.",
        "assumed", "streaming spec §1.6", unit="s", minimum=0, maximum=60,
    )  # fmt: skip
    first_message_timeout_s: float | None = _knob(
        None,
        "End a two-way stream whose bot says nothing for so long after start; unset: "
        "a note after 10 s.",
        "assumed", "streaming spec §1.6", unit="s", minimum=0.01, maximum=3600,
    )  # fmt: skip
    max_session_s: float = _knob(
        3600.0,
        "The longest stream; stop and close follow.",
        "documented", "streaming spec §1.6", unit="s", minimum=0.01, maximum=86_400,
    )  # fmt: skip
    close_mode: Literal["abrupt", "normal"] = _knob(
        "abrupt",
        "After stop: drop TCP without a close frame (the bot sees 1006), or close "
        "with 1000.",
        "assumed", "streaming spec §2.10", choices=("abrupt", "normal"),
    )  # fmt: skip
    close_delay_ms: int = _knob(
        15,
        "From stop to the end of the socket.",
        "verified", "streaming spec §2.10", unit="ms", minimum=0, maximum=1000,
    )  # fmt: skip
    caller_hangup_status: Literal["completed", "cancelled"] = _knob(
        "completed",
        "Status of a stream whose caller hung up.",
        "documented", "streaming spec §5.2", choices=("completed", "cancelled"),
    )  # fmt: skip

    # The upgrade request.
    user_agent: str = _knob(
        "Go-http-client/1.1",
        "User-Agent of the upgrade request.",
        "verified", "streaming spec §1.5",
    )  # fmt: skip
    upgrade_headers: Mapping[str, str] = field(
        default_factory=dict,
        metadata={
            "knob": Knob(
                "Further headers of the upgrade request; one manual has a form "
                "field for them.",
                "assumed",
                "streaming spec §1.1",
            )
        },
    )
    tls_verify: bool = _knob(
        True,
        "Verify the bot's certificate; switch off for a self-signed one.",
        "documented", "streaming spec §1.6",
    )  # fmt: skip
    tls_ca_file: str | None = _knob(
        None,
        "PEM file of certificate authorities trusted beside the system's.",
        "assumed", "streaming spec §1.6",
    )  # fmt: skip

    # Limits on what a peer can make us hold.
    max_streams: int = _knob(
        100,
        "Streams of the whole account at once; further ones fail with "
        "Streaming_call_throttled.",
        "documented", "streaming spec §5.3", minimum=0, maximum=1_000_000,
    )  # fmt: skip
    max_message_bytes: int = _knob(
        2 * 1024 * 1024,
        "One message of the bot, fragments joined; 2 MiB is 98 s of 8 kHz audio.",
        "assumed", "streaming spec §2.5",
        unit="bytes", minimum=1024, maximum=64 * 1024 * 1024,
    )  # fmt: skip
    max_queued_s: float = _knob(
        600.0,
        "Bot audio waiting to be played; then the oldest goes, with a note.",
        "assumed", "streaming spec §2.5", unit="s", minimum=1, maximum=7200,
    )  # fmt: skip
    max_write_buffer_bytes: int = _knob(
        256_000,
        "Unsent data towards a bot that does not read; then the oldest audio goes.",
        "assumed", "streaming spec §2.4",
        unit="bytes", minimum=8192, maximum=64 * 1024 * 1024,
    )  # fmt: skip

    def __post_init__(self) -> None:
        problems = [
            f"{setting_of(name)}: {problem}"
            for name, knob in knobs()
            if (problem := knob.problem(getattr(self, name)))
        ]
        if problems:
            raise ConfigError("; ".join(problems))


# What the manuals say where the wire says otherwise (streaming spec §8).
PROFILES: Mapping[str, Mapping[str, Any]] = {
    "observed": {},
    "documented": {
        "media_chunk_ms": 100,
        "media_format_encoding": "audio/x-raw",
        "media_format_bit_rate": "16",
        "omit_empty_custom_parameters": False,
        "custom_params_max": 3,
        "custom_params_max_chars": 256,
        "number_format": "e164",
        "accept_camel_case": False,
        "bot_stop": "ignore",
        "close_mode": "normal",
    },
}


# Sections of the settings, which the references name so; their fields begin like them.
SECTIONS = ("media_format", "custom_params")


def setting_of(field_name: str) -> str:
    """Return where a field stands in the settings: ``stream.custom_params.max``."""
    for section in SECTIONS:
        if field_name.startswith(f"{section}_"):
            return f"stream.{section}.{field_name.removeprefix(f'{section}_')}"
    return f"stream.{field_name}"


def knobs() -> Iterator[tuple[str, Knob]]:
    """Yield the name and description of every knob, in reading order."""
    for option in dataclasses.fields(StreamOptions):
        yield option.name, option.metadata["knob"]


def profile_options(profile: str, **changes: Any) -> StreamOptions:
    """Return the options of ``profile`` with ``changes`` on top.

    Raises:
        ConfigError: No such profile, or an illegal value.
    """
    if profile not in PROFILES:
        raise ConfigError(f"profile: {profile!r} is not one of {', '.join(PROFILES)}")
    return StreamOptions(**{**PROFILES[profile], **changes})
