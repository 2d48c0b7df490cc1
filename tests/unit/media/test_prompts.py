"""Prompts: WAV, other rates, MP3, refusals, the cache."""

import os
import wave
from pathlib import Path

import av
import pytest

from emulator.media.g711 import PCMA, PCMU
from emulator.media.prompts import (
    MAX_PROMPT_S,
    Prompt,
    PromptCache,
    PromptError,
    Stamp,
    read_prompt,
)
from emulator.media.tones import tone


def write_wav(path: Path, pcm: bytes, rate_hz: int = 8000, channels: int = 1) -> str:
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate_hz)
        writer.writeframes(pcm)
    return str(path)


def write_mp3(path: Path, pcm: bytes) -> str:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mp3", rate=8000, layout="mono")
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(pcm) // 2)
        frame.sample_rate = 8000
        memoryview(frame.planes[0])[: len(pcm)] = memoryview(pcm)
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return str(path)


def test_a_plain_wav_is_encoded_as_it_is(tmp_path: Path) -> None:
    pcm = tone((440,), 250)
    path = write_wav(tmp_path / "a.wav", pcm)
    assert read_prompt(path, PCMU, None).audio == PCMU.encode(pcm)
    assert read_prompt(path, PCMA, None).audio == PCMA.encode(pcm)


@pytest.mark.parametrize(("rate_hz", "channels"), [(16000, 1), (44100, 2), (8000, 2)])
def test_another_wav_keeps_its_length(
    tmp_path: Path, rate_hz: int, channels: int
) -> None:
    pcm = bytes(2 * channels * rate_hz)
    path = write_wav(tmp_path / "b.wav", pcm, rate_hz, channels)
    assert len(read_prompt(path, PCMU, None).audio) == pytest.approx(8000, abs=8)


def test_an_mp3_is_decoded(tmp_path: Path) -> None:
    path = write_mp3(tmp_path / "c.mp3", tone((440,), 1000))
    assert len(read_prompt(path, PCMU, None).audio) == pytest.approx(8000, abs=1200)


def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "d.wav", tone((440,), 20))
    prompt = read_prompt(path, PCMU, None)
    assert read_prompt(path, PCMU, prompt) is prompt
    write_wav(tmp_path / "d.wav", tone((440,), 40))
    assert len(read_prompt(path, PCMU, prompt).audio) == 320


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("missing.wav", None, "No such file or directory"),
        ("empty.wav", b"", "no audio that can be decoded"),
        ("text.mp3", b"this is no audio\n" * 100, "no audio that can be decoded"),
        ("list.m3u8", b"#EXTM3U\nhttp://127.0.0.1:1/x.mp3\n", "no audio"),
    ],
)
def test_what_cannot_be_played_says_why(
    tmp_path: Path, name: str, content: bytes | None, reason: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PromptError, match=reason) as caught:
        read_prompt(str(path), PCMU, None)
    assert str(caught.value).startswith(f"prompt {path}: ")


def test_a_wav_without_samples_is_refused(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "none.wav", b"")
    with pytest.raises(PromptError, match="no audio in it"):
        read_prompt(path, PCMU, None)


def test_a_prompt_has_a_longest_length(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    write_wav(path, b"")
    header = bytearray(path.read_bytes())
    size = (MAX_PROMPT_S + 2) * 16000
    header[4:8] = (36 + size).to_bytes(4, "little")
    header[40:44] = size.to_bytes(4, "little")
    path.write_bytes(header)
    os.truncate(path, 44 + size)
    with pytest.raises(PromptError, match="longer than 600 s"):
        read_prompt(str(path), PCMU, None)


def test_the_cache_keeps_each_law_and_drops_the_least_used() -> None:
    cache = PromptCache(max_bytes=300)
    prompts = {name: Prompt(Stamp(1, 1), bytes(100)) for name in "abcd"}
    for name in "abc":
        cache.put(name, PCMU, prompts[name])
    assert cache.get("a", PCMU) is prompts["a"]
    assert cache.get("a", PCMA) is None
    cache.put("d", PCMU, prompts["d"])
    assert cache.get("b", PCMU) is None
    assert cache.get("a", PCMU) is prompts["a"]
    cache.put("d", PCMU, Prompt(Stamp(2, 2), bytes(50)))
    assert cache.get("c", PCMU) is prompts["c"]
