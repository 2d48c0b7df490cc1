"""An answer other than 2xx, raised by any route."""

from __future__ import annotations

from collections.abc import Mapping


class ApiError(Exception):
    """What the client is told: a code for programs, a message for people."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers
