"""Addresses of one hop: where a message came from and where it goes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Transport = Literal["udp", "tcp", "tls"]

DEFAULT_PORTS: Final[dict[Transport, int]] = {"udp": 5060, "tcp": 5060, "tls": 5061}
TRANSPORTS: Final[tuple[Transport, ...]] = ("udp", "tcp", "tls")


def as_transport(text: str) -> Transport | None:
    """Return the transport that ``text`` names, in any case, or None."""
    lowered = text.lower()
    for transport in TRANSPORTS:
        if transport == lowered:
            return transport
    return None


def is_reliable(transport: Transport) -> bool:
    """Say whether the transport retransmits by itself (RFC 3261 §17)."""
    return transport != "udp"


@dataclass(frozen=True, slots=True)
class SourceAddress:
    """The far end that a message came from.

    Attributes:
        connection: Identifies the TCP or TLS connection; None with UDP.
    """

    transport: Transport
    ip: str
    port: int
    connection: int | None = None

    def as_target(self) -> Target:
        """Return the way back: the same connection, else the same address."""
        return Target(self.transport, self.ip, self.port, self.connection)

    def __str__(self) -> str:
        return f"{self.transport}:{bracketed(self.ip)}:{self.port}"


@dataclass(frozen=True, slots=True)
class Target:
    """The far end that a message goes to.

    Attributes:
        host: An IP address, or a name that the shell resolves.
        connection: Used while it is open; after that a new one is made to ``host``.
    """

    transport: Transport
    host: str
    port: int
    connection: int | None = None

    def __str__(self) -> str:
        return f"{self.transport}:{bracketed(self.host)}:{self.port}"


def bracketed(host: str) -> str:
    """Return the host as a URI spells it: IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
