"""What a leg knows of its peer's coming and going."""

from __future__ import annotations

from emulator.worker.presence import Presence


def test_absence_is_told_once_each_time() -> None:
    presence = Presence(0.0)
    told = [
        presence.is_newly_absent(silent_s, 30.0) for silent_s in (29, 30, 31, 1, 30)
    ]
    assert told == [False, True, False, False, True]


def test_the_first_audio_counts_from_the_start() -> None:
    presence = Presence(0.0)
    assert presence.first_audio_ms is None
    presence.start(5.0)
    assert presence.is_first_audio(5.25)
    assert not presence.is_first_audio(6.0)
    assert presence.first_audio_ms == 250


def test_audio_before_the_start_is_at_0_ms() -> None:
    presence = Presence(0.0)
    presence.is_first_audio(1.0)
    presence.start(2.0)
    assert presence.first_audio_ms == 0
