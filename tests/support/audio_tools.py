"""Second opinions on audio files: ffprobe, ffmpeg and soxi, which tests ask."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from array import array
from dataclasses import dataclass
from pathlib import Path

import pytest

from emulator.cli.signals import fit_tone

PACKAGES = {"ffprobe": "ffmpeg", "ffmpeg": "ffmpeg", "soxi": "sox"}


@dataclass(frozen=True)
class Probed:
    """What a tool says of a file."""

    rate_hz: int
    n_channels: int
    duration_s: float
    bit_rate: int
    codec: str


def need(program: str) -> str:
    """Return the path of a tool, or skip, loudly."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(
            f"{program} is not installed: this file was NOT judged "
            f"(apt-get install {PACKAGES[program]})"
        )
    return path


def raw_arguments(path: Path, n_channels: int) -> list[str]:
    """Return what tells the tools the form of a file without a header."""
    if path.suffix != ".raw":
        return []
    layout = {1: "mono", 2: "stereo"}[n_channels]
    return ["-f", "s16le", "-sample_rate", "8000", "-ch_layout", layout]


def ffprobe(path: Path, n_channels: int = 0) -> Probed:
    """Let ffprobe read the file."""
    text = _run(
        need("ffprobe"), "-v", "error", *raw_arguments(path, n_channels),
        "-show_streams", "-of", "json", str(path),
    )  # fmt: skip
    (stream,) = json.loads(text)["streams"]
    return Probed(
        int(stream["sample_rate"]),
        int(stream["channels"]),
        float(stream["duration"]),
        int(stream["bit_rate"]),
        stream["codec_name"],
    )


def soxi(path: Path, n_channels: int = 0) -> tuple[int, int, float]:
    """Let sox tell rate, channels and seconds; sox knows no MP3 in some packages."""
    form = []
    if path.suffix == ".raw":
        form = ["-t", "raw", "-e", "signed", "-b", "16", "-r", "8000"]
        form += ["-c", str(n_channels)]
        need("soxi")
        text = _run("sox", *form, str(path), "-t", "wav", "-")
        data_bytes = len(text) - 44
        return 8000, n_channels, data_bytes / 2 / n_channels / 8000
    values = [_run(need("soxi"), option, str(path)) for option in ("-r", "-c", "-D")]
    return int(values[0]), int(values[1]), float(values[2])


def decode(path: Path, n_channels: int) -> list[array[int]]:
    """Let ffmpeg decode the file; return its channels at 8 kHz."""
    data = _run(
        need("ffmpeg"), "-v", "error", *raw_arguments(path, n_channels),
        "-i", str(path), "-f", "s16le", "-ar", "8000", "-",
    )  # fmt: skip
    both = array("h", data)
    if sys.byteorder == "big":
        both.byteswap()
    return [both[channel::n_channels] for channel in range(n_channels)]


def pitch(samples: array[int], low_hz: float = 300, high_hz: float = 1500) -> float:
    """Return the frequency of the tone that fills ``samples``, 0 for none."""
    fit = fit_tone(samples[:4000], 8000, low_hz, high_hz)
    return fit.frequency_hz if fit.rms > 100 and fit.snr_db > 6 else 0.0


def _run(*command: str) -> bytes:
    done = subprocess.run(command, capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout
