"""Recordings of a leg: both sides in step, what a slow or full disk does, the end."""

from __future__ import annotations

import asyncio
import os
import tracemalloc
import wave
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.media.g711 import PCMA, PCMU
from emulator.rtp.telephone_event import send_digits
from emulator.worker.background import ThreadBackground
from emulator.worker.messages import (
    Happened,
    LegRemoved,
    RecordingEnded,
    RemoveLeg,
    StartLeg,
    StartRecording,
    StopRecording,
    UpdateLeg,
)
from tests.support.media_rig import Peer, Rig, media

PEER = b"\x20" * 160
OURS = b"\x30" * 160
PEER_LEVEL, OURS_LEVEL = (
    array("h", PCMU.decode(bytes(frame[:1])))[0] for frame in (PEER, OURS)
)


@pytest.fixture
def rig() -> Iterator[Rig]:
    with Rig() as made:
        yield made


def record(rig: Rig, path: Path, **changes: object) -> None:
    fields: dict[str, object] = {
        "leg_id": "L1",
        "recording_id": "R1",
        "path": str(path),
        "format": "wav",
        "channels": "dual",
    }
    rig.engine.handle(StartRecording(**{**fields, **changes}))  # type: ignore[arg-type]


def ended(rig: Rig) -> RecordingEnded:
    (report,) = rig.of(RecordingEnded)
    return report


def samples(path: Path) -> list[array[int]]:
    """The channels of a WAV file."""
    with wave.open(str(path), "rb") as file:
        both = array("h", file.readframes(file.getnframes()))
        n = file.getnchannels()
    return [both[channel::n] for channel in range(n)]


def frames(channel: array[int]) -> list[int]:
    """The first sample of every 20 ms."""
    return [channel[start] for start in range(0, len(channel), 160)]


def is_quiet(level: int) -> bool:
    return abs(level) <= 8


def say(rig: Rig, n_frames: int) -> None:
    rig.bots[-1].sink.bot_audio(PCMU.decode(OURS * n_frames))


def test_dual_has_the_peer_left_and_what_it_heard_right(
    rig: Rig, tmp_path: Path
) -> None:
    peer = rig.talking_leg()
    rig.open_bot()
    record(rig, tmp_path / "r.wav")
    say(rig, 10)
    rig.run_talking(peer, [PEER] * 50)
    rig.engine.handle(StopRecording("L1", "R1"))
    left, right = samples(tmp_path / "r.wav")
    assert set(frames(left)) == {PEER_LEVEL}
    assert frames(right)[:10] == [OURS_LEVEL] * 10
    assert all(map(is_quiet, frames(right)[10:]))
    assert len(left) == len(right) == 50 * 160
    size = (tmp_path / "r.wav").stat().st_size
    assert ended(rig) == RecordingEnded("L1", "R1", str(tmp_path / "r.wav"), 1000, size)


def test_single_is_the_sum_of_both(rig: Rig, tmp_path: Path) -> None:
    peer = rig.talking_leg()
    rig.open_bot()
    record(rig, tmp_path / "r.wav", channels="single")
    say(rig, 10)
    rig.run_talking(peer, [PEER] * 10)
    rig.engine.handle(StopRecording("L1", "R1"))
    (mix,) = samples(tmp_path / "r.wav")
    assert set(frames(mix)) == {PEER_LEVEL + OURS_LEVEL}


@pytest.mark.parametrize("channels", ["single", "dual"])
def test_caller_alone_has_nothing_of_us(
    rig: Rig, tmp_path: Path, channels: str
) -> None:
    peer = rig.talking_leg()
    rig.open_bot()
    record(rig, tmp_path / "r.wav", channels=channels, parties="caller")
    say(rig, 10)
    rig.run_talking(peer, [PEER] * 10)
    rig.engine.handle(StopRecording("L1", "R1"))
    left, *right = samples(tmp_path / "r.wav")
    assert set(frames(left)) == {PEER_LEVEL}
    assert not any(any(channel) for channel in right)


