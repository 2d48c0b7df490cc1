"""A live voice between two paces: whole, in order, and never late for good."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.media.g711 import PCMA, PCMU, mix, transcode
from emulator.media.inlet import LIMIT_MS, Inlet, VoiceCounters
from emulator.media.tones import tone

MS = 8
LOUD = PCMU.encode(tone((440,), 10_000))


def frames(n: int, ms: int = 20) -> list[bytes]:
    size = ms * MS
    return [LOUD[size * k : size * (k + 1)] for k in range(n)]


def inlet() -> tuple[Inlet, VoiceCounters]:
    counters = VoiceCounters()
    return Inlet(PCMU, PCMU, counters), counters


@pytest.mark.parametrize("listener_ms", [10, 20, 30, 40, 60])
@pytest.mark.parametrize("speaker_ms", [10, 20, 30, 40, 60])
def test_packets_of_any_length_become_slots_of_any_other(
    speaker_ms: int, listener_ms: int
) -> None:
    voice, counters = inlet()
    spoken = frames(120_0 // speaker_ms * 5, speaker_ms)
    heard: list[bytes] = []
    for now_ms in range(6000):
        if now_ms % speaker_ms == 3:
            voice.push(spoken[now_ms // speaker_ms])
        if now_ms % listener_ms == 9:
            heard.append(voice.take(listener_ms * MS) or b"")
    sound = b"".join(heard)
    assert counters.underruns == 0
    # What was taken away at most is what packets longer than 20 ms held back.
    assert counters.dropped_bytes <= listener_ms * MS
    assert len(sound) >= (6000 - 2 * listener_ms - speaker_ms) * MS - 480
    assert sound[: 200 * MS] in LOUD
    assert sound[-200 * MS :] in LOUD
    assert voice.queued_ms <= 20 + speaker_ms + listener_ms


def test_one_slot_is_held_back_before_the_first_is_heard() -> None:
    voice, _ = inlet()
    assert voice.take(160) is None
    voice.push(LOUD[:160])
    assert voice.take(160) is None
    voice.push(LOUD[160:320])
    assert voice.take(160) == LOUD[:160]
    assert voice.queued_ms == 20


def test_jitter_of_less_than_a_packet_is_never_heard() -> None:
    voice, counters = inlet()
    spoken = frames(300)
    heard = b""
    for n in range(100):
        # Every fourth comes just too late for its slot, with the one after it.
        if n and n % 4 == 0:
            voice.push(spoken[n - 1])
        if n % 4 != 3:
            voice.push(spoken[n])
        heard += voice.take(160) or b""
    assert heard == b"".join(spoken[:99])
    assert counters == VoiceCounters(played_bytes=99 * 160)


def test_a_late_packet_is_an_underrun_and_the_voice_goes_on() -> None:
    voice, counters = inlet()
    for frame in frames(2):
        voice.push(frame)
    assert [voice.take(160) is None for _ in range(4)] == [False, False, True, True]
    assert counters.underruns == 1
    voice.push(LOUD[320:480])
    voice.push(LOUD[480:640])
    assert voice.take(160) == LOUD[320:480]


def test_the_rest_before_an_underrun_is_heard() -> None:
    voice, counters = inlet()
    voice.push(LOUD[:240])
    voice.take(160)
    assert voice.take(160) == LOUD[:160]
    assert voice.take(160) == LOUD[160:240] + PCMU.quiet(80)
    assert counters.played_bytes == 240


def test_a_burst_never_waits_for_longer_than_the_limit() -> None:
    voice, counters = inlet()
    spoken = frames(40)
    for frame in spoken[:2]:
        voice.push(frame)
    voice.take(160)
    for frame in spoken[2:]:
        voice.push(frame)
    assert voice.queued_ms == LIMIT_MS
    assert counters.dropped_bytes == (39 * 20 - LIMIT_MS) * MS
    assert voice.take(160) == spoken[34]


def test_long_packets_may_be_as_late_as_short_ones() -> None:
    voice, counters = inlet()
    spoken = frames(12, ms=60)
    for n, packet in enumerate(spoken):
        # The sixth comes with the seventh.
        if n != 5:
            for late in spoken[n - 1 : n + 1] if n == 6 else [packet]:
                voice.push(late)
        voice.take(480)
    assert counters.dropped_bytes == 0


def test_nobody_misses_what_came_before_anybody_listened() -> None:
    voice, counters = inlet()
    for frame in frames(40):
        voice.push(frame)
    assert voice.queued_ms == LIMIT_MS
    assert counters.dropped_bytes == 0


@pytest.mark.parametrize(("stall_ms", "limit_s"), [(40, 1.6), (80, 1.1), (400, 1.1)])
def test_the_delay_of_a_stall_goes_soon(stall_ms: int, limit_s: float) -> None:
    # Without a pause of speech; a short delay waits for one for half a second.
    voice, counters = inlet()
    spoken = iter(frames(500))
    voice.push(next(spoken))
    voice.push(next(spoken))
    voice.take(160)
    for _ in range(stall_ms // 20):
        voice.push(next(spoken))
    for _ in range(int(limit_s * 50)):
        voice.push(next(spoken))
        voice.take(160)
    assert voice.queued_ms == 20
    assert counters.dropped_bytes == stall_ms * MS
    assert counters.underruns == 0


def test_a_short_delay_goes_in_a_pause_of_speech() -> None:
    voice, counters = inlet()
    for frame in frames(4):
        voice.push(frame)
    spoken = frames(104)
    spoken[34:44] = [PCMU.quiet(160)] * 10
    heard = b""
    for frame in spoken[4:]:
        heard += voice.take(160) or b""
        voice.push(frame)
    assert counters.dropped_bytes == 2 * 160
    assert heard == b"".join(spoken[:34] + spoken[36:102])


def test_a_fast_clock_costs_pauses_and_no_delay() -> None:
    voice, counters = inlet()
    spoken = 0
    for n in range(20_000):
        # 300 ppm: 6 ms a minute would become 120 ms in 7 minutes.
        while spoken * 20 <= n * 20 * 1.0003:
            voice.push(LOUD[:160] if n % 100 < 80 else PCMU.quiet(160))
            spoken += 1
        voice.take(160)
        assert voice.queued_ms <= 60
    assert counters.dropped_bytes // MS == pytest.approx(120, abs=20)
    assert counters.underruns == 0


def test_both_laws_may_change_on_the_way() -> None:
    counters = VoiceCounters()
    voice = Inlet(PCMU, PCMA, counters)
    for frame in frames(3):
        voice.push(frame)
    assert voice.take(160) == transcode(LOUD[:160], PCMU, PCMA)
    voice.use_target(PCMU)
    assert voice.take(160) == transcode(
        transcode(LOUD[160:320], PCMU, PCMA), PCMA, PCMU
    )
    voice.use_source(PCMA)
    voice.push(b"\xd5" * 160)
    voice.take(160)
    assert voice.take(160) == transcode(b"\xd5" * 160, PCMA, PCMU)


def test_two_loud_voices_are_clipped_and_do_not_wrap() -> None:
    loudest = PCMU.encode(b"\xff\x7f" * 160)
    assert mix(loudest, loudest, PCMU) == loudest
    assert mix(LOUD[:160], PCMU.quiet(160), PCMU) == LOUD[:160]


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 700)), max_size=60))
def test_what_is_pushed_is_taken_once_in_order_or_counted(
    steps: list[tuple[bool, int]],
) -> None:
    voice, counters = inlet()
    pushed = taken = 0
    for is_push, n_bytes in steps:
        if is_push:
            voice.push(LOUD[pushed : pushed + n_bytes])
            pushed += n_bytes
        elif (frame := voice.take(n_bytes)) is not None:
            assert len(frame) == n_bytes
            taken += n_bytes
        assert voice.queued_ms <= max(LIMIT_MS, 3 * 60)
    assert counters.played_bytes <= min(pushed, taken)
