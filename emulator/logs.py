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
from typing import Any

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


def set_up_logging(level: str, form: str) -> None:
    """Write records of ``level`` and above to standard error.

    Args:
        level: ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``.
        form: ``console`` or ``json``.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if form == "json" else _ConsoleFormatter())
    # Nothing shows where a record was made, and by which thread: not to look saves a
    # third of its cost.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    root = logging.getLogger("emulator")
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False
