"""``flow``: look at flow files without running them."""

from __future__ import annotations

import os
from pathlib import Path

from emulator.calls.flowing import CAPABILITIES
from emulator.errors import ExitStatus
from emulator.flow.catalogue import check_files
from emulator.flow.loader import LoadRules
from emulator.service import find_flow_files


def check(paths: list[Path]) -> ExitStatus:
    """Print every problem and warning; the status tells whether the flows load."""
    rules = LoadRules(CAPABILITIES, dict(os.environ))
    report = check_files(find_flow_files(paths), rules)
    if text := str(report):
        print(text)
    print(
        f"{len(report.flows)} flows are fine, {len(report.problems)} problems, "
        f"{len(report.warnings)} warnings"
    )
    return ExitStatus.USAGE if report.problems else ExitStatus.OK
