"""What a SIP endpoint is told at its start; plain frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Literal

from emulator.sip.address import Transport
from emulator.sip.timers import SipTimers


@dataclass(frozen=True, slots=True)
class SipLimits:
    """Bounds on everything that a peer controls.

    Attributes:
        max_message_bytes: A UDP datagram cannot be longer; on streams the connection
            is closed beyond it.
        max_udp_request_bytes: Larger requests of ours try TCP first where the URI
            leaves the transport open; RFC 3261 §18.1.1 says 1300.
        max_headers: Header fields of one message; real ones have below 60.
        max_transactions: Open at once. At 400 calls/s, four transactions a call and
            32 s of lingering, 51,200 are open; beyond, requests get 503.
        max_dialogs: Open at once; beyond, INVITEs get 503.
        max_connections: TCP and TLS together, handshakes included; beyond, new ones
            are closed at once.
        max_write_buffer_bytes: Queued towards one stalled connection; beyond, it is
            closed.
        max_pending_events: Unread events of one session; beyond, INFO and provisional
            responses, which a peer can repeat at will, are no longer delivered.
        tcp_idle_s: A connection without traffic and without a dialog is closed. Above
            the 120 s at which RFC 5626 clients send their keepalive.
        unfinished_message_s: A connection whose message is not complete after so long
            is closed, whatever depends on it: 64*T1, when its sender gives up too.
    """

    max_message_bytes: int = 65_535
    max_udp_request_bytes: int = 1_300
    max_headers: int = 256
    max_transactions: int = 100_000
    max_dialogs: int = 10_000
    max_connections: int = 2_000
    max_write_buffer_bytes: int = 262_144
    max_pending_events: int = 64
    tcp_idle_s: float = 600.0
    unfinished_message_s: float = 32.0


@dataclass(frozen=True, slots=True)
class OwnNetworks:
    """Where this host is attached; decides which address a peer is told.

    Attributes:
        interfaces: Own addresses with their subnets, loopback included.
        gateways: Routers in these subnets. In a container a call from the host
            arrives from the gateway, which cannot reach the container's address.
    """

    interfaces: tuple[IPv4Interface, ...] = (IPv4Interface("127.0.0.1/8"),)
    gateways: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """The TLS listener and connections.

    Attributes:
        certificate, key: PEM files of one's own; without them a self-signed pair is
            made in ``folder`` at the first start.
        verify: Check the certificates of servers that we call; off, because the peers
            of an emulator have self-signed ones too.
        authorities: PEM file of those whom ``verify`` trusts; None for the system's.
    """

    port: int = 5061
    certificate: Path | None = None
    key: Path | None = None
    folder: Path = Path(".emulator")
    verify: bool = False
    authorities: Path | None = None


@dataclass(frozen=True, slots=True)
class SipOptions:
    """Settings of one endpoint.

    Attributes:
        port: For UDP and TCP; 0 takes a free one.
        extra_ports: Further TCP and TLS listeners; what came in there is answered on
            its connection, and Contact names the usual ports.
        user_agent: Sent as User-Agent in requests and Server in responses.
        advertise_address: Told to peers outside the own networks.
        networks: Own networks; None looks at the machine's interfaces at start.
        nat: ``auto`` sends in-dialog requests to the observed source when the
            Contact is loopback or differs from it; ``off`` always obeys the Contact.
        keepalive_s: Interval of the OPTIONS that keep such a UDP mapping alive.
        min_session_expires_s: Shorter session timers are refused with 422; 90 is
            RFC 4028's least.
        accept_refer: Serve REFER; without it the method is not allowed.
        users: Names and passwords of those who may REGISTER; without any, REGISTER
            gets 405.
        realm: Of digest challenges.
        digest_algorithms: Of digest challenges, the stronger first.
        retry_after_s: Told to callers while no new calls are taken.
    """

    bind_ip: str = "127.0.0.1"
    port: int = 5060
    transports: tuple[Transport, ...] = ("udp", "tcp")
    extra_ports: tuple[tuple[Transport, int], ...] = ()
    user_agent: str = "exotel-emulator"
    advertise_address: str | None = None
    networks: OwnNetworks | None = None
    nat: Literal["auto", "off"] = "auto"
    keepalive_s: float = 25.0
    min_session_expires_s: int = 90
    accept_refer: bool = False
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    realm: str = "exotel-emulator"
    digest_algorithms: tuple[str, ...] = ("SHA-256", "MD5")
    retry_after_s: int = 10
    tls: TlsOptions = field(default_factory=TlsOptions)
    timers: SipTimers = field(default_factory=SipTimers)
    limits: SipLimits = field(default_factory=SipLimits)
