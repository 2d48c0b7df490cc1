"""Logger set-up: one line per record, for people or for machines.

``call_sid`` and further context come from a context variable that is set where a call
begins, so that every line can be followed by call.
"""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

call_sid_context: ContextVar[str | None] = ContextVar("call_sid", default=None)


class _ContextFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.call_sid = call_sid_context.get()
        return True


class _ConsoleFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        sid = getattr(record, "call_sid", None)
        return f"{line} [call {sid}]" if sid else line


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if sid := getattr(record, "call_sid", None):
            entry["call_sid"] = sid
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def set_up_logging(level: str, form: str) -> None:
    """Write records of ``level`` and above to standard error.

    Args:
        level: ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``.
        form: ``console`` or ``json``.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if form == "json" else _ConsoleFormatter())
    handler.addFilter(_ContextFilter())
    # Nothing shows where a record was made, and by which thread: not to look saves a
    # third of its cost.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    root = logging.getLogger("emulator")
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False
