"""The base of every error that is raised on purpose.

Leaf errors live in their own rooms; this module knows nobody. Each error says whose
fault it was: *local* means that our own code asked for something illegal (a bug),
*remote* that the peer broke a rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class ExitStatus(IntEnum):
    """Process exit statuses: each says whose fault it was."""

    OK = 0
    CHECK_FAILED = 1
    USAGE = 2
    INTERNAL = 3


class EmulatorError(Exception):
    """Everything that the emulator raises on purpose.

    ``exit_status`` is what a command that ends with this error returns.
    """

    exit_status: ExitStatus = ExitStatus.INTERNAL


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where, which field, and what to do.

    ``line`` and ``column`` count from 1; a line of 0 means that ``file`` names a place
    without lines, such as an environment variable.
    """

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return ": ".join(part for part in (where, self.path, self.message) if part)


class ConfigError(EmulatorError):
    """Settings or files that cannot be used; lists every problem at once."""

    exit_status = ExitStatus.USAGE

    def __init__(self, message: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join([self.message, *(f"  {p}" for p in self.problems)])


class ListenError(ConfigError):
    """A listener's address or port cannot be had; names port and setting."""


class ProtocolError(EmulatorError):
    """A rule of a protocol was broken."""


class LocalProtocolError(ProtocolError):
    """Our own code asked for an illegal transition: a bug of ours."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the rules."""


class NegotiationError(EmulatorError):
    """An SDP offer holds nothing that this side can accept; suggests SIP 488."""


class TransportError(EmulatorError):
    """A socket failed; the operating system's error is ``__cause__``."""


class WorkerLost(EmulatorError):
    """A media worker process ended or stopped answering."""

    def __init__(self, worker: int, reason: str) -> None:
        super().__init__(f"media worker {worker} lost: {reason}")
        self.worker = worker
        self.reason = reason
