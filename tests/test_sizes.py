"""Modules fit in one sitting: the sizes that the contributor's guide asks for."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "emulator"
MAX_MEDIAN_LINES = 10
MAX_FUNCTION_LINES = 60
MAX_MODULE_LINES = 500


def functions() -> Iterator[tuple[str, int]]:
    """Yield the place and the own lines of every function, docstring apart."""
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                where = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
                yield where, own_lines(node)


def own_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = node.body[1:] if ast.get_docstring(node) else node.body
    if not body or body[-1].end_lineno is None:
        return 0
    return body[-1].end_lineno - body[0].lineno + 1


def test_the_median_function_is_short() -> None:
    assert statistics.median(lines for _, lines in functions()) < MAX_MEDIAN_LINES


def test_no_function_is_long() -> None:
    long = [where for where, lines in functions() if lines > MAX_FUNCTION_LINES]
    assert not long


def test_no_module_is_long() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in ROOT.rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > MAX_MODULE_LINES
    }
    assert not long
