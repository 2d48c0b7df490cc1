"""Frames to messages: fragments, controls between them, and every violation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.stream.assembler import (
    MAX_FRAGMENTS,
    Assembled,
    Binary,
    Control,
    MessageAssembler,
    Opcode,
    Violation,
)

CONTINUATION, TEXT, BINARY = Opcode.CONTINUATION, Opcode.TEXT, Opcode.BINARY


def feed(*frames: tuple[int, bool, bytes], limit: int = 1000) -> list[Assembled]:
    assembler = MessageAssembler(limit)
    return [assembler.feed(opcode, fin, False, data) for opcode, fin, data in frames]


def test_a_single_frame_is_a_message() -> None:
    assert feed((TEXT, True, b"hello")) == [b"hello"]


def test_an_empty_message_is_a_message() -> None:
    assert feed((TEXT, True, b"")) == [b""]


def test_fragments_are_joined() -> None:
    frames = feed((TEXT, False, b"he"), (CONTINUATION, False, b""),
                  (CONTINUATION, True, b"llo"), (TEXT, True, b"next"))  # fmt: skip
    assert frames == [None, None, b"hello", b"next"]


def test_a_character_may_be_cut_by_a_fragment() -> None:
    head, tail = "é".encode()[:1], "é".encode()[1:]
    assert feed((TEXT, False, head), (CONTINUATION, True, tail))[1] == "é".encode()


def test_control_frames_may_come_between_fragments() -> None:
    frames = feed((TEXT, False, b"he"), (Opcode.PING, True, b"p"),
                  (CONTINUATION, True, b"llo"))  # fmt: skip
    assert frames == [None, Control(Opcode.PING, b"p"), b"hello"]


def test_a_binary_message_keeps_only_its_head() -> None:
    assert feed((BINARY, True, b"x" * 500)) == [Binary(500, b"x" * 32)]
    frames = feed((BINARY, False, b"ab"), (CONTINUATION, True, b"\xff"))
    assert frames[1] == Binary(3, b"ab\xff")


def test_a_continuation_without_a_beginning_is_a_violation() -> None:
    assert feed((CONTINUATION, True, b"x")) == [
        Violation(1002, "continuation without a first fragment")
    ]
    after_a_whole_one = feed((TEXT, True, b"x"), (CONTINUATION, True, b"x"))
    assert isinstance(after_a_whole_one[1], Violation)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_new_message_inside_another_is_a_violation(opcode: int) -> None:
    assert feed((TEXT, False, b"x"), (opcode, True, b"y"))[1] == (
        Violation(1002, "new message inside a fragmented one")
    )


@pytest.mark.parametrize("opcode", [0x3, 0x7, 0xB, 0xF])
def test_an_unknown_opcode_is_a_violation(opcode: int) -> None:
    assert feed((opcode, True, b"")) == [Violation(1002, f"unknown opcode {opcode:#x}")]


def test_reserved_bits_are_a_violation() -> None:
    got = MessageAssembler(10).feed(TEXT, True, True, b"")
    assert got == Violation(1002, "reserved bit set without an extension")


@pytest.mark.parametrize(("fin", "payload"), [(False, b""), (True, b"x" * 126)])
def test_control_frames_are_short_and_whole(fin: bool, payload: bytes) -> None:
    assert isinstance(feed((Opcode.PING, fin, payload))[0], Violation)


@pytest.mark.parametrize(
    "data", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80"]
)
def test_text_that_is_no_utf8_is_a_violation(data: bytes) -> None:
    assert feed((TEXT, True, data)) == [Violation(1007, "invalid UTF-8")]


def test_the_limit_holds_for_the_whole_message() -> None:
    at_limit = feed((TEXT, False, b"x" * 600), (CONTINUATION, True, b"x" * 400))
    over = feed((TEXT, False, b"x" * 600), (CONTINUATION, False, b"x" * 401))
    assert at_limit[1] == b"x" * 1000
    assert over[1] == Violation(1009, "message over 1000 bytes")


def test_empty_fragments_do_not_pile_up_for_ever() -> None:
    assembler = MessageAssembler(10)
    assembler.feed(TEXT, False, False, b"")
    got = [
        assembler.feed(CONTINUATION, False, False, b"") for _ in range(MAX_FRAGMENTS)
    ]
    assert got[-1] == Violation(1009, "too many fragments")
    assert set(got[:-1]) == {None}


@given(st.lists(st.text().map(str.encode), min_size=1, max_size=8))
def test_any_cut_of_a_message_gives_it_back(parts: list[bytes]) -> None:
    assembler = MessageAssembler(1 << 20)
    got: list[Assembled] = []
    for number, part in enumerate(parts):
        opcode = CONTINUATION if number else TEXT
        got.append(assembler.feed(opcode, number == len(parts) - 1, False, part))
    assert got == [None] * (len(parts) - 1) + [b"".join(parts)]


@given(
    st.lists(
        st.tuples(st.integers(0, 15), st.booleans(), st.booleans(), st.binary()),
        max_size=20,
    )
)
def test_any_frames_are_taken(frames: list[tuple[int, bool, bool, bytes]]) -> None:
    assembler = MessageAssembler(50)
    for frame in frames:
        got = assembler.feed(*frame)
        if isinstance(got, Violation):
            assert got.code in (1002, 1007, 1009)
            return
        if isinstance(got, bytes):
            got.decode("utf-8")
