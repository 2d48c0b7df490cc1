"""The SIP side: listeners, policy at the door, limits."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from emulator.config.section import ListenPort, Port, Section, by_default

# Only the platform sets such headers; two spellings of its guides (decisions).
RESERVED_HEADER_PREFIXES = (
    "x-exotel-", "x-veeno-", "x-veen-", "exotel-", "veeno-", "veen-",
)  # fmt: skip


class SipLimitSettings(Section):
    """What peers may make the SIP side hold; beyond a limit they are refused."""

    max_message_bytes: int = Field(
        65_535,
        ge=2_000,
        description="Longer messages on TCP and TLS close the connection; a datagram "
        "cannot be longer.",
    )
    max_headers: int = Field(
        256,
        ge=40,
        description="More header fields get 513; calls have some 30.",
    )
    max_transactions: int = Field(
        100_000,
        ge=100,
        description="Beyond, requests get 503. Each lasts 32 s after its end: 51,200 "
        "at 400 calls/s.",
    )
    max_dialogs: int = Field(
        10_000, ge=10, description="Beyond, INVITEs get 503: ten times the calls."
    )
    max_connections: int = Field(
        2_000,
        ge=1,
        description="TCP and TLS, handshakes included; beyond, new ones are closed at "
        "once. At most half of the open files that ulimit -n allows.",
    )
    idle_s: float = Field(
        600.0,
        gt=0,
        description="A connection without traffic and calls is closed; phones send a "
        "keepalive every 120 s (RFC 5626).",
    )
    unfinished_message_s: float = Field(
        32.0,
        gt=0,
        description="A connection whose message is not complete after so long is "
        "closed (64*T1 of RFC 3261).",
    )


class SipPortSettings(Section):
    """Where else SIP listens."""

    tcp: tuple[Port, ...] = Field(
        (), description="More TCP ports; the platform's trunks call at 5070."
    )
    tls: tuple[Port, ...] = Field(
        (), description="More TLS ports; the platform's trunks call at 443."
    )


class SipSettings(Section):
    """The SIP side."""

    bind: str = Field("127.0.0.1", description="Address of the SIP listeners.")
    port: ListenPort = Field(5060, description="UDP and TCP port.")
    tls_port: ListenPort = Field(5061, description="TLS port.")
    transports: tuple[Literal["udp", "tcp", "tls"], ...] = Field(
        ("udp", "tcp", "tls"), min_length=1, description="Which transports listen."
    )
    ports: SipPortSettings = by_default()
    phones: Literal["accept", "refuse"] = Field(
        "accept",
        alias="register",
        description="REGISTER of the declared users' phones; refuse: 405, as the trunk "
        "manuals know none. Trunks never register.",
    )
    strict_transport: bool = Field(
        False, description="403 to calls over UDP, which the trunk manuals exclude."
    )
    max_udp_request_bytes: int = Field(
        1300,
        ge=500,
        le=65_535,
        description="A larger request goes over TCP first where the destination names "
        "no transport (RFC 3261 §18.1.1), by UDP if that is refused.",
    )
    tls_certificate: str | None = Field(
        None, description="PEM file; unset: a self-signed one is made at first start."
    )
    tls_key: str | None = Field(None, description="PEM file of the certificate's key.")
    tls_verify: bool = Field(
        False,
        description="Check the certificates of those whom we call; off, as an "
        "emulator's peers have self-signed ones too.",
    )
    tls_authorities: str | None = Field(
        None, description="PEM file of whom tls_verify trusts; unset: the system's."
    )
    nat: Literal["auto", "off"] = Field(
        "auto",
        description="auto: requests go to where a peer was seen when its Contact "
        "cannot be reached, and a registered Contact elsewhere does not ring; off: "
        "always to the Contact.",
    )
    keepalive_s: float = Field(
        25.0,
        gt=0,
        description="Interval of the OPTIONS in a call that keep such a way open.",
    )
    min_session_expires_s: int = Field(
        90, ge=90, description="422 to shorter session timers (RFC 4028)."
    )
    destination_timeout_s: float = Field(
        32.0,
        gt=0,
        description="The next destination of a trunk is tried when one has not "
        "responded at all for so long (assumed: 64*T1 of RFC 3261).",
    )
    advertise_address: str | None = Field(
        None,
        description="Address to put in Contact and SDP for peers beyond a NAT; "
        "unset: the one that the peer dialled.",
    )
    digest_algorithms: tuple[Literal["SHA-256", "MD5"], ...] = Field(
        ("MD5",),
        min_length=1,
        description="Challenged with, stronger first; older phones, baresip 1.0 among "
        "them, give up when SHA-256 is offered at all. Answers with either are taken.",
    )
    rtp_timeout_s: float = Field(
        30.0, gt=0, description="A call without RTP for so long is ended."
    )
    custom_headers: tuple[str, ...] = Field(
        ("X-UUI", "X-Custom-Header", "X-Custom-Headers"),
        description="INVITE headers that the bot sees, without X-.",
    )
    custom_header_max_bytes: int = Field(
        45, gt=0, description="A longer custom header value is dropped, with a note."
    )
    limits: SipLimitSettings = by_default()
    require_account_header: bool = Field(
        False, description="403 to an INVITE without X-Exotel-AccountSid."
    )
    account_header_admits: Literal["auto", "always", "never"] = Field(
        "auto",
        description="Whether X-Exotel-AccountSid admits calls from an address that is "
        "nobody's, with a note. auto: until a trunk has whitelisted_ips or "
        "credentials; then such calls get 403, as the platform answers.",
    )
    credentials_replace_whitelist: bool = Field(
        False,
        description="Take a trunk's credentials from any address, with a note, though "
        "the trunk has whitelisted_ips; off: it wants both, as the platform's guides "
        "have it for high security. This machine is let in in any case.",
    )
    require_account_domain: bool = Field(
        False, description="403 unless From's host is {account}.pstn.exotel.com."
    )
    require_e164: bool = Field(
        False, description="484 to every dialled number that is not E.164."
    )

    refer: Literal["refuse", "transfer"] = Field(
        "refuse",
        description="What a REFER gets: 603, or 202 and the new party in its place. "
        "Assumed: whether the platform's trunks honour it is undocumented.",
    )

    @field_validator("custom_headers")
    @classmethod
    def _are_not_reserved(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name.lower().startswith(RESERVED_HEADER_PREFIXES):
                raise ValueError(f"{name} is reserved for the platform")
        return names
