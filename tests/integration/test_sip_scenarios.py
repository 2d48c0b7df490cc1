"""SIPp plays what phones and PBXes do, and what they should not do.

The scenarios are ``tests/data/sipp``: they judge the messages; the tests here judge
what became of the call. Section numbers in them are RFC 3261's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import Emulator, emulator
from tests.support.sipp import BRIEF, DIRECT, Peer, of_kind

# Whole processes, in real time.
pytestmark = pytest.mark.slow
# As the timeline calls it.
ANSWER = "200 OK (INVITE)"


@pytest.fixture(scope="module")
def ringing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """Yield an emulator that rings for longer than any test lasts."""
    directory = tmp_path_factory.mktemp("ringing")
    with emulator(directory, config="calls: {ring_ms: 50000}") as started:
        yield started


def exchanged(story: list[dict[str, Any]]) -> list[str]:
    """Return what was said in SIP, both ways, in the emulator's own order."""
    kinds = {"sip.sent", "sip.received"}
    return [entry["data"]["summary"] for entry in story if entry["kind"] in kinds]


def place_of(summaries: list[str], method: str) -> int:
    """Return where the first request of a method is."""
    requests = (s.startswith(f"{method} ") for s in summaries)
    return list(requests).index(True)


def calls_taken(running: Emulator) -> int:
    """Return how many calls there have ever been; the list of them has a limit."""
    taken: int = running.diagnostics()["calls"]["taken"]
    return taken


# --- hold, resume, and other offers ---


@pytest.mark.parametrize("transport", ["u1", "t1"])
@pytest.mark.parametrize("scenario", ["hold", "hold_of_old", "update"])
def test_hold_and_resume_are_answered_in_the_mirror(
    running: Emulator, sipp: str, workplace: Path, scenario: str, transport: str
) -> None:
    Peer(sipp, workplace, running.sip_port, transport=transport).play(scenario)
    assert running.finished_call()["cause"] == "caller-bye"


def test_a_delayed_offer_is_made_in_the_200_and_answered_in_the_ack(
    running: Emulator, sipp: str, workplace: Path
) -> None:
    Peer(sipp, workplace, running.sip_port).play("delayed_offer")
    finished = running.finished_call()
    story = running.timeline(finished["sid"])
    assert finished["cause"] == "caller-bye"
    # The echo of SIPp came in the codec that only the ACK named.
    (first_audio,) = of_kind(story, "media.first_audio")
    assert first_audio["codec"] == "PCMU"


@pytest.mark.parametrize("scenario", ["reinvite_too_soon", "reinvite_refused", "glare"])
def test_offers_that_cannot_be_taken_leave_the_call_as_it_was(
    running: Emulator, sipp: str, workplace: Path, scenario: str
) -> None:
    Peer(sipp, workplace, running.sip_port).play(scenario)
    assert running.finished_call()["cause"] == "caller-bye"


# --- giving up ---


@pytest.mark.parametrize("transport", ["u1", "t1"])
def test_a_cancelled_call_is_over_with_487(
    ringing: Emulator, sipp: str, workplace: Path, transport: str
) -> None:
    Peer(sipp, workplace, ringing.sip_port, transport=transport).play("cancel")
    finished = ringing.finished_call()
    assert (finished["status"], finished["cause"]) == ("canceled", "caller-cancel")
    assert finished["answered_at"] is None


def test_a_cancel_after_the_answer_changes_nothing(
    at_once: Emulator, sipp: str, workplace: Path
) -> None:
    Peer(sipp, workplace, at_once.sip_port, DIRECT).play("cancel_too_late")
    finished = at_once.finished_call()
    assert (finished["status"], finished["cause"]) == ("completed", "caller-bye")


def test_a_bye_while_it_rings_ends_the_call(
    ringing: Emulator, sipp: str, workplace: Path
) -> None:
    Peer(sipp, workplace, ringing.sip_port).play("bye_while_ringing")
    assert ringing.finished_call()["cause"] == "caller-bye"


# --- the ACK ---


def test_without_an_ack_the_200_is_repeated_and_then_the_call_ended(
    at_once: Emulator, sipp: str, workplace: Path
) -> None:
    Peer(sipp, workplace, at_once.sip_port, DIRECT).play("no_ack")
    finished = at_once.finished_call()
    assert (finished["cause"], finished["answered_at"]) == ("no-ack", None)
    # At once and after 0.5, 1.5, 3.5, 7.5, 11.5 … 31.5 s: doubling up to T2. On a busy
    # machine each is a little later, and the end, at 32 s, comes before the last.
    said = exchanged(at_once.timeline(finished["sid"]))
    assert said.count(ANSWER) in (10, 11)


def test_a_late_ack_stops_the_repeats_and_the_call_is_up(
    running: Emulator, sipp: str, workplace: Path
) -> None:
    Peer(sipp, workplace, running.sip_port).play("late_ack")
    finished = running.finished_call()
    assert finished["cause"] == "caller-bye"
    said = exchanged(running.timeline(finished["sid"]))
    answers = [at for at, summary in enumerate(said) if summary == ANSWER]
    # Three as a rule; a busy machine's second repeat may come behind the ACK.
    assert len(answers) >= 2
    assert max(answers) < place_of(said, "ACK")


def test_a_caller_that_requires_100rel_gets_its_answer_after_its_prack(
    running: Emulator, sipp: str, workplace: Path
) -> None:
    messages = Peer(sipp, workplace, running.sip_port).play("prack")
    assert running.finished_call()["cause"] == "caller-bye"
    before, _, _ = messages.partition("PRACK sip:")
    # After 0.5 s, and after 1.5 s if the PRACK takes so long on a busy machine.
    assert 2 <= before.count("SIP/2.0 180 Ringing") <= 4
    assert "SIP/2.0 200 OK" not in before


