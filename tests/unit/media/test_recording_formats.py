"""Recording formats, judged by other people's programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulator.media.recording import CHANNELS, arrange, make_encoder
from emulator.media.tones import silence, tone
from tests.support import audio_tools

SECONDS = 3
LEFT, RIGHT = tone((440,), SECONDS * 1000), tone((1000,), SECONDS * 1000)
# What MP3 adds: the encoder's delay and the rest of the last frame of 72 ms.
MP3_MORE_S = 0.25


def encode(
    path: Path, format_name: str, channels: str, left: bytes, right: bytes
) -> None:
    """Encode as a recording does, in stretches of a second and a bit."""
    encoder = make_encoder(format_name, channels)
    data = b""
    for start in range(0, len(left), 17_000):
        end = start + 17_000
        data += encoder.encode(arrange(left[start:end], right[start:end], channels))
    data += encoder.finish()
    path.write_bytes(encoder.header(len(data)) + data)


def recorded(
    folder: Path, format_name: str, channels: str, right: bytes = RIGHT
) -> Path:
    extension = format_name.removesuffix("_hq")
    path = folder / f"made.{extension}"
    encode(path, format_name, channels, LEFT, right)
    return path


BIT_RATES = [
    ("wav", "single", 128_000), ("wav", "dual", 256_000),
    ("raw", "single", 128_000), ("raw", "dual", 256_000),
    ("mp3", "single", 8_000), ("mp3", "dual", 8_000),
    ("mp3_hq", "single", 32_000), ("mp3_hq", "dual", 64_000),
]  # fmt: skip


@pytest.mark.parametrize(("format_name", "channels", "bit_rate"), BIT_RATES)
def test_ffprobe_sees_what_was_asked_for(
    tmp_path: Path, format_name: str, channels: str, bit_rate: int
) -> None:
    n_channels = CHANNELS[channels]
    path = recorded(tmp_path, format_name, channels)
    probed = audio_tools.ffprobe(path, n_channels)
    assert (probed.rate_hz, probed.n_channels) == (8000, n_channels)
    assert probed.bit_rate == bit_rate
    more_s = MP3_MORE_S if path.suffix == ".mp3" else 0
    assert SECONDS <= probed.duration_s <= SECONDS + more_s
    codec = "mp3" if path.suffix == ".mp3" else "pcm_s16le"
    assert probed.codec == codec


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("format_name", ["wav", "raw"])
def test_sox_sees_what_was_asked_for(
    tmp_path: Path, format_name: str, channels: str
) -> None:
    path = recorded(tmp_path, format_name, channels)
    expected = (8000, CHANNELS[channels], float(SECONDS))
    assert audio_tools.soxi(path, CHANNELS[channels]) == expected


@pytest.mark.parametrize("format_name", ["wav", "raw", "mp3", "mp3_hq"])
def test_dual_keeps_the_parties_apart(tmp_path: Path, format_name: str) -> None:
    path = recorded(tmp_path, format_name, "dual")
    left, right = audio_tools.decode(path, 2)
    assert audio_tools.pitch(left[8000:]) == pytest.approx(440, rel=0.01)
    assert audio_tools.pitch(right[8000:]) == pytest.approx(1000, rel=0.01)


@pytest.mark.parametrize("format_name", ["wav", "raw", "mp3", "mp3_hq"])
def test_single_has_both_in_one(tmp_path: Path, format_name: str) -> None:
    path = recorded(tmp_path, format_name, "single", right=silence(SECONDS * 1000))
    (mono,) = audio_tools.decode(path, 1)
    assert audio_tools.pitch(mono[8000:]) == pytest.approx(440, rel=0.01)


def test_a_cut_mp3_can_be_played(tmp_path: Path) -> None:
    path = recorded(tmp_path, "mp3_hq", "dual")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert audio_tools.ffprobe(path).duration_s == pytest.approx(SECONDS / 2, abs=0.3)


def test_a_sum_that_is_too_loud_is_cut() -> None:
    loud = b"\xff\x7f" * 100
    assert arrange(loud, loud, "single") == loud


def test_a_format_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="no recording 'ogg'"):
        make_encoder("ogg", "single")
