"""What docs/phones-and-pbxes.md tells people to write is read by its programs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from emulator.config import load_settings
from tests.support.processes import ROOT, run

PAGE = (ROOT / "docs" / "phones-and-pbxes.md").read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("text", blocks("yaml"))
def test_settings_on_the_page_load(text: str) -> None:
    loaded = load_settings(file="page.yaml", text=text, env={}, options={})
    assert loaded.settings.trunks[0].name == "pbx"


def test_kamailio_takes_the_configuration_on_the_page(
    kamailio: str, workplace: Path
) -> None:
    (text,) = (block for block in blocks("text") if "loadmodule" in block)
    (listed,) = (block for block in blocks("text") if block.startswith("1 sip:"))
    destinations = workplace / "dispatcher.list"
    destinations.write_text(listed)
    file = workplace / "kamailio.cfg"
    text = text.replace("/etc/kamailio/dispatcher.list", str(destinations))
    file.write_text(f"#!KAMAILIO\n{text}")
    done = run(kamailio, "-c", "-f", str(file), cwd=workplace)
    assert done.returncode == 0, done.stderr