# --- BYE ---


@pytest.mark.parametrize("transport", ["u1", "t1"])
@pytest.mark.parametrize("scenario", ["hang_up_by_flow", "bye_crossing"])
def test_the_flows_bye_is_sent_once_even_if_the_caller_hangs_up_too(
    at_once: Emulator, sipp: str, workplace: Path, scenario: str, transport: str
) -> None:
    peer = Peer(sipp, workplace, at_once.sip_port, BRIEF, transport)
    peer.play(scenario)
    finished = at_once.finished_call()
    sent = of_kind(at_once.timeline(finished["sid"]), "sip.sent")
    # A busy caller answers late, and UDP's repeats are no BYEs of their own.
    new = [m["summary"] for m in sent if "retransmission" not in m]
    assert sum(summary.startswith("BYE sip:sipp@") for summary in new) == 1
    assert (finished["ended_by"], finished["cause"]) == ("platform", "flow-ended")


def test_a_bye_instead_of_the_ack_ends_the_repeats(
    at_once: Emulator, sipp: str, workplace: Path
) -> None:
    Peer(sipp, workplace, at_once.sip_port, DIRECT).play("bye_before_ack")
    finished = at_once.finished_call()
    assert finished["cause"] == "caller-bye"
    said = exchanged(at_once.timeline(finished["sid"]))
    assert ANSWER not in said[place_of(said, "BYE") :]


# --- digits ---


@pytest.mark.parametrize("transport", ["u1", "t1"])
def test_digits_by_info_reach_timeline_and_bot_once_each(
    at_once: Emulator, sipp: str, workplace: Path, transport: str
) -> None:
    Peer(sipp, workplace, at_once.sip_port, DIRECT, transport).play("info_digits")
    story = at_once.timeline(at_once.finished_call()["sid"])
    digits = of_kind(story, "digit")
    assert [d["digit"] for d in digits] == ["5", "#", "7", "*"]
    assert {d["source"] for d in digits} == {"info"}
    messages = [m for m in of_kind(story, "stream.sent") if m["event"] == "dtmf"]
    assert [m["digit"] for m in messages] == ["5", "#", "7", "*"]
    notes = [note["text"] for note in of_kind(story, "note")]
    assert [text[-3:] for text in notes if "is no digit" in text] == ["415", "400"]


# --- session timers ---


@pytest.mark.parametrize("scenario", ["timer_by_update", "timer_by_reinvite"])
def test_the_session_is_refreshed_when_that_falls_to_us(
    running: Emulator, sipp: str, workplace: Path, scenario: str
) -> None:
    Peer(sipp, workplace, running.sip_port).play(scenario)
    assert running.finished_call()["cause"] == "caller-bye"


def test_a_session_that_cannot_be_refreshed_is_ended(
    running: Emulator, sipp: str, workplace: Path
) -> None:
    Peer(sipp, workplace, running.sip_port).play("timer_refused")
    assert "session timer" in running.finished_call()["reason"]


def test_an_interval_that_is_too_small_is_422_and_no_call(
    running: Emulator, sipp: str, workplace: Path
) -> None:
    before = calls_taken(running)
    Peer(sipp, workplace, running.sip_port).play("timer_too_small")
    assert calls_taken(running) == before


@pytest.mark.timeout(100)
def test_a_caller_who_forgets_to_refresh_is_hung_up_on(
    at_once: Emulator, sipp: str, workplace: Path
) -> None:
    """RFC 4028 §10: a third of the interval before its end."""
    peer = Peer(sipp, workplace, at_once.sip_port, DIRECT)
    peer.play("timer_silent", deadline_s=80)
    finished = at_once.finished_call()
    assert "session timer" in finished["reason"]
    # After 60 s, not 90; a busy machine is late.
    assert 58 < finished["duration_s"] < 75


# --- the door, and what comes without a call ---


@pytest.mark.parametrize("transport", ["u1", "t1"])
def test_requests_outside_dialogs_have_one_right_answer_each(
    running: Emulator, sipp: str, workplace: Path, transport: str
) -> None:
    before = calls_taken(running)
    peer = Peer(sipp, workplace, running.sip_port, transport=transport)
    peer.play("outside_dialogs")
    assert calls_taken(running) == before


def test_another_accounts_sid_is_403(
    running: Emulator, sipp: str, workplace: Path
) -> None:
    Peer(sipp, workplace, running.sip_port).play("foreign_account")
    finished = running.finished_call()
    story = running.timeline(finished["sid"])
    (rejected,) = of_kind(story, "call.rejected")
    assert (rejected["status"], rejected["rule"]) == (403, "account-header")


def test_custom_headers_reach_the_bot_unless_long_or_reserved(
    at_once: Emulator, sipp: str, workplace: Path
) -> None:
    Peer(sipp, workplace, at_once.sip_port, DIRECT).play("custom_headers")
    story = at_once.timeline(at_once.finished_call()["sid"])
    (start,) = (m for m in of_kind(story, "stream.sent") if m["event"] == "start")
    parameters = start["start"]["custom_parameters"]
    assert parameters == {"UUI": "ticket-7", "Custom-Header": "Sales team"}
    notes = " ".join(note["text"] for note in of_kind(story, "note"))
    assert "X-Custom-Headers dropped: 46 bytes, at most 45" in notes
    assert "X-Veeno-Secret ignored" in notes