def test_a_change_of_codec_is_not_heard(rig: Rig, tmp_path: Path) -> None:
    peer = rig.talking_leg()
    record(rig, tmp_path / "r.wav")
    rig.run_talking(peer, [PEER] * 10)
    other = media(codec="PCMA", payload_type=8, remote_port=peer.port)
    rig.engine.handle(UpdateLeg("L1", other))
    same = PCMA.encode(PCMU.decode(PEER))
    for _ in range(10):
        peer.send(same, payload_type=8)
        rig.run(20)
    rig.engine.handle(StopRecording("L1", "R1"))
    left, _ = samples(tmp_path / "r.wav")
    assert len(left) == 20 * 160
    assert all(abs(level - PEER_LEVEL) < 300 for level in frames(left))


def test_the_file_can_be_played_while_the_call_lasts(rig: Rig, tmp_path: Path) -> None:
    peer = rig.talking_leg()
    record(rig, tmp_path / "r.wav")
    rig.run_talking(peer, [PEER] * 150)
    left, _ = samples(tmp_path / "r.wav")
    assert 2 * 8000 <= len(left) <= 3 * 8000
    assert rig.of(RecordingEnded) == []


def test_a_removed_leg_ends_its_recording_first(rig: Rig, tmp_path: Path) -> None:
    peer = rig.talking_leg()
    record(rig, tmp_path / "r.wav")
    rig.run_talking(peer, [PEER] * 10)
    rig.engine.handle(RemoveLeg("L1"))
    kinds = [type(report) for report in rig.reports]
    assert kinds.index(RecordingEnded) < kinds.index(LegRemoved)
    assert ended(rig).duration_ms == 200
    assert rig.engine.is_idle


def test_an_unwritable_place_is_an_error_and_the_leg_lives(
    rig: Rig, tmp_path: Path
) -> None:
    peer = rig.talking_leg()
    record(rig, tmp_path / "missing" / "r.wav")
    rig.run_talking(peer, [PEER] * 100)
    assert "No such file or directory" in (ended(rig).error or "")
    peer.receive()
    rig.run_talking(peer, [PEER] * 5)
    assert len(peer.receive()) == 5


def test_a_full_disk_is_an_error_and_the_leg_lives(rig: Rig) -> None:
    peer = rig.talking_leg()
    record(rig, Path("/dev/full"))
    rig.run_talking(peer, [PEER] * 100)
    assert "No space left" in (ended(rig).error or "")
    assert rig.engine.leg("L1") is not None


def test_an_unknown_format_is_an_error(rig: Rig, tmp_path: Path) -> None:
    rig.talking_leg()
    record(rig, tmp_path / "r.ogg", format="ogg")
    rig.engine.handle(StopRecording("L1", "R1"))
    assert "no recording 'ogg'" in (ended(rig).error or "")


def test_the_same_recording_twice_or_of_no_leg_is_refused(
    rig: Rig, tmp_path: Path
) -> None:
    rig.talking_leg()
    record(rig, tmp_path / "r.wav", leg_id="L9")
    assert ended(rig).error == "no leg L9"
    record(rig, tmp_path / "r.wav")
    record(rig, tmp_path / "r.wav")
    assert rig.of(RecordingEnded)[1].error == "recording R1 is running already"


def test_it_ends_by_itself_at_its_limit(rig: Rig, tmp_path: Path) -> None:
    peer = rig.talking_leg()
    record(rig, tmp_path / "r.wav", max_s=1.7)
    rig.run_talking(peer, [PEER] * 200)
    assert ended(rig).duration_ms == 1700


# -- a disk that is slow


def test_a_slow_disk_loses_audio_and_nothing_else(rig: Rig, tmp_path: Path) -> None:
    peer = rig.talking_leg()
    record(rig, tmp_path / "r.wav")
    rig.run_talking(peer, [PEER] * 50)
    rig.background.is_holding = True
    rig.run_talking(peer, [PEER] * 50 * 20)
    (note,) = rig.of(Happened)[-1:]
    assert "the disk does not keep up" in str(note.data["text"])
    rig.background.is_holding = False
    rig.background.release()
    rig.run_talking(peer, [PEER] * 50)
    rig.engine.handle(StopRecording("L1", "R1"))
    report = ended(rig)
    assert report.error is None
    assert report.duration_ms == 22_000
    assert 8000 <= report.dropped_ms <= 11_000
    left, _ = samples(tmp_path / "r.wav")
    silent_ms = 20 * sum(map(is_quiet, frames(left)))
    assert silent_ms == report.dropped_ms
    assert len(left) == 22 * 8000


