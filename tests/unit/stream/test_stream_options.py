"""Knobs: defaults, profiles, limits and descriptions."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from emulator.config import Settings
from emulator.errors import ConfigError
from emulator.stream_options import (
    PROFILES,
    StreamOptions,
    knobs,
    profile_options,
)


def test_the_defaults_are_the_observed_profile() -> None:
    assert profile_options("observed") == StreamOptions()


def test_the_documented_profile_follows_the_manuals() -> None:
    options = profile_options("documented")
    assert options.media_chunk_ms == 100
    assert options.media_format_encoding == "audio/x-raw"
    assert options.media_format_bit_rate == "16"
    assert not options.omit_empty_custom_parameters
    assert options.close_mode == "normal"
    assert (options.custom_params_max, options.custom_params_max_chars) == (3, 256)


def test_a_set_knob_beats_the_profile() -> None:
    options = profile_options("documented", media_chunk_ms=20)
    assert options.media_chunk_ms == 20
    assert options.close_mode == "normal"


def test_an_unknown_profile_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'fast' is not one of observed, documented"):
        profile_options("fast")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"media_chunk_ms": 15}, "stream.media_chunk_ms: 15 is not one of 20, 40"),
        ({"close_mode": "rude"}, "stream.close_mode: 'rude' is not one of abrupt"),
        ({"handshake_timeout_s": 0}, "stream.handshake_timeout_s: 0 is under 0.01 s"),
        ({"handshake_retries": 99}, "stream.handshake_retries: 99 is over 10"),
    ],
)
def test_an_illegal_value_is_refused_by_name(
    change: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        profile_options("observed", **change)


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        profile_options("observed", media_chunk_ms=1, close_mode="x")
    assert "media_chunk_ms" in str(caught.value)
    assert "close_mode" in str(caught.value)


def test_every_field_is_described_with_evidence() -> None:
    described = dict(knobs())
    assert list(described) == [f.name for f in dataclasses.fields(StreamOptions)]
    for name, knob in described.items():
        assert knob.why and knob.cites, name
        assert knob.basis in ("verified", "documented", "assumed"), name
        for suffix, unit in (("_s", "s"), ("_ms", "ms"), ("_bytes", "bytes")):
            if name.endswith(suffix):
                assert knob.unit == unit, name


def test_profiles_name_only_knobs_that_exist() -> None:
    names = {name for name, _ in knobs()}
    assert all(set(profile) <= names for profile in PROFILES.values())


def test_settings_of_a_knobs_name_have_its_default() -> None:
    given = Settings().stream.options()
    assert StreamOptions(**given) == StreamOptions()
    assert list(given) == [name for name, _ in knobs()]


@pytest.mark.parametrize(
    "knobs",
    [
        {"user_agent": "a\r\nX: y"},
        {"upgrade_headers": {"X-A": "a\r\nX: y"}},
        {"upgrade_headers": {"X-A\n": "a"}},
    ],
)
def test_a_control_character_never_reaches_the_upgrade_request(
    knobs: dict[str, Any],
) -> None:
    with pytest.raises(ConfigError, match="control character"):
        profile_options("observed", **knobs)
