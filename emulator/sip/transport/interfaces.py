"""This host's own networks and gateways, as the system tells them.

Linux lists them in ``/proc``; elsewhere only loopback is known, and the address that
a peer dialled serves instead (``nat.advertised_ip``).
"""

from __future__ import annotations

import fcntl
import socket
import struct
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Final

from emulator.sip.options import OwnNetworks

_ROUTES: Final = Path("/proc/net/route")
_SIOCGIFADDR: Final = 0x8915
_SIOCGIFNETMASK: Final = 0x891B
_RTF_GATEWAY: Final = 0x2


def own_networks() -> OwnNetworks:
    """Look at the machine's IPv4 interfaces and routes."""
    if not _ROUTES.exists():
        return OwnNetworks()
    found = [_interface(name) for _, name in socket.if_nameindex()]
    interfaces = tuple(interface for interface in found if interface is not None)
    return OwnNetworks(interfaces or OwnNetworks().interfaces, _gateways())


def _interface(name: str) -> IPv4Interface | None:
    """Ask the kernel for an interface's address and mask; None when it has none."""
    request = struct.pack("256s", name.encode()[:15])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        try:
            address = fcntl.ioctl(control, _SIOCGIFADDR, request)[20:24]
            mask = fcntl.ioctl(control, _SIOCGIFNETMASK, request)[20:24]
        except OSError:
            return None
    return IPv4Interface(f"{socket.inet_ntoa(address)}/{socket.inet_ntoa(mask)}")


def _gateways() -> frozenset[str]:
    """Read the routers from the kernel's routing table (little-endian hex)."""
    gateways = set()
    for line in _ROUTES.read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[3], 16) & _RTF_GATEWAY:
            packed = struct.pack("<L", int(fields[2], 16))
            gateways.add(str(IPv4Address(packed)))
    return frozenset(gateways)
