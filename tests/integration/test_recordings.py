"""Recordings and captures of real calls, fetched over real HTTP while and after."""

from __future__ import annotations

import os
import signal
import sys
import wave
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import pytest

from emulator.cli import signals
from tests.support import audio_tools
from tests.support.processes import Emulator, Process, emulator, eventually

# Whole processes, in real time.
pytestmark = pytest.mark.slow

FORMATS = {
    "08010000001": ("mp3", "single", "audio/mpeg"),
    "08010000002": ("mp3_hq", "dual", "audio/mpeg"),
    "08010000003": ("raw", "dual", "application/octet-stream"),
    "08010000004": ("wav", "dual", "audio/wav"),
}
CONFIG = """\
calls: {{ring_ms: 0, keep_ended: 2}}
data_dir: {data}
flow: {{directory: {flows}}}
media: {{capture_calls: 1}}
numbers:
"""
FLOW = """\
flow: {name}
app_id: "{app_id}"
start: bot
applets:
  bot:
    type: voicebot
    url: "${{BOT_URL}}"
    record: {{format: {format}, channels: {channels}}}
    next: bye
  bye: {{type: hangup}}
"""
CALLER_HZ, BOT_HZ = 700, 1000
fetch = partial(httpx.get, timeout=20.0)


@contextmanager
def tone_bot(folder: Path) -> Iterator[str]:
    bot = Process(
        sys.executable, "-m", "emulator", "bot", "tone", "--port", "0", cwd=folder
    )
    try:
        port = bot.wait_for(r"listens on ws://127\.0\.0\.1:(\d+)")[1]
        yield f"ws://127.0.0.1:{port}/media?sample-rate=8000"
    finally:
        bot.end()


@contextmanager
def recording_emulator(folder: Path, more: str = "") -> Iterator[Emulator]:
    flows = folder / "flows"
    flows.mkdir()
    config = CONFIG.format(data=folder / "data", flows=flows)
    for number, (format_name, channels, _) in FORMATS.items():
        name = f"{format_name}-{channels}"
        config += f'  - {{number: "{number}", flow: {name}}}\n'
        text = FLOW.format(
            name=name, app_id=number, format=format_name, channels=channels
        )
        (flows / f"{name}.yaml").write_text(text)
    with tone_bot(folder) as url:
        env = {
            "BOT_URL": url,
            "EXOTEL_EMULATOR_DATA_DIR": str(folder / "data"),
            "EXOTEL_EMULATOR_FLOW__DIRECTORY": str(flows),
        }
        with emulator(folder, config=config + more, env=env) as started:
            yield started


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with recording_emulator(tmp_path_factory.mktemp("recording")) as started:
        yield started


@contextmanager
def calling(
    recording: Emulator, folder: Path, number: str = "08010000001", seconds: float = 4
) -> Iterator[Process]:
    """A caller whose tone lasts as long as its call."""
    wav = folder / "said.wav"
    signals.write_wav(wav, signals.make_tone(CALLER_HZ, seconds, 8000), 8000)
    process = Process(
        sys.executable, "-m", "emulator", "call", number,
        "--target", f"127.0.0.1:{recording.sip_port}", "--api", recording.url,
        "--wav", str(wav), "--seconds", str(seconds),
        cwd=folder,
    )  # fmt: skip
    try:
        yield process
        # It hangs up by itself: no other call is there when the next test begins.
        process.wait(60)
    finally:
        process.end()


def call(
    recording: Emulator, folder: Path, number: str = "08010000001", seconds: float = 4
) -> dict[str, Any]:
    """Make a call to its end; return it."""
    with calling(recording, folder, number, seconds) as process:
        assert process.wait(60) == 0, process.output
    return recording.finished_call()


def event(recording: Emulator, sid: str, kind: str) -> dict[str, Any]:
    (data,) = [e["data"] for e in recording.timeline(sid) if e["kind"] == kind]
    return dict(data)


