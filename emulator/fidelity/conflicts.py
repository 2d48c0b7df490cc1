"""Where the references disagree (streaming spec §8): both sides, and the setting.

The numbers are those of the reference. A test holds each row against the settings: the
setting exists, its default and its value in the profile ``documented`` are as told, and
its two values make a difference that can be seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Conflict:
    """One question that the references answer in two ways.

    Attributes:
        one, other: What each side says.
        knob: Dotted setting; empty when ``settled`` tells why there is none.
        default: Its value in the profile ``observed``.
        alternative: The value that the other side means.
        documented: Its value in the profile ``documented``; None: the default's.
    """

    number: int
    topic: str
    one: str
    other: str
    knob: str = ""
    default: Any = None
    alternative: Any = None
    documented: Any = None
    settled: str = ""


CONFLICTS = (
    Conflict(
        1, "Inbound chunk", "20 ms, in logs", "about 100 ms, in manuals",
        "stream.media_chunk_ms", 20, 100, 100,
    ),
    Conflict(
        2, "Numbers in messages", "strings, captured", "numbers, in old samples",
        "stream.numeric_types", "string", "int",
    ),
    Conflict(
        3, "media_format", "base64 and 128kbps, captured", "audio/x-raw and 16",
        "stream.media_format.encoding", "base64", "audio/x-raw", "audio/x-raw",
    ),
    Conflict(
        4, "Custom parameters", "25 and 800 characters", "3 and 256",
        "stream.custom_params.max", 25, 3, 3,
    ),
    Conflict(
        5, "Without custom parameters", "no key, captured", "an empty object",
        "stream.omit_empty_custom_parameters", True, False, False,
    ),
    Conflict(
        6, "The bot's spelling", "streamSid works too", "stream_sid alone",
        "stream.accept_camel_case", True, False, False,
    ),
    Conflict(
        7, "Small messages of the bot", "320 bytes play", "3200 at least",
        "stream.min_chunk_policy", "warn", "drop",
    ),
    Conflict(
        8, "3200 bytes", "100 ms at 8 kHz", "200 ms at 8 kHz",
        settled="Arithmetic: 200 ms at 8 kHz, 100 ms at 16 kHz.",
    ),
    Conflict(
        9, "Codec", "PCM, captured", "µ-law as default, in one manual",
        "stream.codec", "pcm_s16le", "mulaw",
    ),
    Conflict(
        10, "What clear drops", "all but the message that plays", "everything",
        "stream.clear_granularity", "message", "packet",
    ),
    Conflict(
        11, "clear from the platform", "never", "listed once",
        "stream.send_clear_to_bot", False, True,
    ),
    Conflict(
        12, "Marks at clear", "echoed, as a similar protocol does", "lost",
        "stream.mark_on_clear", "echo", "drop",
    ),
    Conflict(
        13, "stop from the bot", "ends the stream", "there is no such message",
        "stream.bot_stop", "end", "ignore", "ignore",
    ),
    Conflict(
        14, "dtmf", "a nested object", "flat, on a beta page",
        "stream.dtmf_shape", "nested", "flat",
    ),
    Conflict(
        15, "stop when the bot hung up", "nobody to tell", "callended",
        settled="The socket is gone: nothing can be sent.",
    ),
    Conflict(
        16, "After stop", "TCP ends without a close frame", "close with 1000",
        "stream.close_mode", "abrupt", "normal", "normal",
    ),
    Conflict(
        17, "Caller hangs up in the stream", "completed", "cancelled",
        "stream.caller_hangup_status", "completed", "cancelled",
    ),
    Conflict(
        18, "DisconnectedBy", "user, bot, NA", "caller, bot, system",
        "passthru.disconnected_by_vocab", "user", "caller",
    ),
    Conflict(
        19, "Stream fields", "flat", "one JSON text",
        "passthru.stream_fields_encoding", "flat", "json",
    ),
    Conflict(
        20, "Passthru", "GET", "POST", "passthru.method", "GET", "POST",
    ),
    Conflict(
        21, "Passthru waits", "10 s, between the manuals", "15 s",
        "passthru.timeout_s", 10.0, 15.0, 15.0,
    ),
    Conflict(
        22, "Direction", "incoming", "inbound",
        "passthru.direction_word", "incoming", "inbound",
    ),
    Conflict(
        23, "from and to", "0 and ten digits, captured", "E.164",
        "stream.number_format", "local", "e164", "e164",
    ),
    Conflict(
        24, "Name of the rate", "sample-rate", "sample_rate",
        "stream.accept_sample_rate_underscore", False, True,
    ),
    Conflict(
        25, "Handshake", "10 s", "about 1 s",
        "stream.handshake_timeout_s", 10.0, 1.0,
    ),
    Conflict(
        26, "First timestamp", "0", "10 or more, in samples",
        "stream.timestamp_origin", 0, 20,
    ),
    Conflict(
        27, "SIDs", "28 hex digits and the date, captured", "MZ, CA and hex",
        "stream.sid_style", "dated", "prefixed",
    ),
    Conflict(
        28, "ActiveStreams", "JSON", "XML",
        settled="Open: neither is answered, as the Exotel REST API is not imitated "
        "yet; the setting rest.active_streams_format comes with it.",
    ),
    Conflict(
        29, "Voicebot without a Greeting", "works", "dropped after 20 s",
        "quirks.no_greeting_disconnect", False, True, True,
    ),
    Conflict(
        30, "https:// in an applet", "a resolver is asked", "turned into wss",
        settled="The rule of the applet's own page: a resolver.",
    ),
    Conflict(
        31, "One-way audio", "both parties mixed", "the caller alone",
        "stream.one_way_audio", "mixed", "caller",
    ),
    Conflict(
        32, "10 s without a response", "of the handshake", "of the bot's first word",
        "stream.first_message_timeout_s", None, 10.0,
    ),
    Conflict(
        33, "Passthru when the caller is gone", "sent", "not sent",
        "passthru.after_hangup", "next", "never",
    ),
    Conflict(
        34, "SIP headers for the bot", "the manual's two", "any X- header",
        "sip.custom_headers", ("X-UUI", "X-Custom-Header", "X-Custom-Headers"),
        ("X-UUI", "X-Custom-Header", "X-Team"),
    ),
    Conflict(
        35, "Custom parameters", "in the URL", "in a field of the applet",
        settled="Both are taken, and merged.",
    ),
)  # fmt: skip
