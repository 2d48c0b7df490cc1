"""RTP ports: even, from the range, never shared."""

import socket

import pytest

from emulator.errors import TransportError
from emulator.ids import IdSource
from emulator.rtp.ports import NoPortFree, RtpPorts


def ports(low: int, high: int) -> RtpPorts:
    return RtpPorts("127.0.0.1", low, high, IdSource(1))


def test_ports_are_even_and_distinct() -> None:
    pool = ports(31001, 31009)
    sockets = [pool.open() for _ in range(4)]
    numbers = {sock.getsockname()[1] for sock in sockets}
    assert numbers == {31002, 31004, 31006, 31008}
    for sock in sockets:
        pool.close(sock)


def test_an_exhausted_range_names_the_settings() -> None:
    pool = ports(31010, 31011)
    sock = pool.open()
    with pytest.raises(NoPortFree, match="31010-31011: widen media.rtp_port_min"):
        pool.open()
    pool.close(sock)
    pool.close(pool.open())


def test_a_port_that_another_program_holds_is_skipped() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 31012))
        pool = ports(31012, 31015)
        sock = pool.open()
        assert sock.getsockname()[1] == 31014
        pool.close(sock)


def test_a_foreign_address_cannot_be_bound() -> None:
    with pytest.raises(TransportError, match=r"RTP cannot bind 192\.0\.2\.1:31016"):
        RtpPorts("192.0.2.1", 31016, 31016, IdSource(1)).open()


def test_a_closed_port_rests_until_the_others_have_been_used() -> None:
    pool = ports(31020, 31025)
    first = pool.open()
    number = first.getsockname()[1]
    pool.close(first)
    second = pool.open()
    assert second.getsockname()[1] != number
    pool.close(second)
