"""The fidelity table is current and true to the settings that it names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from emulator.config import Settings, load_settings
from emulator.fidelity.conflicts import CONFLICTS, Conflict
from emulator.fidelity.page import TABLES, render_page
from emulator.fidelity.row import Row
from tests.support.conflicts import BY_OTHER_TESTS, PROBES, SECOND_PROBES

ROOT = Path(__file__).resolve().parent.parent
ROWS = [row for rows in TABLES.values() for row in rows]
# Sections that hold nothing but behaviour of the platform: each setting needs a row.
IMITATING = ("stream", "passthru", "quirks")


def settings(profile: str, path: str = "", value: Any = None) -> Settings:
    options = {"profile": ("--profile", profile)}
    if path:
        options[path] = ("--set", value)
    return load_settings(file=None, text="", env={}, options=options).settings


def read(tree: Settings, path: str) -> Any:
    found: Any = tree
    for name in path.split("."):
        found = getattr(found, name)
    return found


def exists(path: str) -> bool:
    model: Any = Settings
    for name in path.split("."):
        fields = {f.alias or n: f for n, f in model.model_fields.items()}
        if (field := fields.get(name)) is None:
            return False
        model = field.annotation
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            model = next(iter(getattr(model, "__args__", ())), model)
    return True


def paths(model: type[BaseModel], before: str) -> Iterator[str]:
    """Yield every setting of a section, those of sections in it too."""
    for name, field in model.model_fields.items():
        path, inner = f"{before}.{field.alias or name}", field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from paths(inner, path)
        else:
            yield path


def test_the_page_is_current() -> None:
    page = (ROOT / "docs" / "fidelity.md").read_text()
    assert page == render_page(), "python -m emulator.fidelity > docs/fidelity.md"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.knob or row.behaviour[:40])
def test_a_row_names_a_setting_and_a_module_that_exist(row: Row) -> None:
    assert (ROOT / "emulator" / row.where).exists()
    assert not row.knob or exists(row.knob)
    assert row.cites and row.behaviour


@pytest.mark.parametrize("section", IMITATING)
def test_every_imitating_setting_has_a_row(section: str) -> None:
    told = {row.knob for row in ROWS}
    model = Settings.model_fields[section].annotation
    assert isinstance(model, type) and issubclass(model, BaseModel)
    assert [path for path in paths(model, section) if path not in told] == []


def test_every_row_of_the_references_conflicts_is_settled() -> None:
    assert [conflict.number for conflict in CONFLICTS] == list(range(1, 36))
    assert all(bool(c.knob) != bool(c.settled) for c in CONFLICTS)


KNOBS = [conflict for conflict in CONFLICTS if conflict.knob]


@pytest.mark.parametrize("row", KNOBS, ids=lambda row: row.knob)
def test_a_conflicts_setting_has_the_values_that_are_told(row: Conflict) -> None:
    assert read(settings("observed"), row.knob) == row.default
    documented = row.default if row.documented is None else row.documented
    assert read(settings("documented"), row.knob) == documented
    other: Any = row.alternative
    given = list(other) if isinstance(other, tuple) else other
    assert read(settings("observed", row.knob, given), row.knob) == other
    assert row.knob in {told.knob for told in ROWS}


@pytest.mark.parametrize("row", KNOBS, ids=lambda row: row.knob)
def test_a_conflicts_values_are_told_apart_by_a_test(row: Conflict) -> None:
    assert (row.number in PROBES) != (row.number in BY_OTHER_TESTS)
    if row.number in PROBES:
        probe, default, alternative = PROBES[row.number]
        assert probe(row.default) == default
        assert probe(row.alternative) == alternative
        assert default != alternative
    else:
        file, names = BY_OTHER_TESTS[row.number]
        tree = ast.parse((ROOT / "tests" / file).read_text())
        assert set(names) <= {getattr(node, "name", "") for node in tree.body}


@pytest.mark.parametrize("knob", SECOND_PROBES)
def test_the_second_setting_of_a_row_is_seen_in_both_profiles(knob: str) -> None:
    probe, default, documented = SECOND_PROBES[knob]
    assert probe(read(settings("observed"), knob)) == default
    assert probe(read(settings("documented"), knob)) == documented
