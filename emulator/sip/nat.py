"""Which address a peer is told, and where in-dialog requests go.

A bridge network hides addresses from each other: a softphone on the host that dials
127.0.0.1 arrives in the container as the network's gateway, and what the container
calls its own address is reachable from its subnet alone.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, ip_address
from typing import Final

from emulator.sip.address import DEFAULT_PORTS, SourceAddress, Target, as_transport
from emulator.sip.errors import SipParseError
from emulator.sip.message import Request
from emulator.sip.options import OwnNetworks
from emulator.sip.uri import SipUri

# Hosts in use at one time; reading an address anew costs more than the rest of a rule.
_CACHED_HOSTS: Final = 1_024


def advertised_ip(
    networks: OwnNetworks,
    peer: str,
    *,
    configured: str | None,
    dialled: str | None,
    bind_ip: str,
) -> str:
    """Return the address that ``peer`` should be told.

    The own address if the peer is in an own subnet and no gateway; else the
    configured one; else the one the peer dialled, because it reached us there; else
    what is left, which the peer may be unable to reach.

    Args:
        peer: An IP address; a name counts as foreign.
        dialled: Host of the Request-URI of the peer's INVITE or REGISTER.
    """
    own = own_address_towards(networks, peer)
    if own is not None and peer not in networks.gateways:
        return own
    if configured:
        return configured
    if dialled is not None and is_literal(dialled):
        return "127.0.0.1" if dialled == "localhost" else dialled
    if own is not None:
        return own
    return bind_ip if bind_ip not in {"0.0.0.0", "::"} else _main_address(networks)


@lru_cache(_CACHED_HOSTS)
def own_address_towards(networks: OwnNetworks, peer: str) -> str | None:
    """Return our address in the peer's subnet, or None when we share none."""
    try:
        address = IPv4Address("127.0.0.1" if peer == "localhost" else peer)
    except AddressValueError:
        return None
    for interface in networks.interfaces:
        if address in interface.network:
            # Loopback: whoever calls 127.0.0.2 or ourselves reaches us at both.
            return str(interface.ip)
    return None


def is_own_host(networks: OwnNetworks, host: str, bind_ip: str) -> bool:
    """Say whether a listener bound to ``bind_ip`` hears what is sent to ``host``."""
    if bind_ip in {"0.0.0.0", "::"}:
        return is_loopback(host) or host in {str(i.ip) for i in networks.interfaces}
    return host == bind_ip or (host == "localhost" and is_loopback(bind_ip))


def _main_address(networks: OwnNetworks) -> str:
    outward = [i.ip for i in networks.interfaces if not i.ip.is_loopback]
    return str(outward[0]) if outward else "127.0.0.1"


@lru_cache(_CACHED_HOSTS)
def is_literal(host: str) -> bool:
    """Say whether the host is an IP address, or ``localhost``."""
    if host == "localhost":
        return True
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Say whether the host means the machine that says it."""
    return is_literal(host) and (host == "localhost" or ip_address(host).is_loopback)


def target_of_uri(uri: SipUri, default_transport: str = "udp") -> Target:
    """Return where a URI points (RFC 3263 without NAPTR and SRV)."""
    named = uri.params.get("transport") or default_transport
    transport = as_transport(named) or "udp"
    if uri.scheme == "sips":
        transport = "tls"
    host = uri.params.get("maddr") or uri.host
    return Target(transport, host, uri.port or DEFAULT_PORTS[transport])


def observed_target(request: Request, source: SourceAddress) -> Target | None:
    """Return the source of a dialog-forming request if it must replace the Contact.

    It must when the Contact's host is not the source's. When only the port differs,
    the sender may listen on another port than it sends from, or it learnt a public
    address by STUN and its translator has opened one more port for us. The latter
    takes a public address, and asks for symmetric responses (``rport``, RFC 3581);
    all others are taken at their word. A connection is always used as long as it is
    open.
    """
    try:
        contact = target_of_uri(request.contacts[0].sip_uri, source.transport)
    except (IndexError, SipParseError):
        return source.as_target()
    if source.connection is not None:
        same_host = contact.host == source.ip
        port = contact.port if same_host else source.port
        return Target(source.transport, source.ip, port, source.connection)
    if contact.host != source.ip:
        return source.as_target()
    is_translated = contact.port != source.port and ip_address(source.ip).is_global
    if is_translated and "rport" in request.via.params:
        return source.as_target()
    return None
