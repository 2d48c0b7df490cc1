"""A flow that answers and says nothing for as long as the settings tell."""

from __future__ import annotations

from pathlib import Path

FLOW = """\
flow: silence
app_id: "1"
start: wait
applets:
  wait: {type: greeting, text: "...", next: bye}
  bye: {type: hangup}
"""


def write_silent_flow(directory: Path) -> dict[str, str]:
    """Write the flow ``silence``; return the variables that lead an emulator to it."""
    flows = directory / "flows"
    flows.mkdir()
    (flows / "silence.yaml").write_text(FLOW)
    return {"EXOTEL_EMULATOR_FLOW__DIRECTORY": str(flows)}
