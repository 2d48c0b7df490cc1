"""RFC 4733: one press per key, whatever is lost; and what we send ourselves."""

import itertools

import pytest

from emulator.rtp.telephone_event import (
    EVENT_DIGITS,
    DigitReceiver,
    EventPacket,
    Press,
    send_digits,
)


def event(digit: str, duration: int, *, end: bool = False) -> bytes:
    flags = 0x8A if end else 0x0A
    return bytes([EVENT_DIGITS.index(digit), flags]) + duration.to_bytes(2, "big")


def press(digit: str, *, packets: int = 5, ends: int = 3) -> list[bytes]:
    """The payloads of one key of 20 ms steps."""
    body = [event(digit, 160 * (n + 1)) for n in range(packets)]
    return body + [event(digit, 160 * (packets + 1), end=True)] * ends


def receive(receiver: DigitReceiver, payloads: list[bytes], at: int) -> list[Press]:
    return [
        ended
        for n, payload in enumerate(payloads)
        for ended in receiver.receive(payload, at, at / 8000 + n * 0.02)
    ]


def test_one_key_is_one_press_with_its_duration() -> None:
    assert receive(DigitReceiver(), press("5"), 1000) == [Press("5", 120)]


def test_the_same_key_twice_is_two_presses() -> None:
    receiver = DigitReceiver()
    assert receive(receiver, press("1"), 1000) == [Press("1", 120)]
    assert receive(receiver, press("1"), 4000) == [Press("1", 120)]


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_lost_end_packets_do_not_matter(kept: int) -> None:
    assert receive(DigitReceiver(), press("#", ends=kept), 1000) == [Press("#", 120)]


def test_only_end_packets_are_a_press() -> None:
    assert receive(DigitReceiver(), press("9", packets=0), 0) == [Press("9", 20)]


def test_all_end_packets_lost_ends_the_press_by_time() -> None:
    receiver = DigitReceiver()
    assert receive(receiver, press("7", ends=0), 0) == []
    assert receiver.is_down
    assert receiver.expire(0.15) == []
    assert receiver.expire(0.3) == [Press("7", 100)]
    assert not receiver.is_down


def test_all_end_packets_lost_ends_the_press_by_the_next_key() -> None:
    receiver = DigitReceiver()
    receive(receiver, press("7", ends=0), 0)
    assert receive(receiver, press("8"), 1600) == [Press("7", 100), Press("8", 120)]


def test_late_and_repeated_packets_of_a_finished_key_are_ignored() -> None:
    receiver = DigitReceiver()
    receive(receiver, press("4"), 8000)
    assert receive(receiver, press("4"), 8000) == []


def test_a_long_key_in_segments_is_one_press() -> None:
    receiver = DigitReceiver()
    assert receiver.receive(event("2", 65535), 0, 0.0) == []
    assert receiver.receive(event("2", 800, end=True), 65535, 8.0) == [
        Press("2", (65535 + 800) // 8)
    ]


def test_short_payloads_and_other_events_are_no_digits() -> None:
    receiver = DigitReceiver()
    assert receiver.receive(b"\x05", 0, 0.0) == []
    assert receiver.malformed == 1
    assert receiver.receive(bytes([32, 0x8A, 0, 160]), 0, 0.0) == []


def test_what_we_send_is_received_as_pressed() -> None:
    receiver = DigitReceiver()
    heard: list[Press] = []
    for slot, packet in enumerate(send_digits("12#a", 100, 60, 20)):
        if packet is not None:
            timestamp = 160 * slot - packet.offset_ticks
            heard += receiver.receive(packet.payload, timestamp, slot * 0.02)
    assert heard == [Press(d, 100) for d in "12#A"]


def test_a_digit_has_a_marker_first_and_three_ends_last() -> None:
    packets = [p for p in send_digits("0", 100, 60, 20) if p is not None]
    assert [p.marker for p in packets] == [True] + [False] * (len(packets) - 1)
    assert [p.payload[1] >> 7 for p in packets] == [0] * 4 + [1] * 3
    assert packets[-1] == EventPacket(packets[4].payload, False, 160 * 6)


def test_a_character_that_is_no_digit_is_a_pause() -> None:
    slots = list(send_digits("w", 100, 60, 20))
    assert slots == [None] * 6


def test_durations_are_held_in_their_range() -> None:
    shortest = list(itertools.takewhile(bool, send_digits("1", 0, 60, 20)))
    assert len(shortest) == 2 + 2
