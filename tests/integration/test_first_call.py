"""The first call, by phones that are not ours: SIPp, baresip, and our own caller."""

from __future__ import annotations

import json
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from emulator.cli import signals
from tests.support import baresip as phone
from tests.support.processes import ROOT, Emulator, Process, free_port, run
from tests.support.tones import assert_hears_its_hum

# Whole processes, in real time.
pytestmark = pytest.mark.slow


def kinds(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["kind"] for entry in entries]


def call(
    running: Emulator, cwd: Path, *arguments: str, did: str = "08010000002"
) -> tuple[int, str]:
    """Run our own caller; return its status and output."""
    done = run(
        sys.executable, "-m", "emulator", "call", did,
        "--target", f"127.0.0.1:{running.sip_port}", "--api", running.url, *arguments,
        cwd=cwd,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def talk(running: Emulator, cwd: Path, *arguments: str) -> str:
    """Let our own caller hang up once it hears the bot; return its output."""
    caller = Process(
        sys.executable, "-m", "emulator", "call", "08010000002",
        "--target", f"127.0.0.1:{running.sip_port}", "--api", running.url,
        "--seconds", "30", *arguments, cwd=cwd,
    )  # fmt: skip
    try:
        caller.wait_for("stream.media_from_bot")
        caller.send_signal(signal.SIGINT)
        caller.wait_for("ended by the caller")
        assert caller.wait() == 0
    finally:
        caller.end()
    return caller.output


@pytest.mark.parametrize("transport", ["u1", "t1"])
def test_sipp_calls_are_all_successful(
    running: Emulator, sipp: str, workplace: Path, transport: str
) -> None:
    done = run(
        sipp, "-sn", "uac", f"127.0.0.1:{running.sip_port}", "-s", "08010000002",
        "-m", "20", "-r", "5", "-t", transport, "-i", "127.0.0.1", "-nostdin",
        cwd=workplace,
    )  # fmt: skip
    successful = re.search(r"Successful call +\| +\d+ +\| +(\d+)", done.stdout)
    assert successful and successful[1] == "20", done.stdout[-3000:] + done.stderr
    assert done.returncode == 0
    transports = {
        next(e for e in running.timeline(c["sid"]) if e["kind"] == "sip.received")[
            "data"
        ]["remote"].split(":")[0]
        for c in running.calls()[:20]
    }
    assert transports == {"udp" if transport == "u1" else "tcp"}


@pytest.mark.parametrize("codec", ["pcmu", "pcma"])
def test_baresip_hears_its_own_tone(
    running: Emulator, baresip: str, workplace: Path, codec: str
) -> None:
    place = phone.configure(workplace, codec=codec)
    done = run(
        baresip, "-f", str(place), "-t", "8",
        "-e", f"/dial sip:08010000002@127.0.0.1:{running.sip_port}",
        cwd=workplace,
    )  # fmt: skip
    assert "Call established" in done.stdout, done.stdout
    assert_hears_its_hum(*phone.heard(workplace))
    finished = running.finished_call()
    assert finished["ended_by"] == "caller"
    story = running.timeline(finished["sid"])
    first_audio = next(e for e in story if e["kind"] == "media.first_audio")
    assert first_audio["data"]["codec"] == codec.upper()


def test_custom_headers_reach_the_bot(running: Emulator, workplace: Path) -> None:
    talk(
        running, workplace,
        "--header", "X-UUI: 7", "--header", "X-Custom-Header: Sales team",
    )  # fmt: skip
    story = running.timeline(running.finished_call()["sid"])
    start = next(e for e in story if e["data"].get("event") == "start")
    assert start["data"]["start"]["custom_parameters"] == {
        "Custom-Header": "Sales team",
        "UUI": "7",
    }


def test_digits_are_heard_and_sent_to_the_bot(
    running: Emulator, workplace: Path
) -> None:
    silence = workplace / "silence.wav"
    signals.write_wav(silence, [0] * 8000 * 5, 8000)
    status, output = call(running, workplace, "--wav", str(silence), "--dtmf", "12#")
    assert status == 0, output
    story = running.timeline(running.finished_call()["sid"])
    assert [e["data"]["digit"] for e in story if e["kind"] == "digit"] == [
        "1",
        "2",
        "#",
    ]
    sent = [e["data"] for e in story if e["data"].get("event") == "dtmf"]
    assert [message["digit"] for message in sent] == ["1", "2", "#"]


def test_the_timeline_tells_the_whole_story(running: Emulator, workplace: Path) -> None:
    status, output = call(running, workplace, "--seconds", "5", "--from", "alice")
    assert status == 0, output
    finished = running.finished_call()
    story = running.timeline(finished["sid"])
    expected = [
        "sip.received", "call.created", "call.ringing", "call.answered",
        "applet.entered", "prompt.started", "prompt.ended", "applet.left",
        "stream.connecting", "stream.opened", "stream.media_to_bot",
        "stream.closed", "media.stats", "call.ended",
    ]  # fmt: skip
    rest = iter(kinds(story))
    assert [kind for kind in expected if kind not in rest] == []
    assert [entry["number"] for entry in story] == list(range(1, len(story) + 1))
    assert finished["from"] == "09900000001"
    assert finished["status"] == "completed"
    assert finished["cause"] == "caller-bye"
    moments_ms = {
        entry["data"]["summary"].split()[0]: entry["offset_ms"]
        for entry in reversed(story)  # The first of each word counts.
        if entry["kind"] == "sip.received"
    }
    answered_ms = next(e["offset_ms"] for e in story if e["kind"] == "call.answered")
    talked_s = (moments_ms["BYE"] - answered_ms) / 1000
    # How late a busy machine lets the caller hang up is no matter of the emulator's.
    assert finished["duration_s"] == pytest.approx(talked_s, abs=0.5)
    assert talked_s > 4.8
    stats = next(e["data"] for e in story if e["kind"] == "media.stats")
    assert stats["received"]["lost"] == 0
    heard = re.search(r"heard (\d+\.\d+) s", output)
    assert heard and 3 < float(heard[1]) < talked_s + 1, output
    for part in ("0 lost", "ended by the caller"):
        assert part in output, output


@pytest.mark.parametrize(
    ("options", "remote", "codec"),
    [
        (("--transport", "tcp"), "tcp:", "PCMU"),
        (("--transport", "tls", "--codec", "pcma"), "tls:", "PCMA"),
        (("--register", "alice", "--codec", "PCMA,PCMU"), "udp:", "PCMA"),
        (("--transport", "tls", "--register", "bob:bob"), "tls:", "PCMU"),
    ],
)
def test_our_caller_speaks_every_transport_and_registers(
    running: Emulator,
    workplace: Path,
    options: tuple[str, ...],
    remote: str,
    codec: str,
) -> None:
    port = running.tls_port if "tls" in options else running.sip_port
    status, output = call(
        running, workplace, *options, "--target", f"127.0.0.1:{port}", "--seconds", "1"
    )
    assert status == 0, output
    story = running.timeline(running.finished_call()["sid"])
    assert story[0]["data"]["remote"].startswith(remote)
    answer = next(e["data"] for e in story if "200 OK" in e["data"].get("summary", ""))
    assert f"{codec}/8000" in answer["text"]


def test_a_wrong_password_is_said(running: Emulator, workplace: Path) -> None:
    status, output = call(running, workplace, "--register", "alice:wrong")
    assert status == 2
    assert "REGISTER: 403" in output


def test_an_unknown_number_is_404_and_says_which_are_ours(
    running: Emulator, workplace: Path
) -> None:
    status, output = call(running, workplace, did="0999999")
    assert status == 2
    assert "404" in output and "0999999 is no ExoPhone" in output
    assert "08010000002" in output
    refused = running.finished_call()
    assert refused["status"] == "failed"
    rejected = next(
        e for e in running.timeline(refused["sid"]) if e["kind"] == "call.rejected"
    )
    assert rejected["data"]["rule"] == "exophone"


def test_no_common_codec_is_488(running: Emulator, sipp: str, workplace: Path) -> None:
    scenario = workplace / "g729.xml"
    scenario.write_text(G729_SCENARIO)
    done = run(
        sipp, "-sf", str(scenario), f"127.0.0.1:{running.sip_port}",
        "-s", "08010000002", "-m", "1", "-i", "127.0.0.1", "-nostdin",
        cwd=workplace,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    refused = running.finished_call()
    assert "no common codec" in refused["reason"]
    assert "media.codecs" in refused["reason"]


def test_our_caller_names_bad_options(running: Emulator, workplace: Path) -> None:
    for arguments, words in (
        (("--wav", "no.wav"), "there is no such file"),
        (("--dtmf", "12x"), "can be pressed"),
        (("--header", "nonsense"), "'X-UUI: 7'"),
        (("--header", "Via: x"), "writes Via itself"),
        (("--from", "a b<>"), "--from 'a b<>'"),
        (("--save", "/"), "--save /"),
        (("--save", "/proc/none.wav"), "--save /proc/none.wav"),
        (("--transport", "sctp"), "udp, tcp, tls"),
        (("--codec", "opus"), "PCMU"),
    ):
        status, output = call(running, workplace, *arguments)
        assert status == 2 and words in output
        assert "Traceback" not in output


def test_bots_are_listed_and_misspelt_ones_guessed(workplace: Path) -> None:
    listed = run(sys.executable, "-m", "emulator", "bot", cwd=workplace)
    assert listed.returncode == 0
    assert "Returns the caller's audio" in listed.stdout
    wrong = run(sys.executable, "-m", "emulator", "bot", "ecko", cwd=workplace)
    assert wrong.returncode == 2
    assert wrong.stderr.strip() == (
        "exotel-emulator: there is no bot 'ecko' (did you mean 'echo'?)"
    )


@pytest.mark.parametrize(
    ("form", "word"), [("tree", "greet"), ("mermaid", "flowchart"), ("svg", "<svg")]
)
def test_a_flow_is_drawn(workplace: Path, form: str, word: str) -> None:
    flow = str(ROOT / "flows" / "echo.yaml")
    command = (sys.executable, "-m", "emulator", "flow", "show", flow)
    drawn = run(*command, "--format", form, cwd=workplace)
    assert drawn.returncode == 0, drawn.stderr
    assert word in drawn.stdout and "greet" in drawn.stdout


def test_the_schema_of_flow_files_is_json(workplace: Path) -> None:
    done = run(sys.executable, "-m", "emulator", "flow", "schema", cwd=workplace)
    assert "voicebot" in json.dumps(json.loads(done.stdout))


def test_ctrl_c_hangs_up_and_says_what_was_heard(
    running: Emulator, workplace: Path
) -> None:
    output = talk(running, workplace, "--save", "heard.wav")
    assert "heard " in output
    assert signals.read_wav(workplace / "heard.wav")[0]


def test_nobody_at_the_other_end_is_said_in_one_line(workplace: Path) -> None:
    done = run(
        sys.executable, "-m", "emulator", "call", "08010000002",
        "--target", f"127.0.0.1:{free_port()}", cwd=workplace,
    )  # fmt: skip
    assert done.returncode == 3
    assert "no response from udp:127.0.0.1" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


G729_SCENARIO = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="an offer of G.729 alone">
  <send retrans="500"><![CDATA[
    INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
    Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
    From: sipp <sip:sipp@[local_ip]:[local_port]>;tag=[pid]SIPpTag00[call_number]
    To: <sip:[service]@[remote_ip]:[remote_port]>
    Call-ID: [call_id]
    CSeq: 1 INVITE
    Contact: sip:sipp@[local_ip]:[local_port]
    Max-Forwards: 70
    Content-Type: application/sdp
    Content-Length: [len]

    v=0
    o=user1 53655765 2353687637 IN IP[local_ip_type] [local_ip]
    s=-
    c=IN IP[media_ip_type] [media_ip]
    t=0 0
    m=audio [media_port] RTP/AVP 18
    a=rtpmap:18 G729/8000
  ]]></send>
  <recv response="100" optional="true"></recv>
  <recv response="488"></recv>
  <send><![CDATA[
    ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0
    [last_Via:]
    From: sipp <sip:sipp@[local_ip]:[local_port]>;tag=[pid]SIPpTag00[call_number]
    [last_To:]
    Call-ID: [call_id]
    CSeq: 1 ACK
    Max-Forwards: 70
    Content-Length: 0
  ]]></send>
</scenario>
"""
