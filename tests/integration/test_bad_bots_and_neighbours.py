"""A bot that misbehaves as badly as it can harms its own call only.

Beside each bad bot another call of the same media worker talks to a good one, which
must hear its caller without a hole: every chunk, in order, and a tone that is whole.
What a third call's phone receives is watched for gross harm to its pacing.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import sys
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from emulator.cli import signals
from tests.integration.stream_support import accept_upgrade, frame
from tests.support.pacing_watch import Watched, neighbour
from tests.support.phone import calling
from tests.support.processes import Emulator, Process, emulator, free_port

# Whole processes, in real time.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

GOOD, BAD, WATCHED = "08010000001", "08010000002", "08010000003"
QUIET = "/quiet"
FLOW = """\
flow: {name}
app_id: "{number}"
start: bot
applets:
  bot: {{type: voicebot, url: "${{{name}}}", next: bye}}
  bye: {{type: hangup}}
"""
TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9
TALKS_S = 4.0
# Samples of a chunk, as of a packet.
FRAME = 160
# Not of whole cycles in a few packets: where one is missing, the phase jumps.
TONE_HZ = 431.0
# An idle worker has some 45; a bot may make it hold messages and 600 s of audio.
MOST_MB = 120
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]
Beside = Callable[[Talk], list[dict[str, Any]]]


@dataclass(frozen=True)
class Place:
    """An emulator, and the ports where its numbers look for their bots."""

    running: Emulator
    good_port: int
    bad_port: int


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("neighbours")
    flows = directory / "flows"
    flows.mkdir()
    for number, name in enumerate(("GOOD", "BAD", "WATCHED"), 1):
        (flows / f"{name}.yaml").write_text(FLOW.format(name=name, number=number))
    good_port, bad_port = free_port(), free_port()
    config = (
        "calls: {ring_ms: 0}\nnumbers:\n"
        f'  - {{number: "{GOOD}", flow: GOOD}}\n  - {{number: "{BAD}", flow: BAD}}\n'
        f'  - {{number: "{WATCHED}", flow: WATCHED}}\n'
    )
    env = {
        "GOOD": f"ws://127.0.0.1:{good_port}/media",
        "BAD": f"ws://127.0.0.1:{bad_port}/media",
        "WATCHED": f"ws://127.0.0.1:{good_port}{QUIET}",
        "EXOTEL_EMULATOR_FLOW__DIRECTORY": str(flows),
    }
    with emulator(directory, config=config, env=env) as running:
        yield Place(running, good_port, bad_port)


class Listener:
    """The good bot: keeps what it hears, but for the watched call."""

    def __init__(self) -> None:
        self.chunks: list[int] = []
        self.numbers: list[int] = []
        self.audio = bytearray()
        self.stopped = asyncio.Event()

    async def talk(self, socket: ServerConnection) -> None:
        is_quiet = socket.request is not None and socket.request.path == QUIET
        async for text in socket:
            if is_quiet:
                continue
            message = json.loads(text)
            if "sequence_number" in message:
                self.numbers.append(int(message["sequence_number"]))
            if message["event"] == "media":
                self.chunks.append(int(message["media"]["chunk"]))
                self.audio += base64.b64decode(message["media"]["payload"])
            elif message["event"] == "stop":
                self.stopped.set()

    def check(self) -> None:
        """Every chunk came, in order, and the tone has no hole.

        But for the silence where its caller, a process of its own, came late: all that
        the caller said follows behind it (docs/voice-quality.md).
        """
        assert len(self.chunks) > TALKS_S * 25
        assert self.chunks == list(range(1, len(self.chunks) + 1))
        assert self.numbers == list(range(1, len(self.numbers) + 1))
        samples = array("h", bytes(self.audio))
        parts = (samples[at : at + FRAME] for at in range(0, len(samples), FRAME))
        loud = (part for part in parts if signals.sound_bounds(part) is not None)
        whole = array("h", chain.from_iterable(loud))
        tone = whole[800 : 800 + 8000 * 2]
        assert len(tone) > 8000, f"{len(whole)} samples of sound in {len(samples)}"
        fit = signals.fit_tone(tone, 8000, 300, 600)
        assert fit.frequency_hz == pytest.approx(TONE_HZ, rel=0.005)
        assert fit.snr_db > 25


@pytest.fixture
def beside(
    place: Place, tmp_path: Path, record_property: Callable[[str, object], None]
) -> Beside:
    """Call the bad bot beside good calls; what is returned is the call's timeline."""

    def play(talk: Talk) -> list[dict[str, Any]]:
        story, watched = asyncio.run(call_beside(place, tmp_path, talk))
        watched.check(record_property)
        return story

    return play


