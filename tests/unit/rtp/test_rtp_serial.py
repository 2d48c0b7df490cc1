"""Serial arithmetic wraps at 16 and 32 bits."""

from hypothesis import given
from hypothesis import strategies as st

from emulator.rtp.serial import sequence_delta, timestamp_delta


def test_the_number_after_65535_is_0() -> None:
    assert sequence_delta(0, 65535) == 1
    assert sequence_delta(65535, 0) == -1


def test_the_tick_after_the_last_is_0() -> None:
    assert timestamp_delta(0, 2**32 - 1) == 1
    assert timestamp_delta(2**32 - 160, 0) == -160


@given(st.integers(0, 65535), st.integers(-32768, 32767))
def test_a_sequence_delta_inverts_an_addition(start: int, step: int) -> None:
    assert sequence_delta((start + step) % 65536, start) == step


@given(st.integers(0, 2**32 - 1), st.integers(-(2**31), 2**31 - 1))
def test_a_timestamp_delta_inverts_an_addition(start: int, step: int) -> None:
    assert timestamp_delta((start + step) % 2**32, start) == step
