"""The JSON of the stream: what the platform writes, byte by byte.

Streaming spec §2.1 to §2.9: compact JSON, keys in the order of the platform's own
structure, numbers as strings, Go's escapes. The platform's spellings live here and in
``bot_messages``, nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import orjson

from emulator.events import JsonValue
from emulator.stream.interface import StreamRequest
from emulator.stream_options import StreamOptions

CONNECTED = b'{"event":"connected"}'

# An Indian number as the platform writes it: 0 and ten national digits.
_LOCAL_NUMBER = re.compile("0[0-9]{10}")

# What Go's encoding/json escapes inside strings beside what JSON demands. None of
# these characters occurs in the syntax, so replacing in the finished text is safe.
_GO_ESCAPES = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)


def format_json(value: Mapping[str, JsonValue]) -> bytes:
    """Return ``value`` as Go would write it: compact, ``< > &`` escaped.

    Lone surrogates, which UTF-8 cannot carry, become U+FFFD as Go makes them.
    """
    try:
        text = orjson.dumps(value)
    except TypeError:
        text = orjson.dumps(_without_surrogates(value))
    for raw, escaped in _GO_ESCAPES:
        text = text.replace(raw, escaped)
    return text


def _without_surrogates(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in value)
    if isinstance(value, Mapping):
        return {
            str(_without_surrogates(key)): _without_surrogates(item)
            for key, item in value.items()
        }
    return value


def start_body(
    request: StreamRequest,
    custom_parameters: Mapping[str, str],
    sample_rate_hz: int,
    options: StreamOptions,
) -> dict[str, JsonValue]:
    """Return the ``start`` object, keys in wire order (§2.3).

    ``custom_parameters`` come out sorted by byte value, as Go writes a map.
    """
    body: dict[str, JsonValue] = {
        "stream_sid": request.stream_sid,
        "call_sid": request.call_sid,
        "account_sid": request.account_sid,
        "from": _number(request.from_, options),
        "to": _number(request.to, options),
    }
    if custom_parameters or not options.omit_empty_custom_parameters:
        names = sorted(custom_parameters, key=_byte_order)
        body["custom_parameters"] = {name: custom_parameters[name] for name in names}
    body["media_format"] = {
        "encoding": options.media_format_encoding,
        "sample_rate": str(sample_rate_hz),
        "bit_rate": _bit_rate(sample_rate_hz, options),
    }
    return body


def _number(text: str, options: StreamOptions) -> str:
    """Return a party as ``number_format`` spells it; SIP names stay as they are."""
    if options.number_format == "e164" and _LOCAL_NUMBER.fullmatch(text):
        return f"+91{text[1:]}"
    return text


def _byte_order(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


def _bit_rate(sample_rate_hz: int, options: StreamOptions) -> str:
    if options.bit_rate_tracks_sample_rate:
        return f"{sample_rate_hz * 16 // 1000}kbps"
    return options.media_format_bit_rate


class MessageWriter:
    """Writes the messages of one stream; the caller counts.

    Messages are bytes of UTF-8 text. ``sequence_number`` is the one of the message.

    Attributes:
        media_template: A media message (§2.4) for ``%``: its sequence number, chunk,
            timestamp in ms, and payload as base64.
    """

    def __init__(self, stream_sid: str, options: StreamOptions) -> None:
        self._sid = stream_sid
        self._numbers_are_strings = options.numeric_types == "string"
        self._flat_dtmf = options.dtmf_shape == "flat"
        self.media_template = self._media_template()

    def _media_template(self) -> bytes:
        """Return the ``%`` template of a media message, all but its four values."""
        head = format_json({"event": "media", "stream_sid": self._sid})[:-1]
        quote = b'"' if self._numbers_are_strings else b""
        number = quote + b"%d" + quote
        return (
            head.replace(b"%", b"%%")
            + b',"sequence_number":' + number
            + b',"media":{"chunk":' + number
            + b',"timestamp":"%d","payload":"%b"}}'
        )  # fmt: skip

    def start(self, sequence_number: int, body: Mapping[str, JsonValue]) -> bytes:
        """Return ``start`` around the object that ``start_body`` made (§2.3)."""
        return self._numbered("start", sequence_number, body)

    def dtmf(self, sequence_number: int, digit: str, duration_ms: int) -> bytes:
        """Return one key press (§2.8)."""
        if self._flat_dtmf:
            return format_json({"event": "dtmf", "digit": digit})
        body = {"duration": str(duration_ms), "digit": digit}
        return self._numbered("dtmf", sequence_number, body)

    def mark(self, sequence_number: int, name: str) -> bytes:
        """Return the echo of a mark that has been played (§2.6)."""
        return self._numbered("mark", sequence_number, {"name": name})

    def clear(self, sequence_number: int) -> bytes:
        """Return a clear towards the bot, which only a knob asks for (§2.0)."""
        return self._numbered("clear", sequence_number, None)

    def stop(
        self, sequence_number: int, call_sid: str, account_sid: str, reason: str
    ) -> bytes:
        """Return the last message (§2.9)."""
        body = {"call_sid": call_sid, "account_sid": account_sid, "reason": reason}
        return self._numbered("stop", sequence_number, body)

    def _numbered(
        self, event: str, sequence_number: int, body: Mapping[str, JsonValue] | None
    ) -> bytes:
        number: JsonValue = sequence_number
        if self._numbers_are_strings:
            number = str(sequence_number)
        message: dict[str, JsonValue] = {
            "event": event,
            "stream_sid": self._sid,
            "sequence_number": number,
        }
        if body is not None:
            message[event] = body
        return format_json(message)
