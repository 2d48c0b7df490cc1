"""The short way of the bot's media, from the frame on: no effect but its speed."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picows import WSMsgType, WSProtocolError, WSTransport
from picows.picows import _make_test_ws_frame

from emulator.clock import SystemClock
from emulator.events import JsonValue
from emulator.ids import IdSource
from emulator.stream.client import StreamClient, _State
from emulator.stream.interface import StreamOutcome, StreamRequest
from emulator.stream.link import FLOOD_FRAMES, BotLink
from emulator.stream.usual_media import no_usual_media
from emulator.stream_options import StreamOptions

SID = "5" * 32
Frame = tuple[WSMsgType, bytes, bool, bool]


class Sink:
    """Keeps what it hears of a stream, all but the times."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def stream_opened(self) -> None:
        self.heard.append("opened")

    def bot_audio(self, pcm: bytes | memoryview) -> None:
        self.heard.append(bytes(pcm))

    def bot_mark(self, name: str) -> None:
        self.heard.append(("mark", name))

    def bot_clear(self) -> None:
        self.heard.append("clear")

    def stream_happened(
        self, kind: str, at_s: float, data: Mapping[str, JsonValue]
    ) -> None:
        if kind != "stream.opened":  # It carries a duration.
            self.heard.append((kind, data))

    def stream_ended(self, ended: StreamOutcome) -> None:
        self.heard.append("ended")


class Transport:
    """picows' transport and the one below, as far as frames go."""

    is_disconnected = False
    is_paused = False
    close_handshake = None

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.underlying_transport = self

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def is_reading(self) -> bool:
        return not self.is_paused

    def pause_reading(self) -> None:
        self.is_paused = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.sent.append(b"FIN")

    def disconnect(self, graceful: bool = True) -> None:
        self.sent.append(b"gone")

    def send(self, kind: WSMsgType, text: bytes) -> None:
        self.sent.append(text)

    def send_pong(self, payload: bytes) -> None:
        self.sent.append(payload)


class _NeverLate:
    def expired(self) -> bool:
        return False

    def reschedule(self, when: float | None) -> None:
        pass


class Stream:
    """A stream whose frames come from a test."""

    def __init__(self, *, has_short_way: bool = True, **request: Any) -> None:
        asked = StreamRequest(SID, "c", "a", "ws://127.0.0.1:1/", "1", "2", **request)
        self.sink, self.transport = Sink(), Transport()
        options = StreamOptions(max_message_bytes=2048)
        self.client = StreamClient(asked, options, self.sink, SystemClock(), IdSource())
        link = self.client._link
        assert isinstance(link, BotLink)
        self.link = link
        if not has_short_way:
            link._usual = no_usual_media()
        self.client._state = _State.CONNECTING
        link._deadline = cast(asyncio.Timeout, _NeverLate())
        link.connected(cast(WSTransport, self.transport))

    def take(self, frame: Frame) -> None:
        made = _make_test_ws_frame(*frame)
        try:
            self.link.frame_arrived(cast(WSTransport, self.transport), made)
        except WSProtocolError as error:
            self.sink.heard.append(("violation", int(error.code)))

    def obey(self, order: str) -> None:
        match order:
            case "stop":
                self.client.close("callended")
            case "gone":
                self.client.bot_closed()
            case "over":
                self.link.stop_reading()

    def effects(self) -> tuple[object, ...]:
        protocol = self.client._protocol
        return (
            self.sink.heard,
            self.transport.sent,
            self.transport.is_paused,
            protocol.stats(),
            self.link.end,
        )


def media(audio: bytes, sid: str = SID) -> bytes:
    payload = base64.b64encode(audio).decode()
    message = {"event": "media", "stream_sid": sid, "media": {"payload": payload}}
    return json.dumps(message).encode()


def text_frame(text: bytes) -> Frame:
    return WSMsgType.TEXT, text, True, False


