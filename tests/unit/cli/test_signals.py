from __future__ import annotations

import random
from array import array
from pathlib import Path

import pytest

from emulator.cli import signals

RATE_HZ = 8000


def noise(count: int, amplitude: int, seed: int = 1) -> array[int]:
    chance = random.Random(seed)
    return array("h", (chance.randint(-amplitude, amplitude) for _ in range(count)))


@pytest.mark.parametrize("frequency_hz", [440.0, 997.0, 1234.5])
def test_the_tone_in_noise_is_found(frequency_hz: float) -> None:
    tone = signals.make_tone(frequency_hz, 1.0, RATE_HZ)
    noisy = array(
        "h", (a + b for a, b in zip(tone, noise(len(tone), 500), strict=True))
    )
    fit = signals.fit_tone(noisy, RATE_HZ, 300, 2000)
    assert fit.frequency_hz == pytest.approx(frequency_hz, rel=0.005)
    assert 27 < fit.snr_db < 32


def test_noise_is_no_tone() -> None:
    assert signals.fit_tone(noise(8000, 8000), RATE_HZ, 300, 2000).snr_db < 0


def test_the_same_shape_correlates_at_any_level_and_delay() -> None:
    speech = noise(2000, 9000)
    heard = array("h", [0] * 777) + array("h", (s // 3 for s in speech))
    assert signals.correlation(heard, speech, slack=20) > 0.99


def test_another_shape_does_not_correlate() -> None:
    assert signals.correlation(noise(3000, 9000, 2), noise(2000, 9000, 1), 20) < 0.2


def test_silence_has_no_bounds_and_no_correlation() -> None:
    silence = array("h", [0] * 100)
    assert signals.sound_bounds(silence) is None
    assert signals.correlation(silence, noise(50, 9000), 5) == 0.0


def test_a_wav_file_survives_the_round_trip(tmp_path: Path) -> None:
    samples = noise(800, 3000)
    signals.write_wav(tmp_path / "x.wav", samples, RATE_HZ)
    assert signals.read_wav(tmp_path / "x.wav") == (samples, RATE_HZ)
