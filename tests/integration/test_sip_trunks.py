"""A trunk with credentials: SIPp computes the digest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import Emulator, emulator
from tests.support.sipp import Peer, of_kind

# Whole processes, in real time.
pytestmark = pytest.mark.slow

CONFIG = """\
calls: {ring_ms: 0}
trunks:
  - name: pbx
    sid: trmum1pbx
    whitelisted_ips: ["127.0.0.0/8"]
    credentials: [{user_name: pbx, password: secret}]
    numbers: [{number: "08010000002", mode: flow}]
"""


@pytest.fixture
def trunked(tmp_path: Path) -> Iterator[Emulator]:
    """Yield an emulator that wants credentials of its only trunk."""
    with emulator(tmp_path, config=CONFIG) as started:
        yield started


def naming_the_number(trunked: Emulator) -> tuple[str, ...]:
    """SIPp's credentials are for the host alone unless it is told otherwise."""
    return ("-auth_uri", f"08010000002@127.0.0.1:{trunked.sip_port}")


@pytest.mark.parametrize("transport", ["u1", "t1"])
def test_a_trunk_is_challenged_and_let_in(
    trunked: Emulator, sipp: str, workplace: Path, transport: str
) -> None:
    options = naming_the_number(trunked)
    peer = Peer(sipp, workplace, trunked.sip_port, transport=transport, options=options)
    peer.play("trunk_digest")
    assert trunked.finished_call()["cause"] == "caller-bye"


def test_credentials_may_be_for_another_uri(
    trunked: Emulator, sipp: str, workplace: Path
) -> None:
    """A proxy may have changed it (RFC 3261 §22.4)."""
    Peer(sipp, workplace, trunked.sip_port).play("trunk_digest")


def test_a_trunk_with_wrong_credentials_is_403(
    trunked: Emulator, sipp: str, workplace: Path
) -> None:
    options = naming_the_number(trunked)
    Peer(sipp, workplace, trunked.sip_port, options=options).play("trunk_wrong_digest")
    finished = trunked.finished_call()
    (rejected,) = of_kind(trunked.timeline(finished["sid"]), "call.rejected")
    assert (rejected["status"], rejected["rule"]) == (403, "digest")
