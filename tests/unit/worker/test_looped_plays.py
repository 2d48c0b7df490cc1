"""Prompts that repeat: ringback and music on hold, until they are stopped."""

from pathlib import Path

import pytest

from emulator.media.g711 import PCMU
from emulator.media.tones import tone
from emulator.worker.messages import Play, PlayEnded, RemoveLeg, StopPlay, UpdateLeg
from tests.support.media_rig import Rig, media
from tests.unit.worker.test_engine import write_wav


def test_a_looped_prompt_repeats_without_a_gap_until_it_is_stopped(
    tmp_path: Path,
) -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        sound = tone((440,), 150)
        path = write_wav(tmp_path / "music.wav", sound)
        rig.engine.handle(Play("L1", "music", path=path, loop=True))
        rig.run(2000)
        assert rig.of(PlayEnded) == []
        rig.engine.handle(StopPlay("L1", "music"))
        rig.run(100)
        assert rig.of(PlayEnded) == [PlayEnded("L1", "music", "stopped", 1995)]
        heard = b"".join(packet.payload for packet in peer.receive())
        expected = (PCMU.encode(sound) * 14)[: 100 * 160]
        assert heard == expected + PCMU.quiet(5 * 160)
        (started,) = rig.happened("prompt.started")
        assert started["loop"] is True


@pytest.mark.parametrize("duration_ms", [1, 7, 20, 59])
def test_a_very_short_loop_fills_the_longest_packets(
    tmp_path: Path, duration_ms: int
) -> None:
    with Rig() as rig:
        peer = rig.talking_leg(ptime_ms=60)
        path = write_wav(tmp_path / "blip.wav", tone((1000,), duration_ms))
        rig.engine.handle(Play("L1", "blip", path=path, loop=True))
        rig.run(600)
        heard = b"".join(packet.payload for packet in peer.receive())
        sound = PCMU.encode(tone((1000,), duration_ms))
        assert len(heard) >= 8 * 480
        assert heard in sound * (1 + len(heard) // len(sound))


def test_an_empty_loop_ends_by_itself() -> None:
    with Rig() as rig:
        rig.talking_leg()
        rig.engine.handle(Play("L1", "p", silence_ms=0, loop=True))
        rig.run(40)
        assert rig.of(PlayEnded) == [PlayEnded("L1", "p", "played", 0)]


def test_what_is_queued_behind_a_loop_follows_its_end() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot()
        rig.engine.handle(Play("L1", "ring", tone="ringback", loop=True))
        bot.sink.bot_audio(PCMU.decode(b"A" * 160))
        rig.run(4000)
        assert "A" not in rig.heard(peer)
        rig.engine.handle(StopPlay("L1", "ring"))
        rig.run(60)
        assert rig.heard(peer) == "A.."


def test_a_loop_survives_a_change_of_codec() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        rig.engine.handle(Play("L1", "busy", tone="busy", loop=True))
        rig.run(100)
        rig.engine.handle(UpdateLeg("L1", media(codec="PCMA", payload_type=8)))
        rig.run(3000)
        heard = [p.payload for p in peer.receive() if p.payload_type == 8]
        assert b"\xd5" * 160 in heard
        assert b"\xff" * 160 not in heard


def test_the_end_of_the_leg_ends_its_loops() -> None:
    with Rig() as rig:
        rig.talking_leg()
        rig.engine.handle(Play("L1", "moh", tone="music-on-hold", loop=True))
        rig.run(200)
        rig.engine.handle(RemoveLeg("L1"))
        (ended,) = rig.of(PlayEnded)
        assert ended.outcome == "leg_removed"
