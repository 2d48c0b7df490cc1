"""What the settings mean for the SIP endpoint."""

from __future__ import annotations

from pathlib import Path

from emulator.config import Settings, SipSettings
from emulator.sip.address import Transport
from emulator.sip.options import SipLimits, SipOptions, TlsOptions
from emulator.sip.transport.descriptors import affordable_connections


def endpoint_options(
    settings: Settings,
    transports: tuple[Transport, ...],
    realm: str,
    descriptors: int,
) -> SipOptions:
    """Return the options of the endpoint.

    Args:
        transports: Those of the settings that can be had.
        realm: Of digest challenges.
        descriptors: Files that the system lets a process open.
    """
    sip = settings.sip
    extra_ports: tuple[tuple[Transport, int], ...] = (
        *(("tcp", port) for port in sip.ports.tcp),
        *(("tls", port) for port in sip.ports.tls),
    )
    return SipOptions(
        bind_ip=sip.bind,
        port=sip.port,
        transports=transports,
        extra_ports=tuple(extra for extra in extra_ports if extra[0] in transports),
        advertise_address=sip.advertise_address,
        nat=sip.nat,
        keepalive_s=sip.keepalive_s,
        min_session_expires_s=sip.min_session_expires_s,
        users=_registering(settings),
        realm=realm,
        digest_algorithms=sip.digest_algorithms,
        limits=_limits(sip, descriptors),
        accept_refer=True,
        tls=_tls(sip, Path(settings.data_dir)),
    )


def _registering(settings: Settings) -> dict[str, str]:
    if settings.sip.phones == "refuse":
        return {}
    return {user.name: user.password.get_secret_value() for user in settings.users}


def _limits(sip: SipSettings, descriptors: int) -> SipLimits:
    limits = sip.limits
    return SipLimits(
        max_message_bytes=limits.max_message_bytes,
        max_udp_request_bytes=sip.max_udp_request_bytes,
        max_headers=limits.max_headers,
        max_transactions=limits.max_transactions,
        max_dialogs=limits.max_dialogs,
        max_connections=affordable_connections(limits.max_connections, descriptors),
        tcp_idle_s=limits.idle_s,
        unfinished_message_s=limits.unfinished_message_s,
    )


def _tls(sip: SipSettings, folder: Path) -> TlsOptions:
    return TlsOptions(
        port=sip.tls_port,
        certificate=Path(sip.tls_certificate) if sip.tls_certificate else None,
        key=Path(sip.tls_key) if sip.tls_key else None,
        folder=folder,
        verify=sip.tls_verify,
        authorities=Path(sip.tls_authorities) if sip.tls_authorities else None,
    )
