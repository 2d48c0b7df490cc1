"""What a stall of the worker leaves behind, for two kinds of bot.

    python -m bench.stall --stall-ms 200

An echo bot: the round trip of each frame before the stall and from one second after it.
A bot that sends ahead of real time: every frame of its 3 s message, in order.
Status 1 when the round trip is not back within half a frame, or a frame is missing.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import signal
import socket
import statistics
import struct
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from bench.media_worker import BOT_PORT
from emulator.clock import SystemClock
from emulator.media.g711 import PCMU
from emulator.worker.host import WorkerPool
from emulator.worker.messages import MediaParams, OpenStream, StartLeg

FRAME_S, FRAME_BYTES = 0.02, 160

AHEAD_FRAMES = 150
RECOVERY_S = 1.0
TOLERANCE_MS = 10

Bot = Callable[[ServerConnection, dict[str, Any]], Awaitable[None]]


def number_to_frame(number: int) -> bytes:
    """A loud frame that names itself: 8 hex digits, repeated."""
    return (b"%08x" % number) * (FRAME_BYTES // 8)


def frame_to_number(payload: bytes) -> int | None:
    try:
        return int(payload[:8], 16)
    except ValueError:
        return None


def media(stream_sid: str, payload: str) -> str:
    message = {
        "event": "media",
        "stream_sid": stream_sid,
        "media": {"payload": payload},
    }
    return json.dumps(message)


async def echo(connection: ServerConnection, message: dict[str, Any]) -> None:
    if message["event"] == "media":
        answer = media(message["stream_sid"], message["media"]["payload"])
        await connection.send(answer)


async def talk_ahead(connection: ServerConnection, message: dict[str, Any]) -> None:
    if message["event"] == "start":
        frames = b"".join(map(number_to_frame, range(AHEAD_FRAMES)))
        payload = base64.b64encode(PCMU.decode(frames)).decode()
        await connection.send(media(message["stream_sid"], payload))


@asynccontextmanager
async def call_with(bot: Bot) -> AsyncIterator[tuple[int, socket.socket]]:
    """One call to ``bot``; gives the worker's pid and the caller's socket."""

    async def talk(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            async for text in connection:
                await bot(connection, json.loads(text))

    pool = WorkerPool(
        clock=SystemClock(), on_report=lambda _: None, on_lost=lambda *_: None
    )
    try:
        await pool.spawn()
        pool.configure(
            workers=1, bind_ip="127.0.0.1", rtp_port_min=24000, rtp_port_max=24019
        )
        await pool.ready()
        async with serve(talk, "127.0.0.1", BOT_PORT):
            params = MediaParams("PCMU", 0, 101, "127.0.0.1", 9)
            port = await pool.add_leg("L", "C", params)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
                phone.setblocking(False)
                phone.connect(("127.0.0.1", port))
                pool.send(StartLeg("L"))
                url = f"ws://127.0.0.1:{BOT_PORT}/"
                pool.send(OpenStream("L", "S", "C", "bench", url, "1", "2"))
                yield pool.pids[0], phone
            await pool.drain(5)
    finally:
        await pool.close()


class Phone:
    """Sends a numbered frame every 20 ms and notes when each comes back."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sent_s: list[float] = []
        self.heard: list[tuple[int, float, float]] = []

    async def talk(self, seconds: float) -> None:
        began_s = time.monotonic()
        for n in range(1, int(seconds / FRAME_S) + 1):
            number = len(self._sent_s)
            clock = number * FRAME_BYTES & 0xFFFFFFFF
            header = struct.pack("!BBHII", 0x80, 0, number & 0xFFFF, clock, 1)
            self._sent_s.append(time.monotonic())
            self._sock.send(header + number_to_frame(number))
            while (wait_s := began_s + n * FRAME_S - time.monotonic()) > 0:
                self._listen()
                await asyncio.sleep(min(wait_s, 0.002))

    def _listen(self) -> None:
        with suppress(BlockingIOError):
            while True:
                number = frame_to_number(self._sock.recv(2048)[12:])
                now_s = time.monotonic()
                if number is not None and number < len(self._sent_s):
                    self.heard.append((number, self._sent_s[number], now_s))

    def round_trip_ms(self, from_s: float, to_s: float) -> float:
        """Median over the frames sent in between."""
        trips = [
            (heard_s - sent_s) * 1000
            for _, sent_s, heard_s in self.heard
            if from_s <= sent_s < to_s
        ]
        return round(statistics.median(trips), 1)


async def stall(pid: int, seconds: float) -> None:
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(seconds)
    os.kill(pid, signal.SIGCONT)


async def measure_echo(stall_s: float) -> dict[str, Any]:
    async with call_with(echo) as (pid, sock):
        phone = Phone(sock)
        await phone.talk(3)
        stalled_s = time.monotonic()
        stalling = asyncio.create_task(stall(pid, stall_s))
        await phone.talk(4)
        await stalling
    over_s = stalled_s + stall_s
    return {
        "round_trip_before_ms": phone.round_trip_ms(stalled_s - 2, stalled_s),
        "round_trip_at_once_ms": phone.round_trip_ms(over_s, over_s + 0.2),
        "round_trip_1s_after_ms": phone.round_trip_ms(over_s + RECOVERY_S, over_s + 4),
    }


async def measure_ahead(stall_s: float) -> dict[str, Any]:
    async with call_with(talk_ahead) as (pid, sock):
        phone = Phone(sock)
        await phone.talk(1)
        stalling = asyncio.create_task(stall(pid, stall_s))
        await phone.talk(4)
        await stalling
    numbers = [number for number, _, _ in phone.heard]
    return {
        "frames_heard": len(numbers),
        "frames_missing": len(set(range(AHEAD_FRAMES)) - set(numbers)),
        "in_order": numbers == sorted(numbers),
    }


def failures(echo: dict[str, Any], ahead: dict[str, Any]) -> list[str]:
    """Say what is not as it must be."""
    found = []
    added_ms = echo["round_trip_1s_after_ms"] - echo["round_trip_before_ms"]
    if added_ms > TOLERANCE_MS:
        found.append(f"{added_ms:.1f} ms of delay stayed after {RECOVERY_S:g} s")
    if ahead["frames_missing"] or not ahead["in_order"]:
        found.append(f"a bot ahead of time lost {ahead['frames_missing']} frames")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stall-ms", type=int, default=200)
    stall_s = parser.parse_args().stall_ms / 1000
    result: dict[str, Any] = {
        "stall_ms": stall_s * 1000,
        "echo": asyncio.run(measure_echo(stall_s)),
        "ahead": asyncio.run(measure_ahead(stall_s)),
    }
    result["failures"] = failures(result["echo"], result["ahead"])
    print(json.dumps(result, indent=1))
    sys.exit(1 if result["failures"] else 0)


if __name__ == "__main__":
    main()
