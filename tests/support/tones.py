"""What a phone of a test must have heard: its own hum, come back from the echo bot."""

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
