"""Recordings and captures as calls use them: names, URLs, bounds, and what is told."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from emulator.calls.captures import Captures
from emulator.calls.kept_files import KeptFiles
from emulator.calls.leg import Leg
from emulator.calls.recordings import Recordings
from emulator.config import MediaSettings, RecordingSettings
from emulator.events import JsonValue
from emulator.flow.ports import Recording
from emulator.worker.messages import (
    Command,
    LegRemoved,
    MediaParams,
    RecordingEnded,
    StartRecording,
    StopRecording,
)


class Workers:
    """A pool that only listens."""

    def __init__(self) -> None:
        self.sent: list[Command] = []

    async def add_leg(
        self, leg_id: str, call_sid: str, media: MediaParams | None = None
    ) -> int:
        return 10_000

    def send(self, command: Command) -> None:
        self.sent.append(command)

    def started(self) -> list[StartRecording]:
        return [c for c in self.sent if isinstance(c, StartRecording)]


class Story:
    """A timeline that keeps kinds and data."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, Mapping[str, JsonValue]]] = []

    def record(
        self,
        kind: str,
        data: Mapping[str, JsonValue] | None = None,
        /,
        *,
        at_s: float | None = None,
        **more: JsonValue,
    ) -> None:
        self.entries.append((kind, {**(data or {}), **more}))

    def digit_pressed(self, leg: Leg, digit: str) -> None:
        pass

    def rtp_silent(self, leg: Leg, silent_s: float) -> None:
        pass

    def worker_lost(self, leg: Leg, reason: str) -> None:
        pass

    def of(self, kind: str) -> list[Mapping[str, JsonValue]]:
        return [data for name, data in self.entries if name == kind]


