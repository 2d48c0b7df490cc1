"""Keys that were sent as sound are not heard in what is kept."""

from __future__ import annotations

import itertools

import pytest

from emulator.media.digit_silence import DigitSilencer
from emulator.media.inband_dtmf import detect_key
from emulator.media.tones import dtmf, silence, tone


def silenced(pcm: bytes, chunk_bytes: int) -> bytes:
    silencer = DigitSilencer()
    kept = b"".join(
        silencer.pass_through(pcm[start : start + chunk_bytes])
        for start in range(0, len(pcm), chunk_bytes)
    )
    return kept + silencer.finish()


@pytest.mark.parametrize("chunk_bytes", [320, 2000, 16000, 1 << 20])
@pytest.mark.parametrize("shift_bytes", [0, 2, 150, 318])
def test_no_key_is_left_and_the_length_stays(
    chunk_bytes: int, shift_bytes: int
) -> None:
    words = tone((440,), 200)
    keys = b"".join(dtmf(key, 80) + silence(60) for key in "1234567890*#")
    pcm = bytes(shift_bytes) + words + keys + words
    kept = silenced(pcm, chunk_bytes)
    assert len(kept) == len(pcm)
    for start in range(0, len(kept) - 320, 40):
        assert detect_key(kept[start : start + 320]) is None


@pytest.mark.parametrize("chunk_bytes", [320, 2001 * 2])
def test_words_are_left_as_they_are(chunk_bytes: int) -> None:
    words = tone((300, 1100), 1010) + silence(50) + tone((697,), 100)
    assert silenced(words, chunk_bytes) == words


def test_only_the_neighbourhood_of_a_key_is_silent() -> None:
    words = tone((440,), 400)
    kept = silenced(words + dtmf("5", 100) + words, 1600)
    changed = [n for n, (a, b) in enumerate(zip(kept, words, strict=False)) if a != b]
    assert len(words) - min(changed) <= 640
    assert kept[-len(words) + 640 :] == words[640:]


def test_a_key_at_the_very_end_is_silent() -> None:
    kept = silenced(tone((440,), 200) + dtmf("5", 90), 1000)
    assert not any(kept[-1440:])
    assert list(itertools.islice(kept, 5)) != [0] * 5
