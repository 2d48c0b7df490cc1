"""An emulator that calls a trunk, and the trunk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.processes import Emulator, emulator
from tests.support.trunk_peer import TrunkPeer, tls_context

# Nobody's test lasts so long: the peer hangs up first.
LONG_MS = 20_000
FLOW = """\
flow: brief
app_id: "2"
start: wait
applets:
  wait: {type: greeting, text: "...", next: bye}
  bye: {type: hangup}
"""
CONFIG = """\
flow: {{directory: flows, silent_greeting_ms: {greeting_ms}}}
numbers: [{{number: "08010000002", flow: brief}}]
trunks:
  - name: pbx
    sid: trmum1pbx
    credentials: [{{user_name: pbx, password: secret}}]
    destinations: [{destinations}]
"""


@contextmanager
def calling(
    directory: Path,
    *destinations: str,
    greeting_ms: int = 300,
    env: dict[str, str] | None = None,
) -> Iterator[Emulator]:
    """Run an emulator whose only trunk is at ``destinations``.

    It hangs up ``greeting_ms`` after the answer.
    """
    (directory / "flows").mkdir()
    (directory / "flows" / "brief.yaml").write_text(FLOW)
    quoted = ", ".join(f'"{destination}"' for destination in destinations)
    config = CONFIG.format(destinations=quoted, greeting_ms=greeting_ms)
    flows = {"EXOTEL_EMULATOR_FLOW__DIRECTORY": str(directory / "flows")}
    with emulator(directory, config=config, env={**flows, **(env or {})}) as running:
        yield running


def place(running: Emulator, **body: Any) -> str:
    """Call the trunk; return the call's SID."""
    answer = running.api.post(
        "/calls", json={"to": "sip:trmum1pbx", "flow": "brief", **body}
    )
    assert answer.status_code == 201, answer.text
    sid: str = answer.json()["sid"]
    return sid


def peer_on(transport: str, directory: Path, *script: tuple[int, ...]) -> TrunkPeer:
    """Return a peer with a script; by default it rings and answers."""
    tls = tls_context(directory) if transport == "tls" else None
    return TrunkPeer(transport, script or ((180, 200),), tls=tls)
