"""``python -m emulator.flow FLOWS DOCS``: writes the pages about flows."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from emulator.flow.catalogue import FlowFile, load_catalogue
from emulator.flow.fields import FlowPlace
from emulator.flow.loader import LoadRules
from emulator.flow.page import Sample, comment_of, pages
from emulator.flow.ports import Capability


def samples_in(directory: Path) -> list[Sample]:
    """Return the flows of a directory, with the defaults of their variables."""
    place = FlowPlace(str(directory), os.path.isfile)
    texts = {path: path.read_text() for path in sorted(directory.glob("*.yaml"))}
    files = [FlowFile(str(path), text, place) for path, text in texts.items()]
    catalogue, _ = load_catalogue(files, LoadRules(frozenset(Capability)))
    says = [comment_of(text) for text in texts.values()]
    return [Sample(flow, text) for flow, text in zip(catalogue, says, strict=True)]


def main() -> None:
    flows, docs = map(Path, sys.argv[1:])
    (docs / "flows").mkdir(parents=True, exist_ok=True)
    for name, text in pages(samples_in(flows)).items():
        (docs / name).write_text(text)


if __name__ == "__main__":
    main()