async def call_beside(
    place: Place, directory: Path, talk: Talk
) -> tuple[list[dict[str, Any]], Watched]:
    """Call the bad bot while the good call lasts."""
    wav = directory / "tone.wav"
    signals.write_wav(wav, signals.make_tone(TONE_HZ, TALKS_S, 8000), 8000)
    listener = Listener()
    good = serve(listener.talk, "127.0.0.1", place.good_port)
    bad = await asyncio.start_server(guarded(talk), "127.0.0.1", place.bad_port)
    async with good, bad:
        talking = Process(
            sys.executable, "-m", "emulator", "call", GOOD, "--wav", str(wav),
            "--seconds", str(TALKS_S),
            "--target", f"127.0.0.1:{place.running.sip_port}", cwd=directory,
        )  # fmt: skip
        try:
            async with asyncio.timeout(20):
                while len(listener.chunks) < 10:  # noqa: ASYNC110 (of another process)
                    await asyncio.sleep(0.02)
            async with (
                neighbour(place.running, WATCHED) as watch,
                calling(place.running, BAD) as phone,
            ):
                await phone.until("stream.opened")
                await asyncio.sleep(1.5)
                phone.hang_up()
                story = await phone.over()
                watched = watch.result()
            async with asyncio.timeout(20):
                await listener.stopped.wait()
        finally:
            talking.end()
    listener.check()
    assert place.running.api.get("/ready").status_code == 200
    return story, watched


def guarded(talk: Talk) -> Talk:
    async def serve_one(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            await accept_upgrade(reader, writer)
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    return serve_one


def sends(*frames: bytes) -> Talk:
    """Return a bot that sends these, and then reads on."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for data in frames:
            writer.write(data)
            await writer.drain()
        await reader.read(-1)

    return talk


def peak_mb(pid: int) -> int:
    """Return the most memory that a process has had."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) // 1024


def of(story: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [entry["data"] for entry in story if entry["kind"] == kind]


def rules(story: list[dict[str, Any]]) -> set[str]:
    return {note["rule"] for note in of(story, "note") if "rule" in note}


def say(event: str, **body: Any) -> bytes:
    return frame(TEXT, json.dumps({"event": event, **body}).encode())


def media(audio_bytes: int) -> bytes:
    return say("media", media={"payload": "AAAA" * (audio_bytes // 3)})


NONSENSE = (
    b"hello", b"", b"42", b"null", b'"text"', b"NaN", b'{"event":NaN}', b"[1,2]",
    b"[" * 10_000 + b"]" * 10_000, b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    b'{"event":7}', b'{"event":"media"}', b'{"event":"media","media":null}',
    b'{"event":"media","media":{"payload":"%%%"}}', b'{"event":"mark","mark":[]}',
    b'{"event":"hangup"}', b'\x00\x01', '{"event":"\ud7ff"}'.encode(),
)  # fmt: skip


def test_messages_that_make_no_sense(beside: Beside) -> None:
    frames = [frame(TEXT, text) for text in NONSENSE] + [frame(BINARY, b"\x00\xff")]
    story = beside(sends(*frames * 20))
    (closed,) = of(story, "stream.closed")
    assert (closed["status"], closed["disconnected_by"]) == ("completed", "user")
    assert {"message.json", "message.object", "message.binary"} <= rules(story)
    assert closed["notes"]["message.binary"] == 20
    assert len(of(story, "note")) < 20  # Each rule once, with its count at the end.


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (frame(TEXT, b"\xff\xfe"), 1007),
        (bytes([0x81, 0x81]) + b"mask" + b"x", 1002),
        (frame(TEXT, b"a", first=0) + frame(TEXT, b"b"), 1002),
        (frame(TEXT, b"x" * 10_000_000), 1009),
    ],
    ids=["bad UTF-8", "masked", "fragments", "10 MB"],
)
def test_frames_that_break_the_protocol(beside: Beside, bad: bytes, code: int) -> None:
    story = beside(sends(bad))
    (closed,) = of(story, "stream.closed")
    assert (closed["status"], closed["close_code"]) == ("failed", code)
    assert closed["closed_first"] == "platform"
    assert of(story, "applet.left")[0]["next"] == "bye"


def test_a_close_in_the_middle_of_a_frame(beside: Beside) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(media(3200)[:1000])
        await writer.drain()

    story = beside(cut)
    (closed,) = of(story, "stream.closed")
    assert (closed["status"], closed["disconnected_by"]) == ("completed", "bot")
    assert (closed["close_code"], closed["closed_first"]) == (1006, "network")


@pytest.mark.parametrize(
    "flood",
    [
        media(320) * 20_000,
        say("mark", mark={"name": "m"}) * 50_000,
        frame(PING) * 200_000,
        say("clear") * 50_000,
        media(1_500_000) * 10,
    ],
    ids=["media", "marks", "pings", "clears", "huge messages"],
)
def test_floods(place: Place, beside: Beside, flood: bytes) -> None:
    pieces = [flood[at : at + 65_536] for at in range(0, len(flood), 65_536)]
    story = beside(sends(*pieces))
    (closed,) = of(story, "stream.closed")
    assert closed["status"] == "completed"
    assert len(story) < 3000
    (worker,) = place.running.worker_pids()
    assert peak_mb(worker) < MOST_MB


def test_a_reader_that_stalls(beside: Beside) -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(30)

    story = beside(stall)
    (closed,) = of(story, "stream.closed")
    assert (closed["status"], closed["disconnected_by"]) == ("completed", "user")
