"""What faults do to a direction's messages, on a clock that a test moves."""

from __future__ import annotations

import json
from typing import Any

from emulator.faults import Fault, FaultRule
from emulator.stream import damage
from emulator.stream.damage import FROM_BOT, TO_BOT, MessageDamage

START = b'{"event":"start","stream_sid":"5"}'


def media(number: int) -> bytes:
    return (
        b'{"event":"media","media":{"chunk":"%d","timestamp":"%d","payload":"AAAA"}}'
        % (number, 20 * number)
    )


def number(message: bytes) -> int:
    return int(json.loads(message)["media"]["chunk"])


class Line:
    """A direction with faults; time moves when told."""

    def __init__(self, *faults: Fault, direction: str = TO_BOT) -> None:
        self.acts: list[str] = []
        self.damage = MessageDamage(direction, faults, self.acts.append)
        self.now_s = 100.0

    def through(self, *messages: bytes) -> list[bytes]:
        """Return what comes out at once."""
        for message in messages:
            self.damage.push(message, self.now_s)
        found = []
        while (message_ := self.damage.pop(self.now_s)) is not None:
            found.append(message_)
        return found

    def after(self, delay_s: float) -> list[bytes]:
        self.now_s += delay_s
        return self.through()


def fault(kind: str, **parameters: Any) -> Fault:
    return Fault(kind, 1, FaultRule(kind, parameters).all_parameters())


def test_a_fault_of_the_other_direction_leaves_messages_alone() -> None:
    line = Line(fault("latency", direction="from_bot"))
    assert line.damage.is_idle
    assert not Line(fault("latency", direction="from_bot"), direction=FROM_BOT).acts


def test_start_comes_twice() -> None:
    line = Line(fault("double_start"))
    assert line.through(START, media(1)) == [START, START, media(1)]
    assert line.acts == ["double_start"]


def test_what_follows_a_late_start_waits_for_it() -> None:
    line = Line(fault("late_start", delay_s=2))
    connected = b'{"event":"connected"}'
    assert line.through(connected, START, media(1)) == [connected]
    assert line.after(1.9) == []
    assert line.after(0.2) == [START, media(1)]


def test_media_comes_twice_now_and_then() -> None:
    line = Line(fault("double_media", chance=0.5))
    numbers = [number(m) for m in line.through(*map(media, range(100)))]
    assert sorted(set(numbers)) == list(range(100)) == sorted(set(numbers), key=int)
    assert numbers == sorted(numbers)
    assert 100 + len(line.acts) == len(numbers)
    assert 30 < len(line.acts) < 70


def test_media_changes_places_with_its_successor_and_none_is_lost() -> None:
    line = Line(fault("reordered_media", chance=1))
    stop = b'{"event":"stop"}'
    passed = line.through(media(1), media(2), media(3), stop)
    assert passed == [media(2), media(1), media(3), stop]


def test_a_truncated_message_is_no_json() -> None:
    line = Line(fault("truncated_json", chance=1))
    (cut,) = line.through(media(7))
    assert media(7).startswith(cut) and len(cut) == len(media(7)) // 2


def test_skewed_timestamps_are_ahead_and_drift() -> None:
    line = Line(fault("clock_skew", offset_ms=1000, drift_ppm=50_000))
    passed = line.through(media(0), media(100))
    timestamps = [json.loads(message)["media"]["timestamp"] for message in passed]
    assert timestamps == ["1000", "3100"]


def test_a_late_message_holds_up_all_behind_it() -> None:
    line = Line(fault("late_media", chance=1, delay_ms=400))
    line.through(media(1))
    plain = b'{"event":"mark"}'
    assert line.through(plain) == []
    assert line.after(0.41) == [media(1), plain]


def test_latency_and_jitter_keep_the_order() -> None:
    line = Line(fault("latency", delay_ms=100, jitter_ms=80))
    assert line.through(*map(media, range(50))) == []
    assert line.after(0.099) == []
    assert [number(m) for m in line.after(0.1)] == list(range(50))


def test_a_throttle_lets_so_many_bytes_pass_in_a_second() -> None:
    line = Line(fault("throttle", bytes_per_s=1000))
    message = media(1)
    line.through(*[message] * 100)
    passed = len(line.after(1.0)) * len(message)
    assert 1000 - len(message) <= passed <= 1000
    last_s = line.damage.last_due_s()
    assert last_s is not None
    assert round(last_s - 100, 3) == len(message) * 100 / 1000


def test_what_a_fault_holds_is_bounded(monkeypatch: Any) -> None:
    monkeypatch.setattr(damage, "MAX_HELD_BYTES", 1000)
    line = Line(fault("latency", delay_ms=60_000))
    passed = line.through(*map(media, range(100)))
    assert line.damage.held_bytes <= 1000
    assert [number(m) for m in passed] == list(range(len(passed)))


def test_the_same_seed_gives_the_same_damage() -> None:
    def run() -> list[bytes]:
        line = Line(fault("double_media", chance=0.3), fault("reordered_media"))
        return line.through(*map(media, range(200)))

    assert run() == run()
