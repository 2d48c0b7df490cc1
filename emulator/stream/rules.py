"""The rules that a bot can break, and the ledger that says so once each.

A deviation never surprises its author twice: the first one makes a ``note`` on the
timeline, with the rule, where it is written and the example; the rest are counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from emulator.events import JsonValue

# An example is for a reader's eye, not for replay.
MAX_EXAMPLE_CHARS = 200
# A message as it came, a phrase, or a size in bytes; formatted only when first seen.
Example: TypeAlias = bytes | str | int


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: what was seen, what was done about it, and where it is written."""

    text: str
    cites: str


RULES: Mapping[str, Rule] = {
    "message.binary": Rule(
        "binary message ignored; messages are text frames that hold one JSON object",
        "streaming spec §1.1",
    ),
    "message.json": Rule("message is no JSON: ignored", "streaming spec §2.10"),
    "message.object": Rule(
        "message is no JSON object: ignored", "streaming spec §1.1"
    ),
    "message.event": Rule(
        "message names no event that a bot may send: ignored", "streaming spec §2.0"
    ),
    "message.direction": Rule(
        "this event goes from the platform to the bot only: ignored",
        "streaming spec §2.0",
    ),
    "message.one_way": Rule(
        "a one-way stream takes nothing from the bot: ignored", "streaming spec §3"
    ),
    "message.extra_keys": Rule(
        "keys beside the documented ones: accepted and not read",
        "streaming spec §2.5",
    ),
    "message.key_case": Rule(
        "key in another case: accepted; the documented spelling is lower case",
        "streaming spec §2.1",
    ),
    "message.number": Rule(
        "JSON number accepted; the platform's messages carry strings, and a strict "
        "decoder may drop this",
        "streaming spec §2.1",
    ),
    "message.number_dropped": Rule(
        "JSON number where a string is wanted: dropped "
        "(stream.strict_string_numbers)",
        "streaming spec §2.1",
    ),
    "sid.camel_case": Rule(
        "streamSid accepted; documented spelling is stream_sid",
        "streaming spec §2.5",
    ),
    "sid.camel_case_dropped": Rule(
        "streamSid without stream_sid: dropped (stream.accept_camel_case)",
        "streaming spec §2.5",
    ),
    "sid.missing": Rule(
        "message without stream_sid accepted; it is documented as required",
        "streaming spec §2.5",
    ),
    "sid.foreign": Rule(
        "message names another stream: ignored (stream.foreign_stream_sid)",
        "streaming spec §2.5",
    ),
    "sid.foreign_accepted": Rule(
        "message names another stream: accepted (stream.foreign_stream_sid)",
        "streaming spec §2.5",
    ),
    "media.payload": Rule(
        "media.payload missing or no string: ignored", "streaming spec §2.5"
    ),
    "media.base64": Rule("media.payload is no base64: ignored", "streaming spec §2.5"),
    "media.base64_form": Rule(
        "base64 accepted although unpadded, broken into lines or of the URL "
        "alphabet; documented is the standard one",
        "streaming spec §2.4",
    ),
    "media.empty": Rule("media without audio: nothing to play", "streaming spec §2.5"),
    "media.small": Rule(
        "media under 3200 bytes played; the documented minimum is 3200",
        "streaming spec §2.5",
    ),
    "media.small_dropped": Rule(
        "media under 3200 bytes dropped (stream.min_chunk_policy)",
        "streaming spec §2.5",
    ),
    "media.large": Rule(
        "media over 100000 bytes played; the documented maximum is 100 kB",
        "streaming spec §2.5",
    ),
    "media.multiple": Rule(
        "media is no multiple of 320 bytes: its last packet is short and costs a "
        "gap of up to 20 ms",
        "streaming spec §2.5",
    ),
    "media.odd": Rule(
        "media ends in the middle of a sample: the odd byte goes before the next",
        "streaming spec §2.5",
    ),
    "media.wav_header": Rule(
        "payload starts with a WAV header, which is played as noise; send raw samples",
        "streaming spec §2.5",
    ),
    "mark.name": Rule("mark without a name: ignored", "streaming spec §2.6"),
    "mark.name_type": Rule(
        "mark name is no string: echoed as text", "streaming spec §2.6"
    ),
    "mark.storm": Rule(
        "more marks at once than anyone can hear: the echoes are spread over the "
        "next chunks",
        "streaming spec §2.6",
    ),
    "mark.overflow": Rule(
        "too many marks outstanding: this one is not echoed", "streaming spec §2.6"
    ),
    "stop.ended": Rule(
        "the bot sent stop: stream ended; the manuals disagree whether a bot may",
        "streaming spec §2.10",
    ),
    "stop.ignored": Rule(
        "the bot sent stop: ignored (stream.bot_stop); close the socket instead",
        "streaming spec §2.10",
    ),
    "bot.silent": Rule(
        "no message from the bot for 10 s after start", "streaming spec §1.6"
    ),
    "bot.flood": Rule(
        "the bot sends faster than it is read: its socket is read in slices",
        "streaming spec §2.5",
    ),
    "bot.slow_reader": Rule(
        "the bot does not read: the oldest audio towards it is dropped "
        "(stream.max_write_buffer_bytes)",
        "streaming spec §2.4",
    ),
    "tls.unverified": Rule(
        "the bot's certificate is not verified (stream.tls_verify); the platform "
        "verifies it",
        "streaming spec §1.6",
    ),
    "url.params_many": Rule(
        "more than 3 custom parameters: accepted here, refused under the older limit",
        "streaming spec §1.4",
    ),
    "url.params_long": Rule(
        "custom parameters of more than 256 characters: accepted here, refused "
        "under the older limit",
        "streaming spec §1.4",
    ),
    "url.params_repeated": Rule(
        "custom parameter given twice: the first value counts", "streaming spec §1.4"
    ),
    "url.sample_rate": Rule(
        "sample-rate is not 8000, 16000 or 24000: 8000 is used", "streaming spec §1.4"
    ),
    "url.sample_rate_name": Rule(
        "sample_rate is not obeyed; the documented name is sample-rate",
        "streaming spec §1.4",
    ),
}  # fmt: skip


class RuleLedger:
    """Counts broken rules; the first break of each is worth a note."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def record(self, rule: str, example: Example) -> dict[str, JsonValue] | None:
        """Count a break of ``rule``; return the note's data if it is the first."""
        count = self._counts.get(rule, 0) + 1
        self._counts[rule] = count
        if count > 1:
            return None
        told = RULES[rule]
        return {
            "rule": rule,
            "text": told.text,
            "cites": told.cites,
            "example": format_example(example),
        }

    def record_again(self, rule: str, times: int) -> None:
        """Count further breaks of a rule that was recorded before."""
        self._counts[rule] += times

    def counts(self) -> dict[str, JsonValue]:
        """Return how often each rule was broken, by rule."""
        return dict(self._counts)


def format_example(example: Example) -> str:
    """Return ``example`` as text that fits on a timeline."""
    if isinstance(example, int):
        return f"{example} bytes"
    if isinstance(example, bytes):
        # A character has at most 4 bytes: no need to decode a whole huge message.
        head = example[: 4 * MAX_EXAMPLE_CHARS].decode("utf-8", "replace")
        return _shorten(head, f"{len(example)} bytes")
    return _shorten(example, f"{len(example)} characters")


def _shorten(text: str, size: str) -> str:
    if len(text) <= MAX_EXAMPLE_CHARS:
        return text
    return f"{text[:MAX_EXAMPLE_CHARS]}… ({size})"
