"""Text of a flow file to a flow, or to every problem with file, line and path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel

from emulator.documents import (
    Document,
    Path,
    did_you_mean,
    nearest,
    parse_document,
    validate,
)
from emulator.errors import ConfigError, Problem
from emulator.flow.applet import Applet, Exit
from emulator.flow.fields import FlowPlace
from emulator.flow.model import APPLETS, Flow, FlowHead
from emulator.flow.ports import Capability
from emulator.flow.urls import StreamUrlRules
from emulator.flow.validation import graph_warnings, target_problems

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class LoadRules:
    """What a flow may ask for.

    Attributes:
        capabilities: What the calls room can carry out; an applet that needs more is a
            problem.
        env: Variables for ``${…}``.
        limits: Of custom parameters, by profile.
    """

    capabilities: Set[Capability]
    env: Mapping[str, str] = field(default_factory=dict)
    limits: StreamUrlRules = StreamUrlRules()


@dataclass(frozen=True)
class FlowReading:
    """What came of one file; ``flow`` is None exactly when there are problems.

    ``document`` is None when the file is no YAML; ``applets`` are those that could be
    read.
    """

    file: str
    document: Document | None
    flow: Flow | None
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    applets: Mapping[str, Applet] = field(default_factory=dict)

    def text_at(self, field: str) -> str | None:
        """Return the text of a field of the file's top level."""
        data = self.document.data if self.document else None
        value = data.get(field) if isinstance(data, dict) else None
        return value if isinstance(value, str) else None


def read_flow(file: str, text: str, rules: LoadRules, place: FlowPlace) -> FlowReading:
    """Read one flow file and check all that can be checked without a call."""
    try:
        document, problems = parse_document(file, text, rules.env)
    except ConfigError as error:
        return FlowReading(file, None, None, error.problems, ())
    head, head_problems = _read_model(document, FlowHead, (), place)
    applets, applet_problems = _read_applets(document, place)
    start, nodes = _graph_of(document)
    exits = {node: _exits(applets.get(node), data) for node, data in nodes.items()}
    errors, traps = _check_applets(document, applets, rules)
    problems = [
        *problems,
        *_elsewhere(problems, [*head_problems, *applet_problems]),
        *target_problems(document, start, exits),
        *errors,
    ]
    if problems or head is None:
        found = _ordered(problems)
        return FlowReading(file, document, None, found, _ordered(traps), applets)
    has_webhooks = Capability.FETCH in rules.capabilities
    traps += graph_warnings(document, start, applets, has_webhooks=has_webhooks)
    # Every part of it has been validated; building all applets' schemas costs 50 ms.
    flow = Flow.model_construct(**{**dict(head), "applets": applets})
    return FlowReading(file, document, flow, (), _ordered(traps), applets)


def _read_model(
    document: Document,
    model: type[M],
    path: Path,
    place: FlowPlace,
    data: Any = None,
) -> tuple[M | None, tuple[Problem, ...]]:
    try:
        return validate(document, model, data, path, place), ()
    except ConfigError as error:
        return None, error.problems


def _graph_of(document: Document) -> tuple[str, Mapping[str, Any]]:
    """Return the start and the nodes as far as the document has them."""
    data = document.data if isinstance(document.data, dict) else {}
    start, nodes = data.get("start"), data.get("applets")
    return (
        start if isinstance(start, str) else "",
        nodes if isinstance(nodes, dict) else {},
    )


def _read_applets(
    document: Document, place: FlowPlace
) -> tuple[dict[str, Applet], list[Problem]]:
    applets: dict[str, Applet] = {}
    problems: list[Problem] = []
    for node, data in _graph_of(document)[1].items():
        path: Path = ("applets", node)
        kind, complaint = _kind(data)
        if complaint is not None:
            at: Path = (*path, "type") if isinstance(data, dict) else path
            problems.append(document.problem(at, complaint))
        if kind is None:
            continue
        # Under a misspelt type, the rest is read as that of the nearest one.
        meant = data if complaint is None else {**data, "type": _type_of(kind)}
        applet, found = _read_model(document, kind, path, place, meant)
        problems += found
        if applet is not None:
            applets[node] = applet
    return applets, problems


def _kind(data: Any) -> tuple[type[Applet] | None, str | None]:
    """Return the model for an applet's data, and what is wrong with its type."""
    if not isinstance(data, dict):
        return None, "must be an applet: {type: …}"
    if "type" not in data:
        return None, f"required, but missing: one of {', '.join(APPLETS)}"
    name = data["type"]
    if isinstance(name, str) and name in APPLETS:
        return APPLETS[name], None
    near = nearest(str(name), APPLETS)
    known = ", ".join(APPLETS)
    complaint = f"{name!r} is none of {known}{did_you_mean(str(name), APPLETS)}"
    return (APPLETS[near] if near else None), complaint


def _type_of(kind: type[Applet]) -> str:
    return next(name for name, model in APPLETS.items() if model is kind)


def _exits(applet: Applet | None, data: Any) -> list[Exit]:
    """Return the exits of an applet, or the plain ones of data that is none."""
    if applet is not None:
        return list(applet.exits())
    kind, _ = _kind(data)
    names = kind.EXITS if kind is not None else ()
    return [Exit(n, data[n], (n,)) for n in names if isinstance(data.get(n), str)]


def _check_applets(
    document: Document, applets: Mapping[str, Applet], rules: LoadRules
) -> tuple[list[Problem], list[Problem]]:
    """Return the errors and the traps inside the applets that could be read."""
    errors: list[Problem] = []
    traps: list[Problem] = []
    for node, applet in applets.items():
        for path, missing in _missing(applet, rules).items():
            message = f"not supported yet: {', '.join(missing)}"
            errors.append(document.problem(("applets", node, *path), message))
        for finding in applet.findings(rules.limits):
            problem = document.problem(
                ("applets", node, *finding.path), finding.message
            )
            (errors if finding.is_error else traps).append(problem)
    return errors, traps


def _missing(applet: Applet, rules: LoadRules) -> dict[tuple[str, ...], list[str]]:
    """Return what the applet needs and cannot have, by place in its YAML."""
    missing: dict[tuple[str, ...], list[str]] = {}
    for need in applet.needs():
        if need.capability not in rules.capabilities:
            missing.setdefault(need.path, []).append(need.capability.value)
    return missing


def _elsewhere(first: Iterable[Problem], more: Iterable[Problem]) -> list[Problem]:
    """Return those of ``more`` that are not about a value already complained about."""
    spoilt = {problem.path for problem in first}
    return [problem for problem in more if problem.path not in spoilt]


def _ordered(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda p: (p.line, p.column, p.path)))
