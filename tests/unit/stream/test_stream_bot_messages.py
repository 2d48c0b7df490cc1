"""What comes from the bot: read liberally, every deviation noted."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.stream.bot_messages import (
    BotClear,
    BotMark,
    BotMessage,
    BotMessageReader,
    BotStop,
)
from emulator.stream.interface import StreamRequest
from emulator.stream.rules import RULES, Example
from emulator.stream.usual_media import UsualMedia
from emulator.stream_options import profile_options

SID = "5" * 32


class Bot:
    """A reader behind its short way, and the rules that were broken on the way."""

    def __init__(self, codec: str = "pcm_s16le", two_way: bool = True, **knobs: Any):
        request = StreamRequest(
            SID, "c", "a", "ws://b/", "1", "2", codec=codec, two_way=two_way
        )
        self.rules: list[str] = []
        options = profile_options("observed", **knobs)
        self.usual = UsualMedia(self.settle)
        self.usual.hear = self.hear
        self.heard = b""
        self.reader = BotMessageReader(request, options, self.note, self.usual)

    def note(self, rule: str, example: Example) -> None:
        assert rule in RULES
        self.rules.append(rule)

    def settle(self, messages: int, audio_bytes: int, rules: tuple[str, ...]) -> None:
        assert messages == 1
        assert audio_bytes == len(self.heard)
        assert set(rules) <= set(self.rules)
        self.rules += rules

    def hear(self, audio: bytes) -> None:
        self.heard = audio

    def says(self, message: object) -> BotMessage:
        text = message if isinstance(message, bytes) else json.dumps(message).encode()
        if len(text) == self.usual.text_bytes and self.usual.take(text):
            self.usual.settle()
            return self.heard
        return self.reader.read(text)

    def plays(self, audio: bytes, **changes: Any) -> BotMessage:
        return self.says(media(audio, **changes))


def media(audio: bytes, **changes: Any) -> dict[str, Any]:
    payload = base64.b64encode(audio).decode()
    message = {"event": "media", "stream_sid": SID, "media": {"payload": payload}}
    return {name: v for name, v in {**message, **changes}.items() if v is not None}


AUDIO = bytes(range(256)) * 25


def test_the_documented_form_needs_no_note() -> None:
    bot = Bot()
    assert bot.plays(AUDIO) == AUDIO
    assert bot.says({"event": "mark", "stream_sid": SID, "mark": {"name": "x"}}) == (
        BotMark("x")
    )
    assert bot.says({"event": "clear", "stream_sid": SID}) == BotClear()
    assert bot.rules == []


def test_stop_carries_its_reason_if_there_is_one() -> None:
    bot = Bot()
    stop = {"event": "stop", "stream_sid": SID}
    assert bot.says(stop) == BotStop("")
    assert bot.says({**stop, "stop": {"reason": "bye"}}) == BotStop("bye")
    assert bot.says({**stop, "stop": {"reason": 7}}) == BotStop("")


# -- which stream


def test_stream_sid_in_camel_case_is_accepted_with_a_note() -> None:
    bot = Bot()
    assert bot.plays(AUDIO, stream_sid=None, streamSid=SID) == AUDIO
    assert bot.rules == ["sid.camel_case"]


def test_stream_sid_in_camel_case_is_dropped_by_knob() -> None:
    bot = Bot(accept_camel_case=False)
    assert bot.plays(AUDIO, stream_sid=None, streamSid=SID) is None
    assert bot.rules == ["sid.camel_case_dropped"]


def test_both_spellings_count_as_the_documented_one() -> None:
    bot = Bot(accept_camel_case=False)
    assert bot.plays(AUDIO, streamSid=SID) == AUDIO


def test_a_missing_stream_sid_is_accepted_with_a_note() -> None:
    bot = Bot()
    assert bot.plays(AUDIO, stream_sid=None) == AUDIO
    assert bot.plays(AUDIO, stream_sid="") == AUDIO
    assert bot.rules == ["sid.missing"] * 2


@pytest.mark.parametrize("sid", ["other", 7, [], {}, SID.upper() + "x"])
def test_another_streams_message_is_ignored_or_accepted_by_knob(sid: object) -> None:
    strict, lenient = Bot(), Bot(foreign_stream_sid="accept")
    assert strict.plays(AUDIO, stream_sid=sid) is None
    assert lenient.plays(AUDIO, stream_sid=sid) == AUDIO
    assert (strict.rules, lenient.rules) == (["sid.foreign"], ["sid.foreign_accepted"])


# -- which event


@pytest.mark.parametrize("event", ["connected", "start", "dtmf"])
def test_the_platforms_own_events_are_ignored(event: str) -> None:
    bot = Bot()
    assert bot.says({"event": event, "stream_sid": SID, event: {}}) is None
    assert bot.rules == ["message.direction"]


@pytest.mark.parametrize("event", ["hangup", "", None, 7, [], {}, "MEDIA"])
def test_an_unknown_event_is_ignored(event: object) -> None:
    bot = Bot()
    assert bot.says({"event": event, "stream_sid": SID}) is None
    assert bot.rules == ["message.event"]


@pytest.mark.parametrize("text", [b"", b"hello", b"{", b"[" * 10_000, b"NaN", b"{]}"])
def test_what_is_no_json_is_ignored(text: bytes) -> None:
    bot = Bot()
    assert bot.says(text) is None
    assert bot.rules == ["message.json"]


@pytest.mark.parametrize("text", [b"1", b'"media"', b"null", b"[]", b"true"])
def test_json_that_is_no_object_is_ignored(text: bytes) -> None:
    bot = Bot()
    assert bot.says(text) is None
    assert bot.rules == ["message.object"]


def test_a_one_way_stream_takes_only_stop() -> None:
    bot = Bot(two_way=False)
    assert bot.plays(AUDIO) is None
    assert bot.says({"event": "stop", "stream_sid": SID}) == BotStop("")
    assert bot.rules == ["message.one_way"]


# -- keys and types


def test_optional_keys_are_known() -> None:
    bot = Bot()
    body = {"payload": media(AUDIO)["media"]["payload"], "chunk": "1", "timestamp": "0"}
    assert bot.says(media(b"", sequence_number="3", media=body)) == AUDIO
    assert bot.rules == []


def test_numbers_where_strings_are_documented_are_noted_or_dropped() -> None:
    lenient, strict = Bot(), Bot(strict_string_numbers=True)
    message = media(AUDIO, sequence_number=3)
    assert lenient.says(message) == AUDIO
    assert strict.says(message) is None
    assert lenient.rules == ["message.number"]
    assert strict.rules == ["message.number_dropped"]


def test_a_number_inside_media_counts_too() -> None:
    bot = Bot()
    payload = media(AUDIO)["media"]["payload"]
    assert bot.says(media(b"", media={"payload": payload, "chunk": 1})) == AUDIO
    assert bot.rules == ["message.number"]


def test_unknown_keys_are_accepted_with_a_note_that_names_them() -> None:
    bot = Bot()
    assert bot.plays(AUDIO, colour="red") == AUDIO
    payload = media(AUDIO)["media"]["payload"]
    assert bot.says(media(b"", media={"payload": payload, "track": "out"})) == AUDIO
    assert bot.rules == ["message.extra_keys"] * 2


def test_keys_in_another_case_match_as_in_go() -> None:
    bot = Bot()
    payload = media(AUDIO)["media"]["payload"]
    message = {"Event": "media", "Stream_SID": SID, "Media": {"Payload": payload}}
    assert bot.says(message) == AUDIO
    assert set(bot.rules) == {"message.key_case"}


# -- audio


@pytest.mark.parametrize(
    "body", [None, 7, "AAAA", [], {}, {"payload": None}, {"payload": 7}]
)
def test_media_without_a_payload_is_ignored(body: object) -> None:
    bot = Bot()
    assert bot.says({"event": "media", "stream_sid": SID, "media": body}) is None
    assert "media.payload" in bot.rules


@pytest.mark.parametrize("payload", ["A", "A===", "!!!!", "AAAA\x00AAA", "é", "AAAAA"])
def test_a_payload_that_is_no_base64_is_ignored(payload: str) -> None:
    bot = Bot()
    assert bot.says(media(b"", media={"payload": payload})) is None
    assert bot.rules == ["media.base64"]


def test_base64_in_other_forms_is_accepted_with_a_note() -> None:
    audio = b"\xff\xfe" * 1600
    standard = base64.b64encode(audio).decode()
    for payload in (
        standard.rstrip("="),
        standard.replace("/", "_").replace("+", "-"),
        "\r\n".join(standard[i : i + 76] for i in range(0, len(standard), 76)),
    ):
        bot = Bot()
        assert bot.says(media(b"", media={"payload": payload})) == audio
        assert bot.rules == ["media.base64_form"]


def test_an_empty_payload_plays_nothing() -> None:
    bot = Bot()
    assert bot.plays(b"") is None
    assert bot.rules == ["media.empty"]


@pytest.mark.parametrize(
    ("policy", "plays", "rules"),
    [("lenient", True, []), ("warn", True, ["media.small"]),
     ("drop", False, ["media.small_dropped"])],
)  # fmt: skip
def test_small_media_is_played_noted_or_dropped(
    policy: str, plays: bool, rules: list[str]
) -> None:
    bot = Bot(min_chunk_policy=policy)
    assert bot.plays(bytes(320)) == (bytes(320) if plays else None)
    assert bot.rules == rules


@pytest.mark.parametrize(
    ("size", "rules"),
    [(3200, []), (99_840, []), (100_160, ["media.large"]), (3202, ["media.multiple"])],
)
def test_media_is_held_against_the_documented_sizes(
    size: int, rules: list[str]
) -> None:
    bot = Bot()
    assert bot.plays(bytes(size)) == bytes(size)
    assert bot.rules == rules


def test_an_odd_byte_is_carried_over_to_the_next_message() -> None:
    bot = Bot(min_chunk_policy="lenient")
    assert bot.plays(b"\x01\x02\x03") == b"\x01\x02"
    assert bot.plays(b"\x04\x05") == b"\x03\x04"
    assert bot.plays(b"\x06") == b"\x05\x06"
    assert bot.rules.count("media.odd") == 2


def test_clear_forgets_the_odd_byte() -> None:
    bot = Bot(min_chunk_policy="lenient")
    bot.plays(b"\x01\x02\x03")
    bot.says({"event": "clear", "stream_sid": SID})
    assert bot.plays(b"\x04\x05") == b"\x04\x05"


def test_mulaw_has_no_odd_bytes() -> None:
    bot = Bot(codec="mulaw", min_chunk_policy="lenient")
    assert bot.plays(b"\x01\x02\x03") == b"\x01\x02\x03"
    assert "media.odd" not in bot.rules


def test_a_wav_header_is_played_with_a_note() -> None:
    bot = Bot()
    wav = b"RIFF\x00\x00\x00\x00WAVEfmt " + bytes(3184)
    assert bot.plays(wav) == wav
    assert bot.rules == ["media.wav_header"]


def test_a_wav_header_is_noted_also_behind_usual_media() -> None:
    bot = Bot()
    bot.plays(bytes(3200))
    bot.plays(bytes(3200))
    bot.plays(b"RIFF\x00\x00\x00\x00WAVEfmt " + bytes(3184))
    assert bot.rules == ["media.wav_header"]


# -- marks


@pytest.mark.parametrize("name", ["", "end of sentence", "\u0928\u092e", "x" * 5000])
def test_any_text_is_a_mark_name(name: str) -> None:
    bot = Bot()
    mark = {"event": "mark", "stream_sid": SID, "mark": {"name": name}}
    assert bot.says(mark) == BotMark(name)
    assert bot.rules == []


def test_a_number_as_mark_name_is_echoed_as_text() -> None:
    bot = Bot()
    mark = {"event": "mark", "stream_sid": SID, "mark": {"name": 7}}
    assert bot.says(mark) == BotMark("7")
    assert bot.rules == ["mark.name_type"]


@pytest.mark.parametrize("body", [None, "x", {}, {"name": None}, {"name": []}])
def test_a_mark_without_a_name_is_ignored(body: object) -> None:
    bot = Bot()
    assert bot.says({"event": "mark", "stream_sid": SID, "mark": body}) is None
    assert "mark.name" in bot.rules


# -- anything at all

KEYS = st.sampled_from(
    ["event", "media", "mark", "stop", "payload", "name", "stream_sid", "Event"]
) | st.text(max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    max_leaves=10,
)


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_a_message_or_ignored(text: bytes) -> None:
    Bot().says(text)


@given(
    st.sampled_from(["media", "mark", "clear", "stop", "start", "x"]),
    st.dictionaries(KEYS, JSON),
)
def test_any_object_is_a_message_or_ignored(event: str, body: dict[str, Any]) -> None:
    bot = Bot()
    got = bot.says({"event": event, "stream_sid": SID, event: body, **body})
    if isinstance(got, bytes):
        assert len(got) % 2 == 0


# -- the short way: messages like the one before ---------------------------------------


@st.composite
def talks(draw: st.DrawFn) -> list[bytes]:
    """Messages that resemble each other: repeated, damaged, of other sizes."""
    sizes = st.sampled_from([0, 47, 48, 320, 321, 638, 640, 641, 642, 3200, 100_002])
    texts: list[bytes] = []
    for _ in range(draw(st.integers(1, 8))):
        audio = draw(st.binary(min_size=3, max_size=3)) * (draw(sizes) // 3 + 1)
        text = json.dumps(media(audio[: draw(sizes)])).encode()
        kind = draw(st.sampled_from(["as is", "as is", "cut", "bytes", "again", "key"]))
        if kind == "cut":
            text = text[: draw(st.integers(0, len(text)))]
        elif kind == "bytes" and len(text) > 150:
            at = draw(st.integers(60, len(text) - 1))
            new = draw(st.sampled_from([b'"', b"\\", b"=", b"\n", b"-", b"A", b"RIFF"]))
            text = text[:at] + new + text[at + len(new) :]
        elif kind == "key":
            text = text.replace(b'"media": {', b'"extra": 1, "media": {')
        texts.append(text)
        if kind == "again":
            texts.append(text)
    return texts


@given(talks(), st.sampled_from(["warn", "drop", "lenient"]))
def test_a_message_is_read_alike_whatever_came_before(
    texts: list[bytes], policy: str
) -> None:
    """The reader that has learnt from the one before, and one that never learns."""
    quick = Bot(min_chunk_policy=policy)
    slow = Bot(min_chunk_policy=policy)
    for text in texts:
        slow.usual.forget()
        assert quick.says(text) == slow.says(text)
        assert quick.rules == slow.rules


def test_the_short_way_is_taken() -> None:
    bot = Bot()
    assert bot.plays(AUDIO) == AUDIO
    bot.says(b'{"event":"clear","stream_sid":"%b"}' % SID.encode())
    assert bot.usual.take(json.dumps(media(AUDIO[::-1])).encode())
    assert bot.heard == AUDIO[::-1]


@pytest.mark.parametrize(
    "decoy",
    [
        b'"event":["\\"payload","AAAA"],',
        b'"event":"\\"payload\\"",',
        b'"event":{"payload":"AAAA"},',
        b'"media":{"payload":"AAAA"},',
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_what_looks_like_the_payload_is_not_taken_for_it(
    decoy: bytes, is_first: bool
) -> None:
    """Keys may come twice; the last one counts, wherever the other stands."""
    sid = b'"stream_sid":"%b",' % SID.encode()
    says, ends = b'"media":{"payload":"AAAA"},', b'"event":"media"}'
    parts = (decoy, says) if is_first else (says, decoy)
    text = b"{" + sid + b"".join(parts) + ends
    for at in range(len(text)):
        if text[at : at + 4] == b"AAAA":
            quick, slow = Bot("mulaw"), Bot("mulaw")
            other = text[:at] + b"BBBB" + text[at + 4 :]
            assert quick.says(text) == slow.says(text)
            slow.usual.forget()
            assert quick.says(other) == slow.says(other)


def test_a_mark_whose_name_is_a_number_is_dropped_where_numbers_are() -> None:
    strict = Bot(strict_string_numbers=True)
    assert (
        strict.says({"event": "mark", "stream_sid": SID, "mark": {"name": 5}}) is None
    )
    assert strict.rules == ["message.number_dropped"]