def test_a_disk_that_hangs_does_not_keep_the_leg(rig: Rig, tmp_path: Path) -> None:
    peer = rig.talking_leg()
    record(rig, tmp_path / "r.wav")
    rig.background.is_holding = True
    rig.run_talking(peer, [PEER] * 100)
    rig.engine.handle(RemoveLeg("L1"))
    assert rig.of(LegRemoved) == []
    rig.run(2000)
    assert "the disk did not take" in (ended(rig).error or "")
    assert len(rig.of(LegRemoved)) == 1
    rig.background.release()
    assert len(rig.of(RecordingEnded)) == 1


def test_a_leg_that_goes_does_not_wait_for_a_recording_that_was_stopped(
    rig: Rig, tmp_path: Path
) -> None:
    peer = rig.talking_leg()
    record(rig, tmp_path / "r.wav")
    rig.background.is_holding = True
    rig.run_talking(peer, [PEER] * 100)
    rig.engine.handle(StopRecording("L1", "R1"))
    rig.run_talking(peer, [PEER] * 100)
    assert rig.of(RecordingEnded) == []
    rig.engine.handle(RemoveLeg("L1"))
    rig.run(2000)
    assert len(rig.of(LegRemoved)) == 1


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads /proc of Linux")
def test_a_file_that_was_given_up_is_closed_and_its_name_is_free(
    rig: Rig, tmp_path: Path
) -> None:
    before = set(os.listdir("/proc/self/fd"))
    peer = rig.talking_leg()
    sockets = set(os.listdir("/proc/self/fd")) - before
    record(rig, tmp_path / "r.wav")
    rig.run_talking(peer, [PEER] * 60)
    rig.background.is_holding = True
    rig.run_talking(peer, [PEER] * 60)
    rig.engine.handle(StopRecording("L1", "R1"))
    rig.run(40_000)
    assert "the disk did not take" in (ended(rig).error or "")
    record(rig, tmp_path / "r.wav")
    rig.background.is_holding = False
    rig.background.release()
    rig.run_talking(peer, [PEER] * 60)
    rig.engine.handle(StopRecording("L1", "R1"))
    assert rig.of(RecordingEnded)[1].error is None
    assert set(os.listdir("/proc/self/fd")) - before == sockets


def test_a_writer_that_hangs_for_real_costs_audio_and_nothing_else(
    rig: Rig, tmp_path: Path
) -> None:
    """Opening a FIFO blocks the writing thread until somebody reads it."""
    fifo = tmp_path / "r.raw"
    os.mkfifo(fifo)
    assert asyncio.run(_record_into(rig, fifo)) == 20 * 8000 * 4
    report = ended(rig)
    assert report.error is None
    assert report.duration_ms == 20_000
    assert 9000 <= report.dropped_ms <= 11_000


async def _record_into(rig: Rig, fifo: Path) -> int:
    """Talk for 20 s while nobody reads; return how many bytes come out then."""
    rig.background.threads = ThreadBackground()
    peer = rig.talking_leg()
    record(rig, fifo, format="raw")
    for _ in range(20):
        rig.run_talking(peer, [PEER] * 50)
        await asyncio.sleep(0)
    assert "does not keep up" in str(rig.happened("note")[-1]["text"])
    rig.engine.handle(StopRecording("L1", "R1"))
    data = await asyncio.to_thread(fifo.read_bytes)
    for _ in range(500):
        if rig.of(RecordingEnded):
            break
        await asyncio.sleep(0.02)
    return len(data)


# -- both sides in step


def test_the_first_sample_is_the_answer(rig: Rig, tmp_path: Path) -> None:
    """Also when the phone is silent at first and nothing is sent to it."""
    peer = rig.add_leg(media=media())
    rig.engine.handle(StartLeg("L1"))
    record(rig, tmp_path / "r.wav")
    rig.run(200)
    rig.run_talking(peer, [PEER] * 10)
    rig.engine.handle(StopRecording("L1", "R1"))
    left, right = samples(tmp_path / "r.wav")
    assert len(left) == len(right) == 20 * 160
    levels = frames(left)
    assert levels.index(PEER_LEVEL) in range(7, 11)
    assert levels.count(PEER_LEVEL) == 10


