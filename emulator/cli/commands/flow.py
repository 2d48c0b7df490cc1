"""``flow``: look at flow files without running them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from emulator.calls.flow_facts import stream_url_rules
from emulator.calls.verbs.registry import CAPABILITIES
from emulator.config import Settings
from emulator.errors import ConfigError, ExitStatus
from emulator.events import JsonValue
from emulator.flow.catalogue import check_files, load_catalogue
from emulator.flow.drawing import draw_mermaid, draw_svg, draw_tree
from emulator.flow.loader import LoadRules
from emulator.flow.picture import picture_of
from emulator.flow.ports import Capability
from emulator.flow.schema import flow_schema
from emulator.service import ServeOptions, find_flow_files, read_settings

_DRAWERS = {"tree": draw_tree, "mermaid": draw_mermaid, "svg": draw_svg}


def check(paths: list[Path], config: Path | None, profile: str | None) -> ExitStatus:
    """Print every problem and warning; the status tells whether the flows load.

    Args:
        paths: Files and directories; none: the directory of the settings.
        config: The settings that judge; None: those that ``serve`` would find.
        profile: In place of theirs.

    Raises:
        ConfigError: The settings cannot be used, or a directory holds no flow.
    """
    settings = _settings(config, profile)
    rules = LoadRules(CAPABILITIES, dict(os.environ), stream_url_rules(settings))
    where = paths or [Path(settings.flow.directory)]
    report = check_files(find_flow_files(where), rules)
    if text := str(report):
        print(text)
    print(
        f"{_count(report.flows, 'flow')} without a problem, "
        f"{_count(report.problems, 'problem')}, {_count(report.warnings, 'warning')} "
        f"(profile {settings.profile})"
    )
    return ExitStatus.USAGE if report.problems else ExitStatus.OK


def _settings(config: Path | None, profile: str | None) -> Settings:
    given: dict[str, tuple[str, JsonValue]] = {}
    if profile is not None:
        given["profile"] = ("--profile", profile)
    return read_settings(ServeOptions(config, given, os.environ)).settings


def _count(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}{'s' * (len(things) != 1)}"


def show(path: Path, form: str) -> ExitStatus:
    """Draw a flow, also one with applets that cannot be carried out yet.

    Raises:
        ConfigError: The flow has problems, or the format is unknown.
    """
    if form not in _DRAWERS:
        raise ConfigError(f"--format {form!r}: one of {', '.join(_DRAWERS)}")
    rules = LoadRules(frozenset(Capability), dict(os.environ))
    catalogue, _ = load_catalogue(find_flow_files([path]), rules)
    for flow in catalogue:
        print(_DRAWERS[form](picture_of(flow)))
    return ExitStatus.OK


def schema() -> ExitStatus:
    """Print the JSON Schema of flow files."""
    print(json.dumps(flow_schema(), indent=2))
    return ExitStatus.OK
