"""SRTP with keys in SDP: baresip, our own caller, and what the wire shows."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.cli import signals
from emulator.media.g711 import PCMU
from tests.support import baresip as phone
from tests.support import tshark
from tests.support.processes import Emulator, Process, echo_bot, emulator, run
from tests.support.sipp import of_kind
from tests.support.tones import assert_hears_its_hum

# Whole processes, in real time, and tshark reads slowly.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

# A loud µ-law code, and its sample value.
CODE = 0x15
PCM_OF_CODE = int.from_bytes(PCMU.decode(bytes((CODE,))), "little", signed=True)


@pytest.mark.parametrize("codec", ["pcmu", "pcma"])
def test_baresip_over_tls_with_srtp_hears_its_own_tone(
    running: Emulator, baresip: str, workplace: Path, codec: str
) -> None:
    place = phone.configure(workplace, codec=codec, transport="tls", srtp=True)
    done = run(
        baresip, "-f", str(place), "-t", "6",
        "-e", f"/dial sip:08010000002@127.0.0.1:{running.tls_port}",
        cwd=workplace,
    )  # fmt: skip
    assert "SRTP is Enabled" in done.stdout + done.stderr
    assert_hears_its_hum(*phone.heard(workplace))
    finished = running.finished_call()
    story = running.timeline(finished["sid"])
    (started,) = of_kind(story, "media.started")
    assert started["srtp"] == "AES_CM_128_HMAC_SHA1_80"
    assert started["codec"] == codec.upper()
    received = of_kind(story, "media.stats")[-1]["received"]
    assert (received["srtp_forged"], received["srtp_replayed"]) == (0, 0)
    assert of_kind(story, "media.stats")[-1]["rtcp"]["malformed"] == 0


def test_no_key_is_on_the_timeline(
    running: Emulator, baresip: str, workplace: Path
) -> None:
    place = phone.configure(workplace, transport="tls", srtp=True)
    run(
        baresip, "-f", str(place), "-t", "3",
        "-e", f"/dial sip:08010000002@127.0.0.1:{running.tls_port}",
        cwd=workplace,
    )  # fmt: skip
    story = running.timeline(running.finished_call()["sid"])
    assert "a=crypto:1 AES_CM_128_HMAC_SHA1_80 (hidden)" in str(story)
    assert "inline:" not in str(story)


def test_our_own_caller_over_udp_gets_srtp_and_a_note(
    running: Emulator, workplace: Path
) -> None:
    done = run(
        sys.executable, "-m", "emulator", "call", "08010000002", "--srtp",
        "--target", f"127.0.0.1:{running.sip_port}", "--api", running.url,
        "--seconds", "3",
        cwd=workplace,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"rtp: \d{3} packets received, 0 lost", done.stdout)
    story = running.timeline(running.finished_call()["sid"])
    notes = " ".join(note["text"] for note in of_kind(story, "note"))
    assert "SRTP whose keys came over udp" in notes


def test_an_outsider_sees_no_clear_audio(running: Emulator, workplace: Path) -> None:
    """The caller says one byte over and over; the echo bot sends it back."""
    spoken = workplace / "loud.wav"
    signals.write_wav(spoken, [PCM_OF_CODE] * 8000 * 2, 8000)
    seen: dict[bool, list[str]] = {}
    for is_secure in (False, True):
        with tshark.captured(workplace, "udp portrange 10000-39999") as file:
            done = run(
                sys.executable, "-m", "emulator", "call", "08010000002",
                "--target", f"127.0.0.1:{running.tls_port}", "--transport", "tls",
                "--api", running.url, "--wav", str(spoken), "--wait", "1",
                *(["--srtp"] if is_secure else []),
                cwd=workplace,
            )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        story = running.timeline(running.finished_call()["sid"])
        (started,) = of_kind(story, "media.started")
        rows = tshark.fields(
            file,
            f"rtp.p_type == 0 && udp.port == {started['rtp_port']}",
            "rtp.payload",
            rtp_ports="10000-39999",
        )
        seen[is_secure] = [row[0] for row in rows]
    spoken_hex = f"{CODE:02x}" * 8
    assert len([text for text in seen[False] if spoken_hex in text]) > 150
    assert len(seen[True]) > 300
    assert not [text for text in seen[True] if spoken_hex in text]


@pytest.fixture
def calling(tmp_path: Path) -> Iterator[Emulator]:
    """An emulator of this test alone that offers SRTP to alice."""
    config = (
        "users:\n"
        "  - {name: alice, password: alice, number: '09900000001', srtp: true}\n"
    )
    with echo_bot(tmp_path) as (_, port):
        url = f"ws://127.0.0.1:{port}/media?sample-rate=8000"
        with emulator(tmp_path, config=config, env={"ECHO_BOT_URL": url}) as started:
            yield started


def test_a_phone_that_insists_on_srtp_is_called(
    calling: Emulator, baresip: str, tmp_path: Path
) -> None:
    place = phone.configure(
        tmp_path,
        user="alice",
        registrar=f"127.0.0.1:{calling.tls_port}",
        transport="tls",
        srtp=True,
    )
    ringing = Process(baresip, "-f", str(place), "-t", "14", cwd=tmp_path)
    try:
        ringing.wait_for("200 OK|registered successfully")
        answer = calling.api.post("/calls", json={"to": "09900000001", "flow": "echo"})
        assert answer.status_code == 201, answer.text
        # It leaves by itself, 14 s after it began.
        ringing.wait(40.0)
    finally:
        ringing.end()
    finished = calling.finished_call()
    assert (finished["status"], finished["ended_by"]) == ("completed", "callee")
    assert_hears_its_hum(*phone.heard(tmp_path))


def test_the_door_says_why_plain_rtp_is_refused(tmp_path: Path) -> None:
    with emulator(tmp_path, config="media: {srtp: require}") as strict:
        done = run(
            sys.executable, "-m", "emulator", "call", "08010000002",
            "--target", f"127.0.0.1:{strict.sip_port}", "--api", strict.url,
            cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 2
        assert "488" in done.stdout
        assert "RTP without SRTP is refused" in done.stdout
        assert "media.srtp" in done.stdout
