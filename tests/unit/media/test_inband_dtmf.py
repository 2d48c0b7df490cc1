"""DTMF by its sound: every key, both laws, and nothing that only resembles one."""

import math
import random
import struct

import pytest

from emulator.media.g711 import LAWS, PCMU, Law
from emulator.media.inband_dtmf import InbandDetector, detect_key
from emulator.media.tones import KEYPAD, dtmf, silence, tone


def heard(pcm: bytes, law: Law = PCMU, chunk: int = 160) -> list[tuple[str, int]]:
    presses: list[tuple[str, int]] = []
    detector = InbandDetector(law, lambda digit, ms: presses.append((digit, ms)))
    audio = law.encode(pcm)
    for at in range(0, len(audio), chunk):
        detector.hear(audio[at : at + chunk])
    return presses


@pytest.mark.parametrize("law", LAWS.values(), ids=str)
@pytest.mark.parametrize("key", KEYPAD)
def test_each_key_is_one_press_with_its_length(key: str, law: Law) -> None:
    assert heard(dtmf(key, 100) + silence(100), law) == [(key, 100)]


def test_keys_are_found_wherever_the_packets_are_cut() -> None:
    pcm = silence(33) + b"".join(dtmf(key, 100) + silence(60) for key in "159D")
    assert [key for key, _ in heard(pcm + silence(60), chunk=77)] == list("159D")


def test_the_same_key_twice_is_two_presses() -> None:
    pcm = dtmf("1", 100) + silence(60) + dtmf("1", 100) + silence(60)
    assert [key for key, _ in heard(pcm)] == ["1", "1"]


def test_a_hole_of_one_packet_is_no_release() -> None:
    pcm = dtmf("7", 100) + silence(20) + dtmf("7", 100) + silence(60)
    assert heard(pcm) == [("7", 220)]


def test_a_sound_shorter_than_a_key_is_none() -> None:
    assert heard(dtmf("7", 20) + silence(100)) == []


@pytest.mark.parametrize(
    "pcm",
    [
        silence(200),
        tone((770,), 200),
        tone((1336,), 200),
        tone((697, 770), 200),
        tone((400, 450), 200),
        tone((350, 440), 200),
        tone((770, 1336, 2000), 200),
    ],
)
def test_other_tones_are_no_key(pcm: bytes) -> None:
    assert heard(pcm + silence(100)) == []


def test_noise_and_a_voice_like_sound_are_no_key() -> None:
    chance = random.Random(1)
    noise = struct.pack(
        "<16000h", *(chance.randrange(-9000, 9000) for _ in range(16000))
    )
    voice = struct.pack(
        "<16000h",
        *(
            round(
                sum(
                    6000 / k * math.sin(2 * math.pi * k * (120 + n / 400) * n / 8000)
                    for k in range(1, 20)
                )
                / 3
            )
            for n in range(16000)
        ),
    )
    assert heard(noise) == []
    assert heard(voice) == []


def test_too_quiet_is_no_key() -> None:
    loud = struct.unpack("<160h", dtmf("5", 20))
    quiet = struct.pack("<160h", *(sample // 100 for sample in loud))
    assert detect_key(quiet) is None