class Scene:
    """A leg that is open, its worker and its timeline."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder = folder
        self.workers = Workers()
        self.story = Story()
        self.leg = Leg("C1", "C1", self.workers, self.story)
        self.recordings = Recordings(
            folder,
            "exotel1",
            RecordingSettings(**settings),
            "http://127.0.0.1:8080",
        )

    async def open(self) -> None:
        await self.leg.open(None)

    def report_end(self, error: str | None = None) -> None:
        command = self.workers.started()[-1]
        self.leg.on_report(
            RecordingEnded("C1", command.recording_id, command.path, 7, 8, error)
        )


def test_a_recording_is_named_by_its_sid_and_format(tmp_path: Path) -> None:
    async def play() -> None:
        scene = Scene(tmp_path)
        await scene.open()
        wanted = Recording(channels="dual", format="mp3_hq", encrypt_dtmf=True)
        recording = scene.recordings.start(scene.leg, "S1", wanted, parties="caller")
        assert recording.url == "http://127.0.0.1:8080/exotelrecordings/exotel1/S1.mp3"
        (command,) = scene.workers.started()
        path = tmp_path / "recordings" / "exotel1" / "S1.mp3"
        assert command == StartRecording(
            "C1", "S1", str(path), "mp3_hq", "dual", "caller", hide_digits=True
        )
        assert path.parent.is_dir()
        recording.stop()
        assert scene.workers.sent[-1] == StopRecording("C1", "S1")
        scene.report_end()
        assert (await recording.ended()).duration_ms == 7
        (started,) = scene.story.of("recording.started")
        assert started["url"] == recording.url
        (ended,) = scene.story.of("recording.ended")
        assert (ended["size_bytes"], ended["error"]) == (8, None)

    asyncio.run(play())


@pytest.mark.parametrize(
    "base_url", ["https://recordings.example/exotelrecordings", "https://x/r/"]
)
def test_the_url_can_begin_elsewhere(tmp_path: Path, base_url: str) -> None:
    async def play() -> None:
        scene = Scene(tmp_path, base_url=base_url)
        await scene.open()
        recording = scene.recordings.start(scene.leg, "S1", Recording(format="raw"))
        assert recording.url == base_url.rstrip("/") + "/exotel1/S1.raw"

    asyncio.run(play())


def test_a_recording_of_a_dead_worker_ends(tmp_path: Path) -> None:
    async def play() -> None:
        scene = Scene(tmp_path)
        await scene.open()
        recording = scene.recordings.start(scene.leg, "S1", Recording())
        scene.leg.lose("killed")
        assert (await recording.ended()).error == "killed"
        scene.report_end()
        assert len(scene.story.of("recording.ended")) == 1

    asyncio.run(play())


def test_a_leg_that_is_gone_is_not_recorded(tmp_path: Path) -> None:
    async def play() -> None:
        scene = Scene(tmp_path)
        await scene.open()
        scene.leg.on_report(LegRemoved("C1", {}))
        recording = scene.recordings.start(scene.leg, "S1", Recording())
        assert (await recording.ended()).error == "the leg is not open"
        recording.stop()

    asyncio.run(play())


def test_a_place_that_cannot_be_is_an_error_and_no_exception(tmp_path: Path) -> None:
    async def play() -> None:
        (tmp_path / "recordings").write_text("a file is in the way")
        scene = Scene(tmp_path)
        await scene.open()
        recording = scene.recordings.start(scene.leg, "S1", Recording())
        assert "exotel1: Not a directory" in ((await recording.ended()).error or "")
        assert scene.workers.started() == []

    asyncio.run(play())


def test_only_files_of_the_account_are_found(tmp_path: Path) -> None:
    async def play() -> None:
        scene = Scene(tmp_path)
        await scene.open()
        scene.recordings.start(scene.leg, "S1", Recording())
        folder = tmp_path / "recordings" / "exotel1"
        (folder / "S1.mp3").write_bytes(b"x")
        (folder / "S1.txt").write_bytes(b"x")
        (folder / "dir.mp3").mkdir()
        assert scene.recordings.find("exotel1", "S1.mp3") == folder / "S1.mp3"
        for account, name in (
            ("other", "S1.mp3"), ("exotel1", "S2.mp3"), ("exotel1", "S1.txt"),
            ("exotel1", "dir.mp3"), ("exotel1", "../exotel1/S1.mp3"),
            ("exotel1", "S1.mp3\n"), ("exotel1", "é.mp3"), ("exotel1", ""),
        ):  # fmt: skip
            assert scene.recordings.find(account, name) is None, name

    asyncio.run(play())


def test_the_oldest_files_go_when_the_folder_is_full(tmp_path: Path) -> None:
    for number in range(5):
        path = tmp_path / f"{number}.mp3"
        path.write_bytes(bytes(100))
        os.utime(path, (number, number))
    KeptFiles(tmp_path, 250).sweep()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3.mp3", "4.mp3"]
    KeptFiles(tmp_path / "missing", 1).sweep()


# -- captures


def captures(folder: Path, **settings: object) -> Captures:
    return Captures(folder, MediaSettings(**settings))


def test_so_many_calls_are_captured_at_once(tmp_path: Path) -> None:
    async def play() -> None:
        scene = Scene(tmp_path)
        await scene.open()
        kept = captures(tmp_path, capture_calls=1, capture_max_s=5)
        kept.begin(scene.leg, "C1")
        (command,) = scene.workers.started()
        assert (command.format, command.channels, command.max_s) == ("wav", "dual", 5)
        assert "first second" in kept.find("C1").reason
        kept.begin(scene.leg, "C2")
        assert len(scene.workers.started()) == 1
        assert "media.capture_calls" in kept.find("C2").reason
        scene.report_end()
        kept.forget("C1")
        kept.begin(scene.leg, "C3")
        assert len(scene.workers.started()) == 2

    asyncio.run(play())


def test_a_capture_is_found_and_goes_with_its_call(tmp_path: Path) -> None:
    async def play() -> None:
        scene = Scene(tmp_path)
        await scene.open()
        kept = captures(tmp_path)
        kept.begin(scene.leg, "C1")
        file = tmp_path / "captures" / str(os.getpid()) / "C1.wav"
        file.touch()
        assert kept.find("C1").path is None
        file.write_bytes(b"RIFF")
        assert kept.find("C1").path == file
        kept.forget("C1")
        assert not file.exists()

    asyncio.run(play())


def test_captures_can_be_off(tmp_path: Path) -> None:
    async def play() -> None:
        scene = Scene(tmp_path)
        await scene.open()
        kept = captures(tmp_path, capture_calls=0)
        kept.begin(scene.leg, "C1")
        assert scene.workers.started() == []
        assert "media.capture_calls is 0" in kept.find("C1").reason
        assert not (tmp_path / "captures").exists()

    asyncio.run(play())


def test_a_capture_that_failed_says_why(tmp_path: Path) -> None:
    async def play() -> None:
        scene = Scene(tmp_path)
        await scene.open()
        kept = captures(tmp_path)
        kept.begin(scene.leg, "C1")
        scene.report_end("No space left on device")
        assert "No space left" in kept.find("C1").reason
        assert "not answered" in kept.find("C2").reason

    asyncio.run(play())


def test_what_dead_emulators_left_behind_goes(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    home = tmp_path / "captures"
    for name in (str(ended.pid), str(os.getpid()), str(os.getppid()), "notes"):
        (home / name).mkdir(parents=True)
        (home / name / "C1.wav").write_bytes(b"x")
    kept = captures(tmp_path)
    kept.clean()
    names = sorted(path.name for path in home.iterdir())
    assert names == sorted([str(os.getppid()), "notes"])
    kept.close()
