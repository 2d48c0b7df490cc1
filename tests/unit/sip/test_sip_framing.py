"""Message boundaries in a stream, in whatever pieces it comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.sip.framing import Broken, Frame, Piece, Ping, StreamFramer

PLAIN = b"OPTIONS sip:a SIP/2.0\r\nCall-ID: 1\r\nContent-Length: 0\r\n\r\n"
BODY = b"INFO sip:a SIP/2.0\r\nl : 6\r\nCall-ID: 2\r\n\r\n\r\n\r\nxy"
STREAM = b"\r\n\r\n" + PLAIN + b"\r\n" + BODY + b"\r\n\r\n" + PLAIN
PIECES: list[Piece] = [Ping(), Frame(PLAIN), Frame(BODY), Ping(), Frame(PLAIN)]


def framer(limit: int = 1_000) -> StreamFramer:
    return StreamFramer(limit)


@given(st.lists(st.integers(0, len(STREAM)), max_size=8).map(sorted))
def test_pieces_do_not_depend_on_how_the_bytes_arrive(cuts: list[int]) -> None:
    found: list[Piece] = []
    reader = framer()
    for start, end in zip([0, *cuts], [*cuts, len(STREAM)], strict=True):
        found += reader.feed(STREAM[start:end])
    assert found == PIECES


def test_a_message_without_content_length_has_no_body() -> None:
    data = b"BYE sip:a SIP/2.0\r\nCall-ID: 1\r\n\r\n"
    assert framer().feed(data) == [Frame(data)]


def test_a_length_that_is_no_number_ends_the_framing_after_its_message() -> None:
    data = b"BYE sip:a SIP/2.0\r\nContent-Length: x\r\n\r\n"
    pieces = framer().feed(data + PLAIN)
    assert pieces[0] == Frame(data)
    assert isinstance(pieces[1], Broken)
    assert len(pieces) == 2


@pytest.mark.parametrize(
    "data", [b"x" * 101, b"BYE sip:a SIP/2.0\r\nContent-Length: 101\r\n\r\n"]
)
def test_a_message_beyond_the_limit_breaks_the_framing(data: bytes) -> None:
    reader = framer(100)
    assert reader.feed(data) == [Broken("a message above 100 bytes")]
    assert reader.feed(PLAIN) == []


@given(st.binary(max_size=400))
def test_any_bytes_are_survived_and_nothing_grows_beyond_the_limit(data: bytes) -> None:
    reader = framer(100)
    for start in range(0, len(data), 50):
        for piece in reader.feed(data[start : start + 50]):
            assert not isinstance(piece, Frame) or len(piece.data) <= 150


class CountingBuffer(bytearray):
    """Counts how many bytes were searched."""

    searched = 0

    def find(self, what: bytes, start: int = 0) -> int:  # type: ignore[override]
        self.searched += len(self) - start
        return super().find(what, start)


def test_a_message_that_drips_is_searched_once_and_not_at_each_byte() -> None:
    head = b"INFO sip:a SIP/2.0\r\nX: " + b"x" * 5_000 + b"\r\nl: 5000\r\n\r\n"
    message = head + b"\r\n\r\n!" * 1_000
    reader = framer(20_000)
    reader._buffer = buffer = CountingBuffer()
    pieces = [piece for byte in message for piece in reader.feed(bytes([byte]))]
    assert pieces == [Frame(message)]
    assert buffer.searched < 5 * len(head)
    assert reader.feed(PLAIN) == [Frame(PLAIN)]
