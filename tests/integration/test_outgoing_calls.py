"""Calls that the emulator places: to a registered phone, to a trunk, to nobody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support import baresip as phone
from tests.support.processes import Emulator, Process, echo_bot, emulator, free_port
from tests.support.tones import assert_hears_its_hum

# Whole processes, in real time.
pytestmark = pytest.mark.slow


@pytest.fixture
def calling(tmp_path: Path) -> Iterator[Emulator]:
    """An emulator of this test alone: calls go out of it."""
    with echo_bot(tmp_path) as (_, port):
        url = f"ws://127.0.0.1:{port}/media?sample-rate=8000"
        with emulator(tmp_path, env={"ECHO_BOT_URL": url}) as running:
            yield running


def place(running: Emulator, to: str, **body: Any) -> Any:
    return running.api.post("/calls", json={"to": to, "flow": "echo", **body})


def first(story: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    data: dict[str, Any] = next(e["data"] for e in story if e["kind"] == kind)
    return data


def test_a_registered_phone_rings_and_hears_the_flow(
    calling: Emulator, baresip: str, tmp_path: Path
) -> None:
    place_ = phone.configure(
        tmp_path, user="alice", registrar=f"127.0.0.1:{calling.sip_port}"
    )
    ringing = Process(baresip, "-f", str(place_), "-t", "14", cwd=tmp_path)
    try:
        ringing.wait_for("200 OK|registered successfully")
        answer = place(calling, "09900000001")
        assert answer.status_code == 201, answer.text
        assert answer.json()["direction"] == "outbound-api"
        ringing.wait()
    finally:
        ringing.end()
    finished = calling.finished_call()
    assert (finished["status"], finished["ended_by"]) == ("completed", "callee")
    assert_hears_its_hum(*phone.heard(tmp_path))
    kinds = [entry["kind"] for entry in calling.timeline(finished["sid"])]
    for kind in ("sip.sent", "call.ringing", "call.answered", "stream.opened"):
        assert kind in kinds


@contextmanager
def trunk_emulator(directory: Path, *destinations: str) -> Iterator[Emulator]:
    quoted = ", ".join(f'"{destination}"' for destination in destinations)
    config = (
        f"trunks:\n  - name: pbx\n    sid: trmum1pbx\n    destinations: [{quoted}]\n"
    )
    # No bot: once answered, the stream fails and the flow hangs up.
    env = {"ECHO_BOT_URL": f"ws://127.0.0.1:{free_port()}/media"}
    with emulator(directory, config=config, env=env) as running:
        yield running


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_trunk_gets_the_invite_in_the_platforms_shape(
    sipp: str, tmp_path: Path, transport: str
) -> None:
    port = free_port()
    uas = Process(
        sipp, "-sn", "uas", "-i", "127.0.0.1", "-p", str(port), "-m", "1",
        "-t", "u1" if transport == "udp" else "t1", "-nostdin",
        "-trace_msg", "-message_file", str(tmp_path / "messages.log"),
        cwd=tmp_path,
    )  # fmt: skip
    destination = f"127.0.0.1:{port};transport={transport}"
    try:
        with trunk_emulator(tmp_path, destination) as running:
            answer = place(running, "sip:trmum1pbx")
            assert answer.status_code == 201, answer.text
            finished = running.finished_call()
            story = running.timeline(finished["sid"])
        uas.wait()
    finally:
        uas.end()
    assert finished["status"] == "completed"
    invite = first(story, "sip.sent")["text"]
    lines = invite.splitlines()
    headers = {line.partition(": ")[0]: line.partition(": ")[2] for line in lines[1:]}
    assert lines[0] == (
        f"INVITE sip:+918010000002@127.0.0.1:{port};transport={transport} SIP/2.0"
    )
    assert headers["From"].startswith("<sip:08010000002@exotel1.pstn.exotel.com>;tag=")
    assert headers["P-Asserted-Identity"] == (
        "<sip:08010000002@exotel1.pstn.exotel.com>"
    )
    assert headers["Max-Forwards"] == "67"
    assert headers["X-Exotel-CallSid"] == finished["sid"]
    assert headers["X-Exotel-TrunkSid"] == "trmum1pbx"
    assert "X-Exotel-LegSid" in headers
    assert "PCMA/8000" in invite and "a=ptime:20" in invite


def test_the_next_destination_is_tried_when_the_first_is_dead(
    sipp: str, tmp_path: Path
) -> None:
    port = free_port()
    dead = free_port()
    uas = Process(
        sipp, "-sn", "uas", "-i", "127.0.0.1", "-p", str(port), "-m", "1",
        "-t", "t1", "-nostdin", cwd=tmp_path,
    )  # fmt: skip
    destinations = (
        f"127.0.0.1:{dead};transport=tcp",
        f"127.0.0.1:{port};transport=tcp",
    )
    try:
        with trunk_emulator(tmp_path, *destinations) as running:
            assert place(running, "sip:pbx").status_code == 201
            finished = running.finished_call()
            notes = [
                e["data"]["text"]
                for e in running.timeline(finished["sid"])
                if e["kind"] == "note"
            ]
    finally:
        uas.end()
    assert finished["status"] == "completed"
    assert any(str(dead) in note for note in notes)
    assert any("by name" in note for note in notes)


def test_an_unanswered_call_is_cancelled_and_no_answer(
    sipp: str, tmp_path: Path
) -> None:
    scenario = tmp_path / "rings.xml"
    scenario.write_text(RINGS_ONLY)
    port = free_port()
    uas = Process(
        sipp, "-sf", str(scenario), "-i", "127.0.0.1", "-p", str(port), "-m", "1",
        "-nostdin", cwd=tmp_path,
    )  # fmt: skip
    try:
        with trunk_emulator(tmp_path, f"127.0.0.1:{port}") as running:
            place(running, "sip:trmum1pbx", ring_timeout_s=1.0)
            finished = running.finished_call()
        assert uas.wait() == 0, uas.output
    finally:
        uas.end()
    assert (finished["status"], finished["cause"]) == ("no-answer", "no-answer"), (
        finished
    )


@pytest.mark.parametrize(
    ("to", "status", "word"),
    [
        ("user:nobody", 409, "users[]"),
        ("user:alice", 409, "not registered"),
        ("sip:evil.example.com", 409, "trunks[]"),
        ("sip:user@203.0.113.9", 409, "trunks[]"),
        ("+15551234567", 409, "nobody's number"),
        ("tel:112", 409, "no user:"),
    ],
)
def test_nothing_is_dialled_but_what_is_declared(
    running: Emulator, to: str, status: int, word: str
) -> None:
    answer = place(running, to)
    assert answer.status_code == status
    assert word in answer.json()["error"]["message"]


def test_a_flow_that_is_not_there_is_404(running: Emulator) -> None:
    answer = running.api.post("/calls", json={"to": "user:alice", "flow": "nope"})
    assert answer.status_code == 404
    assert "echo" in answer.json()["error"]["message"]


RINGS_ONLY = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="rings until it is cancelled">
  <recv request="INVITE"></recv>
  <send><![CDATA[
    SIP/2.0 180 Ringing
    [last_Via:]
    [last_From:]
    [last_To:];tag=[pid]SIPpTag01[call_number]
    [last_Call-ID:]
    [last_CSeq:]
    Contact: <sip:[local_ip]:[local_port];transport=[transport]>
    Content-Length: 0
  ]]></send>
  <recv request="CANCEL"></recv>
  <send><![CDATA[
    SIP/2.0 200 OK
    [last_Via:]
    [last_From:]
    [last_To:];tag=[pid]SIPpTag01[call_number]
    [last_Call-ID:]
    [last_CSeq:]
    Content-Length: 0
  ]]></send>
  <send retrans="500"><![CDATA[
    SIP/2.0 487 Request Terminated
    [last_Via:]
    [last_From:]
    [last_To:];tag=[pid]SIPpTag01[call_number]
    [last_Call-ID:]
    CSeq: 1 INVITE
    Content-Length: 0
  ]]></send>
  <recv request="ACK"></recv>
</scenario>
"""
