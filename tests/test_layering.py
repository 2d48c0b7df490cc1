"""Imports point down only; protocol code does no I/O; heavy libraries stay out.

The rooms and their directions are the table of the contributor's guide. A module named
in ``PURE`` is handed time, chance and bytes; it may not fetch them.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent / "emulator"

BOTTOM = {
    "errors", "clock", "ids", "config", "logs", "events", "bus", "faults", "documents",
    "fidelity",
    "stream_options",
    "stream_query",
    "text",
    "waiting",
}  # fmt: skip

# Room -> rooms that it may import beside the bottom and itself. ``None``: anything.
ALLOWED: dict[str, set[str] | None] = {
    "service": None,
    "diagnostics": None,
    "cli": None,
    "testing": None,
    "api": {"calls", "store"},
    "dashboard": {"calls", "store"},
    "softphone": {"calls", "store"},
    "contract": {"calls", "store", "worker.engine", "stream", "media"},
    "calls": {"sip", "sdp", "flow", "store", "worker.host", "worker.messages"},
    "worker.host": {"worker.messages"},
    "worker.engine": {"rtp", "media", "stream", "worker.messages"},
    "worker.child": {"rtp", "media", "stream", "worker.messages", "worker.engine"},
    "worker.messages": set(),
    "sip": set(),
    "sdp": set(),
    "rtp": set(),
    "media": set(),
    "stream": set(),
    "flow": set(),
    "store": set(),
    # Reference bots are peers of the emulator: they share nothing with it.
    "bots": set(),
    # The speech renderer is a child process and the cache that it fills.
    "speech": set(),
}

# Modules of the worker that share a side; each belongs to the room named here.
WORKER_SIDES = {
    "worker.ticker": "worker.engine",
    "worker.leg": "worker.engine",
    "worker.impaired": "worker.engine",
    "worker.audience": "worker.engine",
    "worker.bridge": "worker.engine",
    "worker.joint": "worker.engine",
    "worker.keys": "worker.engine",
    "worker.local": "worker.engine",
    "worker.plays": "worker.engine",
    "worker.presence": "worker.engine",
    "worker.poller": "worker.engine",
    "worker.clear_times": "worker.engine",
    "worker.recording_file": "worker.engine",
    "worker.recording_tap": "worker.engine",
    "worker.recordings": "worker.engine",
    "worker.report_exchange": "worker.engine",
    "worker.arrivals": "worker.engine",
    "worker.security": "worker.engine",
    "worker.surroundings": "worker.engine",
    "worker.taps": "worker.engine",
    "worker.udp": "worker.engine",
    "worker.background": "worker.engine",
    "worker.link": "worker.messages",
    "worker.placement": "worker.host",
    "worker.process": "worker.host",
    "worker.supervisor": "worker.host",
    "worker.__main__": "worker.child",
    "worker.__init__": "worker.messages",
}

IO_MODULES = {"asyncio", "socket", "time", "random", "select", "selectors", "threading"}

# Pure modules: named one by one, or a whole room with its shells as exceptions.
PURE_ROOMS: dict[str, set[str]] = {
    "sip": {"transport", "endpoint", "tls"},
    "sdp": set(),
    "flow": set(),
    "stream": {"client", "connector", "faulty_link", "link"},
    "rtp": {"session", "ports"},
    "media": set(),
}
PURE_MODULES = {
    "calls.causes", "calls.custom_headers", "calls.door", "calls.early", "calls.ending",
    "calls.journal", "calls.rates", "calls.status", "text",
    "calls.timeline", "calls.trunks", "worker.messages", "worker.placement",
    "worker.presence",
}  # fmt: skip


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        yield module_name(path), ast.parse(path.read_text(), str(path))


def case_id(value: object) -> str:
    return value if isinstance(value, str) else ""


def imports(tree: ast.Module) -> Iterator[str]:
    """Yield every imported module; those for annotations only do not count."""
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            skipped.update(child for stmt in node.body for child in ast.walk(stmt))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module
            yield node.module
            if node.module.split(".")[0] == "emulator":
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(module: str) -> str:
    parts = module.split(".")
    if parts[0] != "worker":
        return parts[0]
    name = ".".join(parts[:2])
    return WORKER_SIDES.get(name, name)


def own_imports(tree: ast.Module) -> Iterator[str]:
    """Yield the imported modules of this package, without its name in front."""
    for name in imports(tree):
        head, _, rest = name.partition(".")
        if head == "emulator" and rest and exists(rest):
            yield rest


def exists(module: str) -> bool:
    path = ROOT.joinpath(*module.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


@pytest.mark.parametrize(("module", "tree"), list(modules()), ids=case_id)
def test_imports_point_down(module: str, tree: ast.Module) -> None:
    if module in {"__init__", "__main__"}:
        return
    here = room(module)
    if here in BOTTOM:
        allowed: set[str] | None = set()
    else:
        assert here in ALLOWED, f"{module}: give the room {here!r} a line in ALLOWED"
        allowed = ALLOWED[here]
    if allowed is None:
        return
    for target in own_imports(tree):
        there = room(target)
        if target == "worker" or there == here or there in BOTTOM:
            continue
        assert there in allowed, f"{module} imports {target}: {here} may not"


def is_pure(module: str) -> bool:
    if module in PURE_MODULES:
        return True
    head, _, rest = module.partition(".")
    return head in PURE_ROOMS and rest.split(".")[0] not in PURE_ROOMS[head]


@pytest.mark.parametrize(("module", "tree"), list(modules()), ids=case_id)
def test_pure_modules_do_no_io(module: str, tree: ast.Module) -> None:
    if not is_pure(module):
        return
    used = {name.split(".")[0] for name in imports(tree)} & IO_MODULES
    assert not used, f"{module} is pure but imports {sorted(used)}"


def test_no_import_cycles() -> None:
    graph = {
        module: {target for target in own_imports(tree) if target != module}
        for module, tree in modules()
    }
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module in done:
            return
        for target in graph.get(module, ()):
            visit(target, (*path, module))
        done.add(module)

    for module in graph:
        visit(module, ())


def loaded_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys; print(*sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return {name.split(".")[0] for name in out.stdout.split()}


def test_the_worker_loads_no_control_library() -> None:
    loaded = loaded_after("import emulator.worker.child")
    control = {"fastapi", "sqlalchemy", "httpx", "pydantic", "uvicorn"}
    # At the first call that needs them.
    late = {"av", "pylibsrtp"}
    assert not loaded & (control | late)


def test_control_loads_no_media_library() -> None:
    loaded = loaded_after("import emulator.service")
    heavy = {
        "picows",
        "pylibsrtp",
        "av",
        "alembic",
        "aiortc",
        "grpc",
        "numpy",
        "httpx",
        "websockets",
    }
    # While the workers start: they are spawned first.
    later = {"pydantic", "yaml", "fastapi", "uvicorn"}
    assert not loaded & (heavy | later)
