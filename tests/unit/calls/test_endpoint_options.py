"""The settings of the SIP side reach the endpoint, and its defaults are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emulator.calls.endpoint_options import endpoint_options
from emulator.config import Settings
from emulator.sip.options import SipLimits, SipOptions, TlsOptions


def options(**sip: Any) -> SipOptions:
    settings = Settings.model_validate({"sip": sip, "data_dir": "data"})
    return endpoint_options(settings, settings.sip.transports, "realm", 65_536)


def test_the_defaults_are_those_of_the_endpoint() -> None:
    found, own = options(), SipOptions()
    assert found.limits == SipLimits()
    assert found.tls == TlsOptions(folder=Path("data"))
    for name in ("bind_ip", "port", "extra_ports", "nat", "keepalive_s"):
        assert getattr(found, name) == getattr(own, name)
    assert found.min_session_expires_s == own.min_session_expires_s
    assert found.users == {"alice": "alice", "bob": "bob"}


@pytest.mark.parametrize(
    ("setting", "option", "value"),
    [
        ("max_message_bytes", "max_message_bytes", 3000),
        ("max_headers", "max_headers", 50),
        ("max_transactions", "max_transactions", 200),
        ("max_dialogs", "max_dialogs", 20),
        ("max_connections", "max_connections", 2),
        ("idle_s", "tcp_idle_s", 7.5),
    ],
)
def test_a_limit_is_obeyed(setting: str, option: str, value: float) -> None:
    assert getattr(options(limits={setting: value}).limits, option) == value


def test_phones_may_be_refused() -> None:
    assert options(register="accept").users == options().users
    assert options(register="refuse").users == {}


def test_extra_ports_need_their_transport() -> None:
    ports = {"ports": {"tcp": [5070, 5080], "tls": [443]}}
    assert options(**ports).extra_ports == (("tcp", 5070), ("tcp", 5080), ("tls", 443))
    udp_only = options(**ports, transports=["udp", "tcp"])
    assert udp_only.extra_ports == (("tcp", 5070), ("tcp", 5080))


def test_certificates_are_paths() -> None:
    tls = options(
        tls_verify=True, tls_authorities="ca.pem", tls_certificate="c.pem"
    ).tls
    assert (tls.verify, tls.authorities) == (True, Path("ca.pem"))
    assert (tls.certificate, tls.key) == (Path("c.pem"), None)


def test_connections_are_at_most_half_of_the_open_files() -> None:
    settings = Settings()
    wanted = settings.sip.limits.max_connections
    for descriptors, expected in ((1_024, 512), (65_536, wanted), (1, 1)):
        made = endpoint_options(settings, ("udp",), "realm", descriptors)
        assert made.limits.max_connections == expected
