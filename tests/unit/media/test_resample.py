"""Resampling: continuous over chunks, same length, no aliases."""

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.media.resample import Resampler


def sine(hz: float, rate_hz: int, samples: int) -> bytes:
    values = (
        round(8000 * math.sin(2 * math.pi * hz * n / rate_hz)) for n in range(samples)
    )
    return struct.pack(f"<{samples}h", *values)


def unpack(pcm: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(pcm) // 2}h", pcm)


def power_db(pcm: bytes) -> float:
    values = unpack(pcm)
    return 10 * math.log10(sum(v * v for v in values) / len(values) + 1e-9)


PAIRS = [(8000, 16000), (8000, 24000), (16000, 8000), (24000, 8000)]


@pytest.mark.parametrize(("source_hz", "target_hz"), PAIRS)
def test_each_chunk_keeps_its_length(source_hz: int, target_hz: int) -> None:
    converter = Resampler(source_hz, target_hz)
    for _ in range(20):
        chunk = converter.convert(bytes(2 * source_hz // 50))
        assert len(chunk) == 2 * target_hz // 50


@settings(max_examples=20, deadline=None)
@given(
    pair=st.sampled_from(PAIRS),
    cuts=st.lists(st.integers(1, 900), min_size=1, max_size=12),
)
def test_chunks_of_any_size_make_the_same_signal(
    pair: tuple[int, int], cuts: list[int]
) -> None:
    source_hz, target_hz = pair
    signal = sine(440, source_hz, sum(cuts) + 2400)
    whole = Resampler(source_hz, target_hz).convert(signal)
    converter, at, parts = Resampler(source_hz, target_hz), 0, b""
    for cut in [*cuts, 2400]:
        parts += converter.convert(signal[2 * at : 2 * (at + cut)])
        at += cut
    length = min(len(whole), len(parts))
    assert abs(len(whole) - len(parts)) <= 4
    assert all(
        abs(a - b) <= 1
        for a, b in zip(unpack(whole[:length]), unpack(parts[:length]), strict=True)
    )


def test_a_tone_arrives_2_ms_late_and_unchanged() -> None:
    out = unpack(Resampler(16000, 8000).convert(sine(500, 16000, 16000)))
    assert set(out[:10]) == {0}
    expected = unpack(sine(500, 8000, 8000))
    worst = max(
        abs(a - b) for a, b in zip(out[416:7000], expected[400:6984], strict=True)
    )
    assert worst <= 40


ALIASING = [
    (rate_hz, tone_hz)
    for rate_hz, top_hz in ((16000, 8000), (24000, 12000))
    for tone_hz in range(5000, top_hz, 500)
]


@pytest.mark.parametrize(("rate_hz", "tone_hz"), ALIASING)
def test_what_8_khz_cannot_carry_is_gone(rate_hz: int, tone_hz: int) -> None:
    out = Resampler(rate_hz, 8000).convert(sine(tone_hz, rate_hz, rate_hz))
    reference = power_db(sine(1000, 8000, 8000))
    assert reference - power_db(out[400:]) > 50


@pytest.mark.parametrize("rate_hz", [16000, 24000])
@pytest.mark.parametrize("tone_hz", [300, 1000, 2000, 3000])
def test_going_up_brings_no_image(rate_hz: int, tone_hz: int) -> None:
    out = unpack(Resampler(8000, rate_hz).convert(sine(tone_hz, 8000, 8000)))
    tail = out[rate_hz // 4 : 3 * rate_hz // 4]
    step = 2 * math.pi * tone_hz / rate_hz
    cosines = [math.cos(step * n) for n in range(len(tail))]
    sines = [math.sin(step * n) for n in range(len(tail))]
    a = 2 * sum(v * c for v, c in zip(tail, cosines, strict=True)) / len(tail)
    b = 2 * sum(v * s for v, s in zip(tail, sines, strict=True)) / len(tail)
    rest = [v - a * c - b * s for v, c, s in zip(tail, cosines, sines, strict=True)]
    tone = (a * a + b * b) / 2
    noise = sum(v * v for v in rest) / len(rest)
    assert 10 * math.log10(tone / noise) > 50


def test_nothing_in_is_nothing_out() -> None:
    assert Resampler(8000, 16000).convert(b"") == b""


def test_after_a_reset_the_old_signal_is_gone() -> None:
    converter = Resampler(16000, 8000)
    converter.convert(sine(1000, 16000, 320))
    converter.reset()
    assert set(unpack(converter.convert(bytes(640)))) == {0}
