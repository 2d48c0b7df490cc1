"""The rendering child: ``python -m emulator.speech.render``.

Reads one JSON document from standard input, ``{"voice": …, "jobs": [{"text": …,
"path": …}]}``, and writes each text as an 8 kHz mono 16-bit WAV. After each job it
prints one line of JSON, ``{"path": …, "error": …}``, so that its parent knows which
text ended it, should it crash.
"""

from __future__ import annotations

import json
import os
import sys
import wave
from collections.abc import Mapping
from pathlib import Path

import av

from emulator.speech.espeak import Espeak, SpeechError, short_path

RATE_HZ = 8000


def resample(samples: bytes, rate_hz: int) -> bytes:
    """Return int16 mono samples at ``RATE_HZ``."""
    frame = av.AudioFrame("s16", "mono", len(samples) // 2, align=1)
    frame.planes[0].update(samples)
    frame.sample_rate = rate_hz
    resampler = av.AudioResampler("s16", "mono", RATE_HZ)
    frames = [*resampler.resample(frame), *resampler.resample(None)]
    return b"".join(bytes(f.planes[0])[: 2 * f.samples] for f in frames)


def write_wav(path: Path, samples: bytes) -> None:
    """Write the file in one step: a reader sees all of it or none."""
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    with wave.open(str(unfinished), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        out.writeframes(samples)
    unfinished.replace(path)


def render(espeak: Espeak, text: str, path: Path) -> str | None:
    """Render one text; return why it could not be done, or None."""
    try:
        write_wav(path, resample(espeak.speak(text), espeak.rate_hz))
    except (SpeechError, OSError, av.FFmpegError) as error:
        return str(error)
    return None


def report(path: str, error: str | None) -> None:
    sys.stdout.write(json.dumps({"path": path, "error": error}) + "\n")
    sys.stdout.flush()


def run(voice: str, jobs: list[Mapping[str, str]]) -> None:
    """Render every job and report on each."""
    try:
        import espeakng_loader
    except ImportError:
        raise SpeechError(
            "eSpeak NG is not installed: pip install 'exotel-emulator[speech]'"
        ) from None
    library = espeakng_loader.get_library_path()
    with short_path(Path(espeakng_loader.get_data_path())) as data:
        espeak = Espeak(library, data, voice)
        for job in jobs:
            report(job["path"], render(espeak, job["text"], Path(job["path"])))


def main() -> None:
    order = json.load(sys.stdin)
    try:
        run(order["voice"], order["jobs"])
    except (SpeechError, OSError) as error:
        for job in order["jobs"]:
            report(job["path"], str(error))


if __name__ == "__main__":
    main()