CONTROL = [
    json.dumps({"event": "mark", "stream_sid": SID, "mark": {"name": "m"}}).encode(),
    json.dumps({"event": "clear", "stream_sid": SID}).encode(),
    json.dumps({"event": "stop", "stream_sid": SID}).encode(),
    b"{}",
    b"no json",
    b"\xff",
]
AUDIO = st.sampled_from([0, 1, 318, 319, 320, 321, 322, 640, 1600]).flatmap(
    lambda size: st.binary(min_size=1, max_size=4).map(lambda b: (b * size)[:size])
)
MEDIA = st.builds(media, AUDIO, st.sampled_from([SID, SID, SID, "6" * 32, ""]))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Media with a few bytes of it exchanged."""
    text = draw(MEDIA)
    at = draw(st.integers(0, len(text) - 1))
    new = draw(st.sampled_from([b'"', b"\\", b"=", b"==", b"-", b"A", b" ", b"\xc3"]))
    return (text[:at] + new + text[at + len(new) :])[: len(text)]


TEXTS = MEDIA | MEDIA | damaged() | st.sampled_from(CONTROL)
WHOLE = TEXTS.map(text_frame)
ODD = st.tuples(
    st.sampled_from(
        [WSMsgType.TEXT, WSMsgType.CONTINUATION, WSMsgType.BINARY, WSMsgType.PING]
    ),
    TEXTS,
    st.booleans(),
    st.booleans(),
)
# What the owner and the loop do in between.
ORDERS = st.sampled_from(["stop", "gone", "over"])


@given(st.lists(WHOLE | WHOLE | WHOLE | ODD | ORDERS, max_size=12), st.booleans())
@settings(max_examples=300)
def test_a_stream_hears_the_same_without_the_short_way(
    steps: list[Frame | str], two_way: bool
) -> None:
    async def run() -> None:
        quick = Stream(two_way=two_way)
        slow = Stream(two_way=two_way, has_short_way=False)
        for step in steps:
            for stream in (quick, slow):
                if isinstance(step, str):
                    stream.obey(step)
                else:
                    stream.take(step)
            assert quick.sink.heard == slow.sink.heard
        assert quick.effects() == slow.effects()

    asyncio.run(run())


def test_media_like_the_one_before_takes_the_short_way_and_counts() -> None:
    async def run() -> None:
        stream = Stream()
        for number in range(5):
            stream.take(text_frame(media(bytes([number]) * 320)))
        audio = [heard for heard in stream.sink.heard if isinstance(heard, bytes)]
        assert audio == [bytes([number]) * 320 for number in range(5)]
        assert stream.client._protocol.counters.media_from_bot == 1
        stats = stream.client._protocol.stats()
        assert stats["media_from_bot"] == 5
        assert stats["audio_from_bot_ms"] == 100
        assert stats["notes"] == {"media.small": 5}

    asyncio.run(run())


@pytest.mark.parametrize("order", ["stop", "gone", "over"])
def test_usual_media_is_not_heard_once_the_stream_has_ended(order: str) -> None:
    async def run() -> None:
        stream = Stream()
        for _ in range(2):
            stream.take(text_frame(media(bytes(320))))
        stream.obey(order)
        heard = len(stream.sink.heard)
        stream.take(text_frame(media(bytes(320))))
        assert len(stream.sink.heard) == heard
        assert stream.client._protocol.stats()["media_from_bot"] == 2

    asyncio.run(run())


def test_a_flood_of_usual_media_is_read_in_slices() -> None:
    async def run() -> None:
        stream = Stream()
        for _ in range(2 * FLOOD_FRAMES):
            stream.take(text_frame(media(bytes(320))))
        assert stream.transport.is_paused
        notes = stream.client._protocol.stats()["notes"]
        assert isinstance(notes, dict) and notes["bot.flood"] == 1

    asyncio.run(run())


def test_media_inside_a_fragmented_message_is_a_violation_however_usual() -> None:
    async def run() -> None:
        stream = Stream()
        for _ in range(2):
            stream.take(text_frame(media(bytes(320))))
        stream.take((WSMsgType.TEXT, b"{", False, False))
        stream.take(text_frame(media(bytes(320))))
        assert stream.sink.heard[-1] == ("violation", 1002)

    asyncio.run(run())