def test_a_peer_that_pauses_stays_in_its_place(rig: Rig, tmp_path: Path) -> None:
    """Discontinuous transmission: no packets, and no gap in the numbers."""
    peer = rig.talking_leg()
    record(rig, tmp_path / "r.wav")
    for _ in range(20):
        rig.run_talking(peer, [PEER] * 5)
        rig.run(80)
    rig.run_talking(peer, [PEER] * 5)
    rig.engine.handle(StopRecording("L1", "R1"))
    left, _ = samples(tmp_path / "r.wav")
    levels = frames(left)
    assert levels.count(PEER_LEVEL) == 21 * 5
    # Every word is where it was said, give or take the jitter that is allowed for.
    starts = [n for n in range(1, len(levels)) if levels[n] < levels[n - 1]]
    assert all(9 * (n + 1) - 4 <= at <= 9 * (n + 1) for n, at in enumerate(starts))
    assert len(starts) == 20


def test_a_burst_after_a_network_stall_keeps_all_and_finds_its_place_again(
    rig: Rig, tmp_path: Path
) -> None:
    peer = rig.talking_leg()
    record(rig, tmp_path / "r.wav")
    rig.run_talking(peer, [PEER] * 20)
    rig.run(400)
    for _ in range(20):
        peer.send(PEER)
    rig.run_talking(peer, [PEER] * 20)
    rig.run_talking(peer, [b"\xff" * 160] * 20)
    rig.run_talking(peer, [PEER] * 5)
    rig.run(20)
    rig.engine.handle(StopRecording("L1", "R1"))
    left, right = samples(tmp_path / "r.wav")
    assert len(left) == len(right)
    assert frames(left).count(PEER_LEVEL) == 65


# -- digits


def press(rig: Rig, peer: Peer, digit: str) -> None:
    """A phone that sends the key as an event and as sound at once."""
    start = peer.number * 160
    for packet in send_digits(digit, 100, 60, 20):
        if packet is None:
            peer.send(PEER)
        else:
            event = b"\x80" + bytes([101 | 0x80 * packet.marker])
            event += (peer.number % 65536).to_bytes(2, "big")
            event += start.to_bytes(4, "big") + (7).to_bytes(4, "big") + packet.payload
            peer.number += 1
            peer.send_bytes(event)
            peer.send(PEER)
        rig.run(20)


@pytest.mark.parametrize(("hides", "n_quiet"), [(True, 5), (False, 0)])
def test_keys_are_silent_where_they_shall_be_hidden(
    rig: Rig, tmp_path: Path, hides: bool, n_quiet: int
) -> None:
    peer = rig.talking_leg()
    record(rig, tmp_path / "r.wav", hide_digits=hides)
    rig.run_talking(peer, [PEER] * 10)
    press(rig, peer, "5")
    rig.run_talking(peer, [PEER] * 10)
    rig.engine.handle(StopRecording("L1", "R1"))
    left, _ = samples(tmp_path / "r.wav")
    assert sum(map(is_quiet, frames(left))) in range(n_quiet - 1, n_quiet + 2)


# -- ten minutes


@pytest.mark.parametrize("format_name", ["wav", "mp3"])
def test_a_long_recording_takes_no_memory(
    rig: Rig, tmp_path: Path, format_name: str
) -> None:
    peer = rig.talking_leg()
    record(rig, tmp_path / "r", format=format_name)
    rig.run_talking(peer, [PEER] * 200)
    tracemalloc.start()
    try:
        for _ in range(596):
            leg = rig.engine.leg("L1")
            assert leg is not None
            for hear, say in zip(
                leg.audience.heard_by, leg.audience.said_by, strict=True
            ):
                for _ in range(50):
                    hear(PEER)
                    say(OURS)
            rig.clock.now_s += 1.0
            rig.engine._check(rig.clock.now_s)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    rig.engine.handle(StopRecording("L1", "R1"))
    assert ended(rig).duration_ms == 600_000
    assert peak_bytes < 500_000
