"""Signal checks on what a caller heard: tones, correlation, speech bounds.

Plain Python on some seconds of 8 kHz audio, a fraction of a second each: too little to
make every installation carry numpy. Samples are int16 in native order.
"""

from __future__ import annotations

import math
import wave
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Below this, in int16 units, a sample is G.711's idle noise rather than sound.
SILENCE_LEVEL = 64


@dataclass(frozen=True)
class ToneFit:
    """The sine that fits best.

    Attributes:
        frequency_hz: Of the fitted sine.
        snr_db: Power of the sine over power of all the rest.
        rms: Level of the whole, in int16 units.
    """

    frequency_hz: float
    snr_db: float
    rms: float


def read_wav(path: Path) -> tuple[array[int], int]:
    """Return samples and rate in Hz of a mono 16-bit WAV file."""
    with wave.open(str(path), "rb") as file:
        if file.getnchannels() != 1 or file.getsampwidth() != 2:
            raise ValueError(f"{path}: not mono 16-bit")
        return array("h", file.readframes(file.getnframes())), file.getframerate()


def write_wav(path: Path, samples: Sequence[int], rate_hz: int) -> None:
    """Write samples as a mono 16-bit WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(array("h", samples).tobytes())


def make_tone(
    frequency_hz: float, seconds: float, rate_hz: int, amplitude: int = 12000
) -> array[int]:
    """Return a sine."""
    step = 2 * math.pi * frequency_hz / rate_hz
    count = round(seconds * rate_hz)
    return array("h", (round(amplitude * math.sin(step * n)) for n in range(count)))


def sound_bounds(samples: Sequence[int]) -> tuple[int, int] | None:
    """Return first and last-plus-one index of sound, or None for silence."""
    loud = [n for n, sample in enumerate(samples) if abs(sample) > SILENCE_LEVEL]
    return (loud[0], loud[-1] + 1) if loud else None


def rms(samples: Sequence[int]) -> float:
    """Return the root mean square."""
    if not samples:
        return 0.0
    return math.sqrt(sum(sample * sample for sample in samples) / len(samples))


def fit_tone(
    samples: Sequence[int], rate_hz: int, low_hz: float, high_hz: float
) -> ToneFit:
    """Find the sine between two frequencies that fits ``samples`` best.

    The search narrows with the window: a peak is as wide as rate over samples, so a
    coarse grid needs a short window not to step over it.
    """
    for window in (rate_hz // 20, rate_hz // 4, len(samples), len(samples)):
        part = samples[:window]
        step_hz = min(rate_hz / max(len(part), 1) / 2, (high_hz - low_hz) / 4)
        count = math.ceil((high_hz - low_hz) / step_hz)
        best_hz = max(
            (low_hz + step_hz * n for n in range(count + 1)),
            key=lambda hz: _sine_power(part, rate_hz, hz),
        )
        low_hz, high_hz = best_hz - step_hz, best_hz + step_hz
    total = rms(samples) ** 2
    tone = min(_sine_power(samples, rate_hz, best_hz), total)
    rest = max(total - tone, 1e-9)
    return ToneFit(best_hz, 10 * math.log10(max(tone, 1e-9) / rest), math.sqrt(total))


def _sine_power(samples: Sequence[int], rate_hz: int, frequency_hz: float) -> float:
    """Return the power of the least-squares sine at ``frequency_hz``."""
    step = 2 * math.pi * frequency_hz / rate_hz
    xs = xc = ss = cc = sc = 0.0
    for n, sample in enumerate(samples):
        sine, cosine = math.sin(step * n), math.cos(step * n)
        xs += sample * sine
        xc += sample * cosine
        ss += sine * sine
        cc += cosine * cosine
        sc += sine * cosine
    determinant = ss * cc - sc * sc
    if not samples or abs(determinant) < 1e-9:
        return 0.0
    a = (xs * cc - xc * sc) / determinant
    b = (xc * ss - xs * sc) / determinant
    return (a * xs + b * xc) / len(samples)


def correlation(heard: Sequence[int], reference: Sequence[int], slack: int) -> float:
    """Return the best normalised correlation of ``reference`` within ``heard``.

    The two are aligned where sound begins in each, give or take ``slack`` samples.
    1.0 is the same shape at any level.
    """
    here, there = sound_bounds(heard), sound_bounds(reference)
    if here is None or there is None:
        return 0.0
    wanted = reference[there[0] : there[1]]
    best = 0.0
    for start in range(max(0, here[0] - slack), here[0] + slack + 1):
        part = heard[start : start + len(wanted)]
        if len(part) == len(wanted):
            best = max(best, _normalised(part, wanted))
    return best


def _normalised(one: Sequence[int], two: Sequence[int]) -> float:
    energy = rms(one) * rms(two) * len(one)
    return sum(map(int.__mul__, one, two)) / energy if energy else 0.0
