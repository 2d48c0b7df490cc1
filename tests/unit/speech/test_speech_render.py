"""The rendering child, with the real eSpeak NG."""

from __future__ import annotations

import array
import asyncio
import importlib.util
import math
import subprocess
import sys
import wave
from collections.abc import Mapping
from pathlib import Path

import pytest

from emulator.speech.cache import Rendering, SpeechCache

# `make test` installs it; a plain install says in its prompts that it is missing.
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None,
    reason="the extra 'speech' is not installed",
)


def render(directory: Path, *texts: str, voice: str = "en") -> Mapping[str, Rendering]:
    return asyncio.run(SpeechCache(directory, voice).render(texts))


def listen(path: Path) -> tuple[float, float]:
    """Return seconds and loudness (RMS, full scale 1) of an 8 kHz mono file."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        assert file.getframerate() == 8000
        samples = array.array("h", file.readframes(file.getnframes()))
    power = sum(sample * sample for sample in samples) / len(samples)
    return len(samples) / 8000, math.sqrt(power) / 32768


def test_texts_become_audible_speech_of_a_fitting_length(tmp_path: Path) -> None:
    short, long = "Hello.", "Connecting you to the voice bot, please stay on the line."
    renderings = render(tmp_path, short, long)
    lengths = []
    for text in (short, long):
        path = renderings[text].path
        assert path and path == SpeechCache(tmp_path, "en").path_for(text)
        seconds, loudness = listen(path)
        assert loudness > 0.02
        lengths.append(seconds)
    assert 0.3 < lengths[0] < 1.2
    assert 2.0 < lengths[1] < 5.0


def test_markup_and_odd_texts_are_read_or_refused_one_by_one(tmp_path: Path) -> None:
    markup, none = "<speak>one</speak> [[h@l'oU]] &amp; |", "..."
    renderings = render(tmp_path, none, markup, "\ud800 two")
    assert renderings[none].error == "there is no word to speak in the text"
    assert renderings[markup].path
    assert renderings["\ud800 two"].path
    assert {path.suffix for path in tmp_path.iterdir()} == {".wav"}


def test_an_unknown_voice_is_named(tmp_path: Path) -> None:
    rendering = render(tmp_path, "one", voice="klingon-9")["one"]
    assert rendering == Rendering(None, "eSpeak NG has no voice 'klingon-9'")


def test_a_long_data_path_is_shortened(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    code = """
import sys, espeakng_loader
from pathlib import Path
from emulator.speech.espeak import Espeak, short_path
data = Path(sys.argv[1]) / "espeak-ng-data"
data.symlink_to(espeakng_loader.get_data_path())
with short_path(data) as path:
    assert len(str(path)) < 100, path
    print(len(Espeak(espeakng_loader.get_library_path(), path, "en").speak("one")))
"""
    out = subprocess.run(
        [sys.executable, "-c", code, str(deep)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(out.stdout) > 10_000


def test_without_the_wheel_the_prompt_says_how_to_get_it(tmp_path: Path) -> None:
    blocked = (
        "import sys; sys.modules['espeakng_loader'] = None\n"
        "from emulator.speech.render import main; main()"
    )
    cache = SpeechCache(tmp_path, "en", renderer=(sys.executable, "-c", blocked))
    rendering = asyncio.run(cache.render(["one"]))["one"]
    assert rendering.path is None
    assert rendering.error == (
        "eSpeak NG is not installed: pip install 'exotel-emulator[speech]'"
    )
