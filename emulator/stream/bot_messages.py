"""The JSON of the stream: what a bot writes, read liberally.

Decisions: accept what real bots send, and say so. Every deviation is a rule of
``rules.RULES`` handed to ``note``; nothing here raises, whatever the bot sends.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson
import pybase64

from emulator.stream.interface import SAMPLE_BYTES, StreamRequest
from emulator.stream.rules import Example
from emulator.stream.usual_media import UsualMedia
from emulator.stream_options import StreamOptions

# The manual's limits for one media message (streaming spec §2.5).
MIN_MEDIA_BYTES = 3200
MAX_MEDIA_BYTES = 100_000
MEDIA_MULTIPLE_BYTES = 320

PLATFORM_ONLY_EVENTS = frozenset({"connected", "start", "dtmf"})
_KNOWN_KEYS = frozenset(
    {"event", "stream_sid", "streamSid", "sequence_number", "sequenceNumber"}
)
_KNOWN_MEDIA_KEYS = frozenset({"payload", "chunk", "timestamp", "sequenceNumber"})
_PAYLOAD_KEY = b'"payload"'
# A payload of nobody: no base64 has these characters.
_NO_PAYLOAD = "****"
_NUMBER_KEYS = ("sequence_number", "sequenceNumber", "chunk", "timestamp")


@dataclass(frozen=True, slots=True)
class BotMark:
    """Echo ``name`` once everything sent before it has been played."""

    name: str


@dataclass(frozen=True, slots=True)
class BotClear:
    """Drop what is queued."""


@dataclass(frozen=True, slots=True)
class BotStop:
    """The bot wants the stream to end, and may say why."""

    reason: str


# Audio travels as bytes: it is the per-packet path. None: nothing to do.
BotMessage: TypeAlias = bytes | BotMark | BotClear | BotStop | None
Note: TypeAlias = Callable[[str, Example], None]


class BotMessageReader:
    """Reads the messages of one bot, and keeps the half sample between two.

    ``note(rule, example)`` is called for every deviation, as often as it occurs.
    ``usual`` learns what media needs no reading; whoever asks it first, and comes here
    with the rest, gets the same audio and the same counts of broken rules.
    """

    def __init__(
        self,
        request: StreamRequest,
        options: StreamOptions,
        note: Note,
        usual: UsualMedia,
    ) -> None:
        self._sid = request.stream_sid
        self._two_way = request.two_way
        self._pcm = SAMPLE_BYTES[request.codec] == 2
        self._options = options
        self._note = note
        self._usual = usual
        self._half_sample = b""

    def read(self, text: bytes) -> BotMessage:
        """Return what ``text`` asks for: audio in whole samples, an order, or None."""
        message = self._parse(text)
        if message is None:
            return None
        payload = self._documented_payload(message)
        if payload is not None:
            carried = self._half_sample
            audio = self._read_payload(payload, text)
            self._learn(text, payload, None if carried else audio)
            return audio
        event = self._get(message, "event")
        read_body = _BODY_READERS.get(event) if isinstance(event, str) else None
        if read_body is None:
            only_ours = isinstance(event, str) and event in PLATFORM_ONLY_EVENTS
            self._note("message.direction" if only_ours else "message.event", text)
        elif not self._two_way and event != "stop":
            self._note("message.one_way", text)
        elif self._is_for_us(message, text) and self._keys_are_fine(
            message, event, text
        ):
            return read_body(self, self._get(message, event), text)
        return None

    def _parse(self, text: bytes) -> dict[str, Any] | None:
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            self._note("message.json", text)
            return None
        if isinstance(message, dict):
            return message
        self._note("message.object", text)
        return None

    def _documented_payload(self, message: Mapping[str, Any]) -> str | None:
        """Return the payload of media that is exactly as documented."""
        if len(message) != 3 or message.get("stream_sid") != self._sid:
            return None
        body = message.get("media")
        if message.get("event") != "media" or not self._two_way:
            return None
        if not isinstance(body, dict) or len(body) != 1:
            return None
        payload = body.get("payload")
        return payload if isinstance(payload, str) else None

    def _get(self, mapping: Mapping[str, Any], key: str) -> Any:
        """Return a value by name, in any case, as Go matches names (§2.1)."""
        value = mapping.get(key)
        if value is not None:
            return value
        for name, value in mapping.items():
            if name != key and name.lower() == key:
                self._note("message.key_case", name)
                return value
        return None

    def _is_for_us(self, message: Mapping[str, Any], text: bytes) -> bool:
        sid = self._get(message, "stream_sid")
        if sid is None and "streamSid" in message:
            if not self._options.accept_camel_case:
                self._note("sid.camel_case_dropped", text)
                return False
            self._note("sid.camel_case", text)
            sid = message["streamSid"]
        if sid == self._sid:
            return True
        if sid is None or sid == "":
            self._note("sid.missing", text)
            return True
        accepted = self._options.foreign_stream_sid == "accept"
        self._note("sid.foreign_accepted" if accepted else "sid.foreign", text)
        return accepted

    def _keys_are_fine(
        self, message: Mapping[str, Any], event: str, text: bytes
    ) -> bool:
        """Note what is too much; False when a strict decoder would drop it all."""
        body = message.get(event)
        fields = body if isinstance(body, dict) else {}
        if len(message) == 3 and "stream_sid" in message and len(fields) == 1:
            return True
        extra = message.keys() - _KNOWN_KEYS
        if event == "media":
            extra |= fields.keys() - _KNOWN_MEDIA_KEYS
        if any(name.lower() not in _KNOWN_KEYS | {event, "payload"} for name in extra):
            self._note("message.extra_keys", ", ".join(sorted(extra - {event})))
        return self._numbers_are_fine(message, fields, text)

    def _numbers_are_fine(
        self, message: Mapping[str, Any], body: Mapping[str, Any], text: bytes
    ) -> bool:
        if not any(
            isinstance(place.get(key), (int, float))
            for place in (message, body)
            for key in _NUMBER_KEYS
        ):
            return True
        strict = self._options.strict_string_numbers
        self._note("message.number_dropped" if strict else "message.number", text)
        return not strict

    def _read_media(self, body: Any, text: bytes) -> bytes | None:
        payload = self._get(body, "payload") if isinstance(body, dict) else None
        if not isinstance(payload, str):
            self._note("media.payload", text)
            return None
        return self._read_payload(payload, text)

    def _read_payload(self, payload: str, text: bytes) -> bytes | None:
        audio = self._decode(payload)
        if audio is None:
            self._note("media.base64", text)
            return None
        return self._whole_samples(audio) if self._may_play(audio) else None

    def _decode(self, payload: str) -> bytes | None:
        try:
            return pybase64.b64decode(payload, validate=True)
        except ValueError:
            pass
        body = "".join(payload.split()).rstrip("=")
        body = body.replace("-", "+").replace("_", "/")
        try:
            audio = pybase64.b64decode(body + "=" * (-len(body) % 4), validate=True)
        except (binascii.Error, ValueError):
            return None
        self._note("media.base64_form", payload)
        return audio

    def _may_play(self, audio: bytes) -> bool:
        """Hold one message's audio against the documented limits."""
        size = len(audio)
        if size == 0:
            self._note("media.empty", size)
            return False
        rules = self._rules_of_size(size)
        for rule in rules:
            self._note(rule, size)
        if audio.startswith(b"RIFF") and audio[8:12] == b"WAVE":
            self._note("media.wav_header", size)
        return "media.small_dropped" not in rules

    def _rules_of_size(self, size: int) -> tuple[str, ...]:
        """Return the rules that audio of that size breaks."""
        policy = self._options.min_chunk_policy
        small = "media.small_dropped" if policy == "drop" else "media.small"
        broken = {
            small: size < MIN_MEDIA_BYTES and policy != "lenient",
            "media.large": size > MAX_MEDIA_BYTES,
            "media.multiple": size % MEDIA_MULTIPLE_BYTES != 0,
        }
        return tuple(rule for rule, is_broken in broken.items() if is_broken)

    def _learn(self, text: bytes, payload: str, audio: bytes | None) -> None:
        """Remember what a documented message looks like whose audio was all it had."""
        self._usual.forget()
        if audio is None or self._half_sample or not payload.isascii():
            return
        at = text.find(b'"', text.rfind(_PAYLOAD_KEY) + len(_PAYLOAD_KEY)) + 1
        end = at + len(payload)
        head, tail, size = text[:at], text[end:], len(audio)
        # Any other length is another form of base64.
        is_whole = len(payload) == -(-size // 3) * 4
        if is_whole and text[at:end] == payload.encode() and self._wraps(head, tail):
            self._usual.learn(head, tail, len(text), size, self._rules_of_size(size))

    def _wraps(self, head: bytes, tail: bytes) -> bool:
        """Whether what stands between them is the payload: found by trying another.

        A key that comes twice, or a name in a value, can look like the payload.
        """
        try:
            message = orjson.loads(head + _NO_PAYLOAD.encode() + tail)
        except orjson.JSONDecodeError:
            return False
        return self._documented_payload(message) == _NO_PAYLOAD

    def _whole_samples(self, audio: bytes) -> bytes:
        if not self._pcm:
            return audio
        if self._half_sample:
            audio = self._half_sample + audio
            self._half_sample = b""
        if len(audio) % 2:
            self._note("media.odd", len(audio))
            # It goes before whatever is next, however usual.
            self._usual.forget()
            self._half_sample = audio[-1:]
            audio = audio[:-1]
        return audio

    def _read_mark(self, body: Any, text: bytes) -> BotMark | None:
        name = self._get(body, "name") if isinstance(body, dict) else None
        if isinstance(name, str):
            return BotMark(name)
        if isinstance(name, (int, float)):
            if self._options.strict_string_numbers:
                self._note("message.number_dropped", text)
                return None
            self._note("mark.name_type", text)
            return BotMark(orjson.dumps(name).decode())
        self._note("mark.name", text)
        return None

    def _read_clear(self, body: Any, text: bytes) -> BotClear:
        # Half a sample of dropped audio must not shift what comes after it.
        self._half_sample = b""
        return BotClear()

    def _read_stop(self, body: Any, text: bytes) -> BotStop:
        reason = body.get("reason") if isinstance(body, dict) else None
        return BotStop(reason if isinstance(reason, str) else "")


_BODY_READERS: Mapping[str, Callable[[BotMessageReader, Any, bytes], BotMessage]] = {
    "media": BotMessageReader._read_media,
    "mark": BotMessageReader._read_mark,
    "clear": BotMessageReader._read_clear,
    "stop": BotMessageReader._read_stop,
}
