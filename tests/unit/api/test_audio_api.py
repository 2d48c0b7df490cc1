"""Audio over HTTP without a listener: parts, parties, credentials, the description."""

from __future__ import annotations

import base64
from array import array
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI

from emulator.api.audio_files import PARTIES, PartyOfCapture, WholeFile
from emulator.api.recordings import (
    RecordingAccess,
    access_of,
    add_audio,
    is_one_of,
    recordings_router,
)
from emulator.calls.captures import Captures
from emulator.calls.recordings import Recordings
from emulator.config import MediaSettings, RecordingSettings, load_settings
from emulator.media.recording import wav_header

CALLER = array("h", range(1000, 1500))
HEARD = array("h", range(-2000, -1500))


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    both = array("h", bytes(2 * 2 * len(CALLER)))
    both[0::2], both[1::2] = CALLER, HEARD
    path = tmp_path / "C1.wav"
    # A capture that grows has more behind its header than that tells.
    path.write_bytes(wav_header(2, 400) + both.tobytes())
    return path


@pytest.mark.parametrize(
    ("party", "expected"),
    [
        ("caller", CALLER),
        ("bot", HEARD),
        ("mix", array("h", map(int.__add__, CALLER, HEARD))),
    ],
)
def test_a_party_of_a_capture_is_a_mono_wav(
    capture: Path, party: str, expected: array[int]
) -> None:
    source = PartyOfCapture(capture, PARTIES[party])
    whole = wav_header(1, 2 * len(expected)) + expected.tobytes()
    assert source.size_bytes == len(whole)
    assert source.read(0, source.size_bytes) == whole


def test_any_part_of_a_party_is_that_part(capture: Path) -> None:
    source = PartyOfCapture(capture, PARTIES["mix"])
    whole = source.read(0, source.size_bytes)
    for start in (0, 1, 30, 43, 44, 45, 46, 47, 99):
        for size in (1, 2, 3, 14, 15, 16, 17, 101):
            assert source.read(start, size) == whole[start : start + size]


def test_a_whole_file_is_read_in_parts(capture: Path) -> None:
    source = WholeFile(capture)
    assert source.read(10, 7) == capture.read_bytes()[10:17]


@pytest.mark.parametrize(
    ("header", "is_known"),
    [
        ("Basic " + base64.b64encode(b"key:token").decode(), True),
        ("basic  " + base64.b64encode(b"key:token").decode() + " ", True),
        ("Basic " + base64.b64encode(b"key:other").decode(), False),
        ("Basic " + base64.b64encode(b"keytoken").decode(), False),
        ("Bearer " + base64.b64encode(b"key:token").decode(), False),
        ("Basic %%%", False),
        ("Basic", False),
        ("Basic é", False),
        ("", False),
        (None, False),
    ],
)
def test_credentials_are_compared_whole(header: str | None, is_known: bool) -> None:
    assert is_one_of(header, [("account", "token"), ("key", "token")]) is is_known


@pytest.mark.parametrize(
    ("auth", "bind", "rule"),
    [
        ("auto", "127.0.0.1", "advised"),
        ("auto", "0.0.0.0", "required"),
        ("basic", "127.0.0.1", "required"),
        ("open", "0.0.0.0", "open"),
    ],
)
def test_beyond_loopback_credentials_are_asked_for(
    auth: str, bind: str, rule: str
) -> None:
    text = f"recordings: {{auth: {auth}}}\nhttp: {{bind: {bind}}}\n"
    loaded = load_settings(file=None, text=text, env={}, options={})
    access = access_of(loaded.settings)
    assert access.rule == rule
    assert access.credentials == (("emulator", "emulator"), ("exotel1", "emulator"))


def test_the_description_of_the_api_names_each_operation_once(tmp_path: Path) -> None:
    app = FastAPI()
    recordings = Recordings(tmp_path, "exotel1", RecordingSettings(), "http://x")
    app.include_router(recordings_router(recordings, RecordingAccess((), "open", 0)))
    router = APIRouter()
    add_audio(router, lambda _: False, Captures(tmp_path, MediaSettings()), [])
    app.include_router(router)
    assert [list(path) for path in app.openapi()["paths"].values()] == [["get"]] * 2