def samples(answer: httpx.Response, folder: Path) -> list[array[int]]:
    """The channels of a WAV that was fetched."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "audio/wav"
    path = folder / "fetched.wav"
    path.write_bytes(answer.content)
    with wave.open(str(path), "rb") as file:
        assert file.getframerate() == 8000
        n = file.getnchannels()
        both = array("h", file.readframes(file.getnframes()))
    return [both[channel::n] for channel in range(n)]


def pitch_near_end(channel: array[int]) -> float:
    """Return the tone of most of the last seconds; a busy machine tears holes."""
    starts = range(max(0, len(channel) - 22_000), len(channel) - 2000, 4000)
    return median(audio_tools.pitch(channel[at : at + 4000]) for at in starts)


@pytest.mark.parametrize("number", FORMATS)
def test_a_recorded_stream_is_fetched_by_its_url(
    recording: Emulator, tmp_path: Path, number: str
) -> None:
    format_name, channels, media_type = FORMATS[number]
    finished = call(recording, tmp_path, number)
    started = event(recording, finished["sid"], "recording.started")
    assert started["format"] == format_name
    assert started["channels"] == channels
    stream = event(recording, finished["sid"], "stream.connecting")
    extension = format_name.removesuffix("_hq")
    stream_sid = stream["stream_sid"]
    assert started["url"] == (
        f"{recording.url}/exotelrecordings/exotel1/{stream_sid}.{extension}"
    )
    ended = event(recording, finished["sid"], "recording.ended")
    assert ended["error"] is None
    answer = fetch(started["url"])
    assert answer.status_code == 200
    assert answer.headers["content-type"] == media_type
    assert len(answer.content) == ended["size_bytes"]
    n_channels = 2 if channels == "dual" else 1
    path = tmp_path / f"fetched.{extension}"
    path.write_bytes(answer.content)
    heard = audio_tools.decode(path, n_channels)
    seconds = len(heard[0]) / 8000
    assert seconds == pytest.approx(ended["duration_ms"] / 1000, abs=0.25)
    assert 3 < seconds < finished["duration_s"] + 0.5
    if channels == "dual":
        assert pitch_near_end(heard[0]) == pytest.approx(CALLER_HZ, rel=0.01)
        assert pitch_near_end(heard[1]) == pytest.approx(440, rel=0.01)


def test_what_caller_and_bot_said_is_kept_for_the_api(
    recording: Emulator, tmp_path: Path
) -> None:
    finished = call(recording, tmp_path)
    audio = f"/calls/{finished['sid']}/audio"
    assert finished["audio"] == f"/emulator/v1{audio}/mix.wav"
    (caller,) = samples(recording.api.get(f"{audio}/caller.wav"), tmp_path)
    (bot,) = samples(recording.api.get(f"{audio}/bot.wav"), tmp_path)
    (mix,) = samples(recording.api.get(f"{audio}/mix.wav"), tmp_path)
    dual = samples(
        recording.api.get(f"{audio}/mix.wav", params={"channels": "dual"}), tmp_path
    )
    assert dual == [caller, bot]
    assert pitch_near_end(caller) == pytest.approx(CALLER_HZ, rel=0.01)
    assert pitch_near_end(bot) == pytest.approx(440, rel=0.01)
    assert max(mix) > max(max(caller), max(bot))
    assert len(caller) / 8000 == pytest.approx(finished["duration_s"], abs=0.5)


def test_a_call_that_is_up_can_be_listened_to(
    recording: Emulator, tmp_path: Path
) -> None:
    with calling(recording, tmp_path, seconds=20) as process:
        call_sid = eventually(
            lambda: [
                c["sid"] for c in recording.calls() if c["status"] == "in-progress"
            ],
            "a call that is up",
        )[0]
        heard: list[int] = []
        for _ in range(2):
            more = eventually(
                lambda: _longer_than(recording, call_sid, heard, tmp_path), "more audio"
            )
            heard.append(more)
        url = event(recording, call_sid, "recording.started")["url"]
        answer = eventually(lambda: _found(url), "the recording's beginning")
        path = tmp_path / "sofar.mp3"
        path.write_bytes(answer.content)
        assert audio_tools.ffprobe(path).duration_s > 0.5
        assert recording.calls()[0]["status"] == "in-progress"
        process.send_signal(signal.SIGINT)


def _longer_than(
    recording: Emulator, sid: str, heard: list[int], folder: Path
) -> int | None:
    answer = recording.api.get(f"/calls/{sid}/audio/caller.wav")
    if answer.status_code == 404:
        assert answer.json()["error"]["code"] == "no-audio"
        return None
    (channel,) = samples(answer, folder)
    return len(channel) if len(channel) > max(heard, default=0) else None


def _found(url: str) -> httpx.Response | None:
    answer = fetch(url)
    return answer if answer.status_code == 200 and len(answer.content) > 500 else None


def test_parts_of_a_recording_can_be_asked_for(
    recording: Emulator, tmp_path: Path
) -> None:
    finished = call(recording, tmp_path, seconds=3)
    url = event(recording, finished["sid"], "recording.started")["url"]
    audio = f"{recording.url}/emulator/v1/calls/{finished['sid']}/audio/bot.wav"
    for address in (url, audio):
        whole = fetch(address)
        assert whole.headers["accept-ranges"] == "bytes"
        size = len(whole.content)
        for asked, start, end in (
            ("bytes=0-9", 0, 10), ("bytes=7-", 7, size), ("bytes=-5", size - 5, size),
            ("bytes=43-46", 43, 47), ("bytes=101-200", 101, 201),
            (f"bytes=10-{size + 99}", 10, size), ("Bytes = 3 - 4", 3, 5),
        ):  # fmt: skip
            part = fetch(address, headers={"Range": asked})
            assert part.status_code == 206, asked
            assert part.content == whole.content[start:end]
            expected = f"bytes {start}-{end - 1}/{size}"
            assert part.headers["content-range"] == expected
        for asked in ("bytes=9-3", "lines=1-2", "bytes=0-1,4-5", "bytes=-", "x"):
            assert fetch(address, headers={"Range": asked}).status_code == 200
        behind = fetch(address, headers={"Range": f"bytes={size}-"})
        assert behind.status_code == 416
        assert behind.headers["content-range"] == f"bytes */{size}"
        head = httpx.head(address, timeout=20.0)
        assert int(head.headers["content-length"]) == size
        assert head.content == b""


def test_what_is_not_there_is_404_with_a_reason(
    recording: Emulator, tmp_path: Path
) -> None:
    finished = call(recording, tmp_path, seconds=2)
    url = event(recording, finished["sid"], "recording.started")["url"]
    name = url.rpartition("/")[2]
    base = f"{recording.url}/exotelrecordings"
    (tmp_path / "secret.mp3").write_bytes(b"x")
    for path in (
        f"other1/{name}", "exotel1/0000.mp3", f"exotel1/{name}.bak",
        "exotel1/..%2F..%2Fsip-key.pem", "exotel1/%2e%2e", "exotel1/..%5Cx.mp3",
        f"..%2Fexotel1/{name}", "exotel1/a%00.mp3", "exotel1/", "exotel1",
    ):  # fmt: skip
        assert fetch(f"{base}/{path}").status_code == 404, path
    calls = f"{recording.url}/emulator/v1/calls"
    for path, code in (
        (f"{finished['sid']}/audio/agent.wav", "unknown-audio"),
        ("0000/audio/mix.wav", "unknown-call"),
    ):
        answer = fetch(f"{calls}/{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, code)


def test_a_fetch_without_credentials_is_noted_once(
    recording: Emulator, tmp_path: Path
) -> None:
    finished = call(recording, tmp_path, seconds=2)
    url = event(recording, finished["sid"], "recording.started")["url"]

    def notes() -> int:
        return sum(
            "without credentials" in str(e["data"].get("text"))
            for e in recording.timeline(finished["sid"])
        )

    assert fetch(url, auth=("emulator", "emulator")).status_code == 200
    assert fetch(url, auth=("exotel1", "emulator")).status_code == 200
    assert notes() == 0
    assert fetch(url).status_code == 200
    assert fetch(url, auth=("emulator", "wrong")).status_code == 200
    assert notes() == 1


def test_only_so_many_calls_are_captured_at_once(
    recording: Emulator, tmp_path: Path
) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    for folder in (first, second):
        folder.mkdir()
    with calling(recording, first, seconds=20) as process:
        eventually(
            lambda: any(c["status"] == "in-progress" for c in recording.calls()),
            "a call",
        )
        finished = call(recording, second, seconds=1)
        process.send_signal(signal.SIGINT)
    assert finished["audio"] is None
    answer = recording.api.get(f"/calls/{finished['sid']}/audio/mix.wav")
    assert answer.status_code == 404
    assert "media.capture_calls" in answer.json()["error"]["message"]


def test_audio_goes_with_the_memory_of_its_call(
    recording: Emulator, tmp_path: Path
) -> None:
    old = call(recording, tmp_path, seconds=1)
    url = event(recording, old["sid"], "recording.started")["url"]
    for _ in range(2):
        call(recording, tmp_path, seconds=1)
    answer = recording.api.get(f"/calls/{old['sid']}/audio/mix.wav")
    assert answer.json()["error"]["code"] == "unknown-call"
    # A recording stays: it is a file of the account's.
    assert fetch(url).status_code == 200


@pytest.mark.parametrize("number", ["08010000001", "08010000003"])
def test_a_killed_worker_leaves_what_was_said_until_two_seconds_before(
    tmp_path: Path, number: str
) -> None:
    with recording_emulator(tmp_path) as running:
        (worker,) = running.worker_pids()
        with calling(running, tmp_path, number, seconds=20):
            eventually(
                lambda: any(
                    e["kind"] == "stream.media_from_bot"
                    for c in running.calls()
                    for e in running.timeline(c["sid"])
                ),
                "a talk",
            )
            sid = running.calls()[0]["sid"]
            began_s = event(running, sid, "recording.started")
            eventually(
                lambda: len(
                    running.api.get(f"/calls/{sid}/audio/bot.wav").content
                ) > 4 * 16000,
                "four seconds",
            )  # fmt: skip
            os.kill(worker, signal.SIGKILL)
            finished = running.finished_call()
        assert finished["cause"] == "worker-lost"
        lasted_s = finished["duration_s"]
        (bot,) = samples(running.api.get(f"/calls/{sid}/audio/bot.wav"), tmp_path)
        assert lasted_s - 2 <= len(bot) / 8000 <= lasted_s + 0.5
        assert pitch_near_end(bot) == pytest.approx(440, rel=0.01)
        n_channels = 2 if number == "08010000003" else 1
        path = tmp_path / ("r" + Path(began_s["url"]).suffix)
        path.write_bytes(fetch(began_s["url"]).content)
        heard = audio_tools.decode(path, n_channels)
        assert lasted_s - 2.2 <= len(heard[0]) / 8000 <= lasted_s + 0.5
        ended = event(running, sid, "recording.ended")
        assert "killed by signal 9" in ended["error"]


def test_credentials_can_be_required_and_files_can_be_late(tmp_path: Path) -> None:
    more = "recordings: {auth: basic, available_after_s: 600}\n"
    with recording_emulator(tmp_path, more) as running:
        finished = call(running, tmp_path, seconds=1)
        url = event(running, finished["sid"], "recording.started")["url"]
        refused = fetch(url)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Basic ")
        late = fetch(url, auth=("emulator", "emulator"))
        assert late.status_code == 404
        assert "recordings.available_after_s" in late.json()["error"]["message"]


def test_an_ephemeral_emulator_leaves_nothing(tmp_path: Path) -> None:
    done = Process(
        sys.executable, "-m", "emulator", "serve", "--ephemeral",
        "--sip-port", "0", "--http-port", "0",
        "--flows", str(Path(__file__).resolve().parents[2] / "flows"),
        cwd=tmp_path, env={"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    try:
        done.wait_for("ready after")
        assert list(tmp_path.glob("exotel-emulator-*/sip-key.pem"))
        done.send_signal(signal.SIGTERM)
        assert done.wait() == 0
    finally:
        done.end()
    assert list(tmp_path.iterdir()) == []
