"""Logger set-up: one line per record, for people or for machines.

``call_sid`` and further context come from a context variable that is set where a call
begins, so that every line can be followed by call.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

# How long a line may wait for others: nobody who reads along notices.
GATHER_S = 0.02

call_sid_context: ContextVar[str | None] = ContextVar("call_sid", default=None)

_loop_logger = logging.getLogger("emulator.loop")


class _ConsoleFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
        self._second = 0
        self._second_text = ""

    def formatTime(  # noqa: N802 - the base class's name
        self, record: logging.LogRecord, datefmt: str | None = None
    ) -> str:
        """Return the local time; calendar arithmetic is done once a second."""
        second = int(record.created)
        if second != self._second:
            self._second = second
            self._second_text = time.strftime(
                "%Y-%m-%d %H:%M:%S", time.localtime(second)
            )
        return f"{self._second_text},{int(record.msecs):03d}"

    def format(self, record: logging.LogRecord) -> str:
        if record.exc_info or record.stack_info:
            line = super().format(record)
        else:
            # The same at half the cost: every call logs twice.
            line = (
                f"{self.formatTime(record)} {record.levelname:<7} {record.name}: "
                f"{record.getMessage()}"
            )
        sid = call_sid_context.get()
        return f"{line} [call {sid}]" if sid else line


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if sid := call_sid_context.get():
            entry["call_sid"] = sid
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def log_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what nobody awaited; to be an event loop's exception handler.

    A transport whose peer fails, in TLS say, is one line: its owner is told besides.
    Such a failure may even come as a class, of which the loop's own handler makes a
    broken log record.
    """
    error = context.get("exception")
    message = str(context.get("message", "error in the event loop")).partition("\n")[0]
    if isinstance(error, BaseException) and not isinstance(error, OSError):
        _loop_logger.error("%s", message, exc_info=error)
    else:
        detail = getattr(error, "__name__", None) or error or "no further word"
        _loop_logger.warning("%s: %s", message, detail)


class _GatheringHandler(logging.StreamHandler[TextIO]):
    """Writes the first line at once, and what follows soon after it in one go.

    A load of 200 calls/s logs 400 lines a second: a write for each wakes a
    reader 400 times. Warnings and errors never wait, nor does a line outside a loop.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lines: list[str] = []
        # The loop that will write what is gathered; None: nothing was written lately.
        self._loop: asyncio.AbstractEventLoop | None = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.append(self.format(record) + self.terminator)
            loop = _running_loop()
            is_first = loop is None or loop is not self._loop
            if is_first or record.levelno >= logging.WARNING:
                self.flush()
            if loop is not None and is_first:
                self._loop = loop
                loop.call_later(GATHER_S, self._end_gathering)
        except Exception:
            self.handleError(record)

    def _end_gathering(self) -> None:
        self._loop = None
        self.flush()

    def flush(self) -> None:
        """Write what was gathered; the interpreter asks for it at its end too."""
        self.acquire()
        try:
            lines, self._lines = self._lines, []
            if lines:
                self.stream.write("".join(lines))
            super().flush()
        finally:
            self.release()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def set_up_logging(level: str, form: str) -> None:
    """Write records of ``level`` and above to standard error.

    Args:
        level: ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``.
        form: ``console`` or ``json``.
    """
    handler = _GatheringHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if form == "json" else _ConsoleFormatter())
    # Nothing shows where a record was made, and by which thread: not to look saves a
    # third of its cost.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    root = logging.getLogger("emulator")
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False
