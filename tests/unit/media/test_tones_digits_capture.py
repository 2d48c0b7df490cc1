"""Built-in prompts, keys merged over their ways, and captures in true time."""

import array
import wave
from itertools import pairwise
from pathlib import Path

import pytest

from emulator.media.capture import Capture
from emulator.media.digits import DigitMerger
from emulator.media.g711 import PCMA, PCMU
from emulator.media.hold_music import hold_music
from emulator.media.tones import TONES, built_in_prompt, dtmf, silence, tone


@pytest.mark.parametrize("name", TONES)
def test_every_built_in_prompt_sounds_in_both_laws(name: str) -> None:
    assert len(built_in_prompt(name, PCMU)) == len(built_in_prompt(name, PCMA)) >= 4000


def test_tones_have_their_length() -> None:
    assert len(tone((440, 480), 100)) == 1600
    assert silence(20) == bytes(320)
    assert len(dtmf("D", 40)) == 640


def test_each_key_sounds_different() -> None:
    assert len({dtmf(key, 40) for key in "0123456789*#ABCD"}) == 16


def test_a_key_by_two_ways_is_one_press() -> None:
    merger = DigitMerger()
    assert merger.is_new("1", "rfc4733", 10.0)
    assert not merger.is_new("1", "info", 10.1)


def test_a_key_pressed_again_is_a_press() -> None:
    merger = DigitMerger()
    assert merger.is_new("1", "rfc4733", 10.0)
    assert merger.is_new("1", "rfc4733", 10.2)
    assert merger.is_new("2", "info", 10.3)
    assert merger.is_new("2", "rfc4733", 10.8)


LOUD = PCMU.encode(tone((440,), 20))
QUIET = PCMU.quiet(160)


def test_a_steady_stream_is_kept_as_it_is() -> None:
    capture = Capture(PCMU, 100.0)
    for n in range(10):
        capture.hear(LOUD, 100.0 + 0.02 * (n + 1) + (0.01 if n % 2 else 0))
    assert capture.pcm() == PCMU.decode(LOUD * 10)


def test_a_gap_of_arrival_is_silence() -> None:
    capture = Capture(PCMU, 100.0)
    capture.hear(LOUD, 100.02)
    capture.hear(LOUD, 101.02)
    assert capture.duration_s == pytest.approx(1.04, abs=0.001)
    assert capture.pcm()[-320:] == PCMU.decode(LOUD)


def test_the_first_sound_is_timed() -> None:
    capture = Capture(PCMU, 0.0)
    for n, frame in enumerate((QUIET, QUIET, LOUD, LOUD)):
        capture.hear(frame, 0.02 * n)
    assert capture.first_sound_s == pytest.approx(0.04)


def test_a_capture_is_bounded() -> None:
    capture = Capture(PCMU, 0.0)
    capture.hear(LOUD, 4000.0)
    assert capture.duration_s == 0


def test_a_capture_becomes_a_wav(tmp_path: Path) -> None:
    capture = Capture(PCMU, 0.0)
    capture.hear(LOUD, 0.02)
    capture.save(str(tmp_path / "heard.wav"))
    with wave.open(str(tmp_path / "heard.wav")) as reader:
        assert reader.getframerate() == 8000
        assert reader.readframes(999) == PCMU.decode(LOUD)


def test_the_music_on_hold_is_gentle_and_joins_its_own_beginning() -> None:
    samples = array.array("h", hold_music())
    assert len(samples) == 76_800
    assert 6000 < max(abs(sample) for sample in samples) < 16_000
    # The seam is no larger a step than any other.
    steps = [abs(b - a) for a, b in pairwise(samples)]
    assert abs(samples[0] - samples[-1]) <= max(steps)
