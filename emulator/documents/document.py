"""A parsed file: its data, where each value stands, and how problems are worded."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from emulator.errors import ConfigError, Problem

Path: TypeAlias = tuple[str | int, ...]
# Values are quoted in messages up to this length.
MAX_QUOTED_CHARS = 40


@dataclass(frozen=True)
class Document:
    """A parsed file.

    Attributes:
        data: Plain dicts, lists, str, int, float, bool and None.
        marks: Line and column, from 1, of what is at a path: of a scalar itself, and
            of the key (or list item) that holds a mapping or list.
        key_marks: Line and column, from 1, of the key that ends a path.
    """

    file: str
    data: Any
    marks: Mapping[Path, tuple[int, int]]
    key_marks: Mapping[Path, tuple[int, int]]

    def problem(self, path: Path, message: str, *, at_key: bool = False) -> Problem:
        """Return a problem at ``path``, or at its nearest ancestor in the file."""
        line, column = self._position(path, self.key_marks if at_key else self.marks)
        return Problem(self.file, line, column, format_path(path), message)

    def _position(
        self, path: Path, marks: Mapping[Path, tuple[int, int]]
    ) -> tuple[int, int]:
        if path in marks:
            return marks[path]
        for end in range(len(path) - 1, -1, -1):
            if path[:end] in self.marks:
                return self.marks[path[:end]]
        return (1, 1)


def format_path(path: Path) -> str:
    """Return ``applets.agent.dial[1]`` for ``("applets", "agent", "dial", 1)``."""
    text = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path)
    return text.removeprefix(".")


def nearest(word: str, known: Collection[str]) -> str | None:
    """Return the known word that was probably meant."""
    near = difflib.get_close_matches(word, known, n=1)
    return near[0] if near else None


def did_you_mean(word: str, known: Collection[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the nearest known word, else nothing."""
    near = nearest(word, known)
    return f" (did you mean {near!r}?)" if near else ""


def unusable(file: str, problems: Sequence[Problem]) -> ConfigError:
    """Return the error that lists ``problems`` in the order of the file."""
    ordered = tuple(sorted(problems, key=lambda p: (p.line, p.column)))
    count = "1 problem" if len(ordered) == 1 else f"{len(ordered)} problems"
    return ConfigError(f"{file} cannot be used: {count}", ordered)


def quoted(value: Any) -> str:
    """Return ``value`` as YAML would show it, cut to a readable length."""
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    if len(text) > MAX_QUOTED_CHARS:
        return text[: MAX_QUOTED_CHARS - 1] + "…"
    return text
