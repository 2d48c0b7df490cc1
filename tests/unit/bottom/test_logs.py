"""Log lines: in order, complete, and together when there are many."""

from __future__ import annotations

import asyncio
import io
import logging
import sys
from collections.abc import Callable, Iterator

import pytest

from emulator.logs import call_sid_context, set_up_logging

logger = logging.getLogger("emulator.test")


class Stream(io.StringIO):
    """Remembers each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []
        self.on_write: Callable[[], object] = lambda: None

    def write(self, text: str) -> int:
        self.writes.append(text)
        self.on_write()
        return super().write(text)

    @property
    def messages(self) -> list[str]:
        return [line.rpartition(": ")[2] for line in self.getvalue().splitlines()]


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stream]:
    root = logging.getLogger("emulator")
    before = root.handlers[:], root.level, root.propagate, logging._srcfile
    written = Stream()
    monkeypatch.setattr(sys, "stderr", written)
    for name in ("logThreads", "logProcesses", "logMultiprocessing"):
        monkeypatch.setattr(logging, name, getattr(logging, name))
    set_up_logging("INFO", "console")
    yield written
    root.handlers[:], root.level, root.propagate, logging._srcfile = before


def test_a_line_without_a_loop_is_written_at_once(stream: Stream) -> None:
    logger.info("one")
    logger.info("two of %d", 2)
    assert len(stream.writes) == 2
    assert stream.messages == ["one", "two of 2"]
    assert " INFO    emulator.test: one\n" in stream.writes[0]


def test_lines_in_quick_succession_are_written_together_in_order(
    stream: Stream,
) -> None:
    async def play() -> None:
        written = asyncio.Event()
        logger.info("first")
        assert stream.messages == ["first"]
        for number in range(5):
            logger.info("%d", number)
        assert stream.messages == ["first"]
        stream.on_write = written.set
        await asyncio.wait_for(written.wait(), 10)

    asyncio.run(play())
    assert stream.messages == ["first", "0", "1", "2", "3", "4"]
    assert len(stream.writes) == 2


def test_a_warning_waits_for_nothing_and_overtakes_nothing(stream: Stream) -> None:
    async def play() -> None:
        logger.info("first")
        logger.info("second")
        logger.warning("third")
        assert stream.messages == ["first", "second", "third"]

    asyncio.run(play())


def test_what_a_loop_left_waiting_is_written_with_the_next_line(
    stream: Stream,
) -> None:
    async def play() -> None:
        logger.info("first")
        logger.info("second")

    asyncio.run(play())
    logger.info("third")
    assert stream.messages == ["first", "second", "third"]


def test_the_end_of_the_process_writes_what_waits(stream: Stream) -> None:
    async def play() -> None:
        logger.info("first")
        logger.info("second")

    asyncio.run(play())
    logging.getLogger("emulator").handlers[0].flush()
    assert stream.messages == ["first", "second"]


def test_a_line_names_its_call_and_an_error_its_traceback(stream: Stream) -> None:
    token = call_sid_context.set("C1")
    try:
        logger.info("hello")
        try:
            raise ValueError("broken")
        except ValueError:
            logger.exception("failed")
    finally:
        call_sid_context.reset(token)
    assert "hello [call C1]" in stream.getvalue()
    assert "ValueError: broken [call C1]" in stream.getvalue()
