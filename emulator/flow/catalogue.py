"""All flows of a directory, found by name or by app id; and the check of their files.

A catalogue never changes: a reload makes a new one, and calls that run keep theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from emulator.documents import did_you_mean
from emulator.errors import ConfigError, Problem
from emulator.flow.applets.transfer import Transfer
from emulator.flow.fields import FlowPlace
from emulator.flow.loader import FlowReading, LoadRules, read_flow
from emulator.flow.model import Flow


@dataclass(frozen=True)
class FlowFile:
    """A flow file as it was read.

    Attributes:
        file: Its name for messages.
        place: Where paths in it start.
        problem: Why it could not be read; its text is empty then.
    """

    file: str
    text: str
    place: FlowPlace
    problem: Problem | None = None


@dataclass(frozen=True)
class Report:
    """What a check of flow files found, in the order of files and lines."""

    flows: Sequence[Flow]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]

    def __str__(self) -> str:
        found = [(p, "error") for p in self.problems]
        found += [(p, "warning") for p in self.warnings]
        found.sort(key=lambda entry: (entry[0].file, entry[0].line, entry[0].column))
        return "\n".join(f"{kind}: {problem}" for problem, kind in found)


def check_files(files: Sequence[FlowFile], rules: LoadRules) -> Report:
    """Read every file and return every problem and trap of all of them."""
    readings = [_read(file, rules) for file in files]
    problems = [p for reading in readings for p in reading.problems]
    problems += _duplicates(readings)
    problems += _lost_transfers(readings)
    warnings = [p for reading in readings for p in reading.warnings]
    flows = [reading.flow for reading in readings if reading.flow]
    return Report(flows, _ordered(problems), _ordered(warnings))


def _read(file: FlowFile, rules: LoadRules) -> FlowReading:
    if file.problem is not None:
        return FlowReading(file.file, None, None, (file.problem,), ())
    return read_flow(file.file, file.text, rules, file.place)


def _ordered(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda p: (p.file, p.line, p.column, p.path)))


def _duplicates(readings: Sequence[FlowReading]) -> Iterator[Problem]:
    """Yield every name and app id that an earlier file has taken."""
    for field in ("flow", "app_id"):
        taken: dict[str, str] = {}
        for reading in readings:
            value = reading.text_at(field)
            if reading.document is None or value is None:
                continue
            if value in taken:
                message = f"{value!r} is taken by {taken[value]}"
                yield reading.document.problem((field,), message)
            taken.setdefault(value, reading.file)


def _lost_transfers(readings: Sequence[FlowReading]) -> Iterator[Problem]:
    """Yield every Transfer to a flow that no file declares, readable or not."""
    known = {
        name
        for reading in readings
        for name in (reading.text_at("flow"), reading.text_at("app_id"))
        if name is not None
    }
    for reading in readings:
        for node, applet in reading.applets.items():
            if isinstance(applet, Transfer) and applet.to not in known:
                message = f"there is no flow {applet.to!r}"
                assert reading.document is not None
                yield reading.document.problem(
                    ("applets", node, "to"),
                    message + did_you_mean(applet.to, known),
                )


class FlowCatalogue:
    """Flows by name and by app id."""

    def __init__(self, flows: Sequence[Flow]) -> None:
        self._by_name: Mapping[str, Flow] = {flow.flow: flow for flow in flows}
        self._by_app_id: Mapping[str, Flow] = {flow.app_id: flow for flow in flows}

    def __iter__(self) -> Iterator[Flow]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def by_name(self, name: str) -> Flow | None:
        """Return the flow ``name``."""
        return self._by_name.get(name)

    def by_app_id(self, app_id: str) -> Flow | None:
        """Return the flow with the platform's id ``app_id``."""
        return self._by_app_id.get(app_id)

    def find(self, name: str) -> Flow | None:
        """Return the flow that a Transfer names, by name or by app id."""
        return self.by_name(name) or self.by_app_id(name)

    def texts(self) -> list[str]:
        """Return each text that some flow will speak, once."""
        return list(dict.fromkeys(text for flow in self for text in flow.texts()))


def load_catalogue(
    files: Sequence[FlowFile], rules: LoadRules
) -> tuple[FlowCatalogue, tuple[Problem, ...]]:
    """Return the catalogue of all files, and the traps found in them.

    Raises:
        ConfigError: With every problem of all files.
    """
    report = check_files(files, rules)
    if report.problems:
        count = len(report.problems)
        found = "1 problem" if count == 1 else f"{count} problems"
        raise ConfigError(f"the flows cannot be used: {found}", report.problems)
    return FlowCatalogue(report.flows), report.warnings
