"""What a phone of a test must have heard: its own hum, or the other party's tone."""

from __future__ import annotations

from array import array

from emulator.cli import signals

HUM_HZ = 440.0


def assert_hears_its_hum(samples: array[int], rate_hz: int) -> None:
    """Some second of what came back is the phone's own hum, and nothing else.

    Not a given one: a phone plays and hears in real time, and a busy machine tears
    holes into that, of which the test that asks here knows nothing.
    """
    starts = range(rate_hz, len(samples) - rate_hz, rate_hz // 4)
    fits = [
        signals.fit_tone(samples[start : start + rate_hz], rate_hz, 300, 600)
        for start in starts
    ]
    assert fits, f"only {len(samples) / rate_hz:.2f} s were heard"
    best = max(fits, key=lambda fit: fit.snr_db)
    assert abs(best.frequency_hz - HUM_HZ) < HUM_HZ / 100, fits
    assert best.snr_db > 20, fits


def assert_hears(tone_hz: float, samples: array[int], rate_hz: int) -> None:
    """Some second of the last three is this tone rather than any other.

    Not a given one, for the same reason.
    """
    last = samples[-3 * rate_hz :]
    fits = [
        signals.fit_tone(last[start : start + rate_hz], rate_hz, 300, 900)
        for start in range(0, len(last) - rate_hz + 1, rate_hz // 2)
    ]

    def is_it(fit: signals.ToneFit) -> bool:
        return abs(fit.frequency_hz - tone_hz) < tone_hz / 100 and fit.snr_db > 10

    assert any(map(is_it, fits)), fits
