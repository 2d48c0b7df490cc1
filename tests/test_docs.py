"""The documentation under test: commands, settings and make targets that it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from emulator.cli.main import app
from emulator.config import Settings
from emulator.flow.__main__ import samples_in
from emulator.flow.page import pages

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
TEXT = "\n".join(page.read_text() for page in PAGES)


def test_every_command_that_the_docs_name_exists() -> None:
    commands = set(getattr(get_command(app), "commands"))  # noqa: B009
    named = set(re.findall(r"exotel-emulator ([a-z]+)", TEXT)) - {"and"}
    assert named
    assert named <= commands


def test_every_command_is_in_the_readme_or_the_changelog() -> None:
    text = (ROOT / "README.md").read_text() + (ROOT / "CHANGELOG.md").read_text()
    commands = getattr(get_command(app), "commands")  # noqa: B009
    assert [name for name in commands if f"`{name}" not in text] == []


def test_every_make_target_that_the_docs_name_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"`make ([a-z-]+)`", TEXT)) <= targets


@pytest.mark.parametrize("section", sorted(Settings.model_fields))
def test_every_section_of_the_settings_is_in_the_sample_file(section: str) -> None:
    sample = (ROOT / "config" / "emulator.yaml").read_text()
    assert re.search(rf"^{section}:", sample, re.M)


def test_every_setting_has_a_description() -> None:
    def undescribed(model: type, path: str) -> list[str]:
        found = []
        for name, field in getattr(model, "model_fields", {}).items():
            here = f"{path}.{name}" if path else name
            nested = undescribed(field.annotation, here) if field.annotation else []
            is_section = hasattr(field.annotation, "model_fields")
            if not is_section and not field.description and path:
                found.append(here)
            found += nested
        return found

    assert undescribed(Settings, "") == []


def test_the_pages_about_flows_are_current() -> None:
    for name, text in pages(samples_in(ROOT / "flows")).items():
        remake = "python -m emulator.flow flows docs"
        assert (ROOT / "docs" / name).read_text() == text, f"{name}: {remake}"


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
