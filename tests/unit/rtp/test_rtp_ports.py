"""Port pairs: even and the next, from the range, never shared."""

import socket

import pytest

from emulator.errors import TransportError
from emulator.ids import IdSource
from emulator.rtp.ports import NoPortFree, RtpPorts


def ports(low: int, high: int) -> RtpPorts:
    return RtpPorts("127.0.0.1", low, high, IdSource(1))


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


def test_ports_are_even_and_distinct() -> None:
    pool = ports(31901, 31909)
    pairs = [pool.open() for _ in range(4)]
    assert {port_of(pair.rtp) for pair in pairs} == {31902, 31904, 31906, 31908}
    assert {port_of(pair.rtcp) for pair in pairs} == {31903, 31905, 31907, 31909}
    for pair in pairs:
        pool.close(pair)


def test_an_exhausted_range_names_the_settings() -> None:
    pool = ports(31910, 31911)
    pair = pool.open()
    with pytest.raises(NoPortFree, match="31910-31911: widen media.rtp_range"):
        pool.open()
    pool.close(pair)
    pool.close(pool.open())


@pytest.mark.parametrize("held", [31912, 31913])
def test_a_pair_of_which_another_program_holds_a_port_is_skipped(held: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", held))
        pool = ports(31912, 31915)
        pair = pool.open()
        assert port_of(pair.rtp) == 31914
        pool.close(pair)


def test_a_foreign_address_cannot_be_bound() -> None:
    with pytest.raises(TransportError, match=r"RTP cannot bind 192\.0\.2\.1:31916"):
        RtpPorts("192.0.2.1", 31916, 31917, IdSource(1)).open()


def test_a_closed_port_rests_until_the_others_have_been_used() -> None:
    pool = ports(31920, 31925)
    first = pool.open()
    number = port_of(first.rtp)
    pool.close(first)
    second = pool.open()
    assert port_of(second.rtp) != number
    pool.close(second)
