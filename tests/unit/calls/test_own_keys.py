"""Our SRTP keys: made for the suites that are asked for, the same for a whole call."""

from __future__ import annotations

import pytest

from emulator.calls.media import make_local_crypto
from emulator.ids import IdSource
from emulator.sdp.crypto import KEY_AND_SALT_BYTES, SUITES


def test_a_key_stays_what_it_was_when_it_was_first_asked_for() -> None:
    keys = make_local_crypto(IdSource()).keys
    first = keys[SUITES[1]]
    assert len(first) == KEY_AND_SALT_BYTES
    assert keys[SUITES[1]] == first
    assert keys[SUITES[0]] != first


def test_an_offer_has_a_line_for_every_suite() -> None:
    crypto = make_local_crypto(IdSource(), is_offered=True)
    assert [line.suite for line in crypto.lines()] == list(SUITES)
    assert crypto.lines() == crypto.lines()


def test_there_is_no_key_for_a_suite_that_we_do_not_speak() -> None:
    keys = make_local_crypto(IdSource()).keys
    with pytest.raises(KeyError):
        keys["NULL_HMAC_SHA1_80"]
    assert len(keys) == len(SUITES)
