"""The machine's own networks are found where the system tells them."""

from __future__ import annotations

import sys

import pytest

from emulator.sip.transport.interfaces import own_networks


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc/net")
def test_loopback_is_among_the_own_networks() -> None:
    networks = own_networks()
    assert any(interface.ip.is_loopback for interface in networks.interfaces)
    own = {str(interface.ip) for interface in networks.interfaces}
    assert not own & networks.gateways
