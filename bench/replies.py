"""When a bot's marks come back, and how soon its clears are heard.

    python -m bench.replies --rounds 20 --out bench/results/replies.json

One call on a real worker: the phone notes when the last audible packet came, the bot
when its mark was echoed. A mark's error is its echo's distance from the end of that
packet; a clear's time is from its sending to the end of the last audible packet, beside
what the timeline says.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import platform
import socket
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from emulator.clock import SystemClock
from emulator.worker.host import WorkerPool
from emulator.worker.messages import (
    Happened,
    MediaParams,
    OpenStream,
    RemoveLeg,
    Report,
    StartLeg,
)

RTP_PORT_MIN, RTP_PORT_MAX = 22000, 22019
PACKET_S = 0.02
QUIET = b"\xff" * 160
LOUD_PCM = b"\x00\x20" * 8
# Nobody is waited for longer.
LIMIT_S = 10.0


class Phone:
    """Sends silence; notes when sound was heard."""

    def __init__(self, port: int) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.setblocking(False)
        self._sock.bind(("127.0.0.1", 0))
        self._sock.connect(("127.0.0.1", port))
        self.sound_ended_s = 0.0
        asyncio.get_running_loop().add_reader(self._sock.fileno(), self._read)
        self._sending = asyncio.create_task(self._send())

    def _read(self) -> None:
        now_s = time.monotonic()
        with contextlib.suppress(BlockingIOError):
            while packet := self._sock.recv(2048):
                if packet[12:] != QUIET:
                    self.sound_ended_s = now_s + PACKET_S

    async def _send(self) -> None:
        began_s = time.monotonic()
        for n in range(1 << 16):
            header = bytes((0x80, 0)) + n.to_bytes(2, "big")
            self._sock.send(header + (160 * n).to_bytes(4, "big") + b"test" + QUIET)
            due_s = began_s + (n + 1) * PACKET_S
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))

    def close(self) -> None:
        self._sending.cancel()
        asyncio.get_running_loop().remove_reader(self._sock.fileno())
        self._sock.close()


class Bot:
    """One stream from the bot's side."""

    def __init__(self, connection: ServerConnection, stream_sid: str) -> None:
        self._connection = connection
        self._stream_sid = stream_sid
        self.marks: dict[str, float] = {}
        self.news = asyncio.Event()

    async def say(self, duration_ms: int) -> None:
        payload = base64.b64encode(LOUD_PCM * duration_ms).decode()
        await self._send("media", {"payload": payload})

    async def mark(self, name: str) -> None:
        await self._send("mark", {"name": name})

    async def clear(self) -> None:
        await self._send("clear", None)

    async def _send(self, event: str, content: dict[str, str] | None) -> None:
        message: dict[str, Any] = {"event": event, "stream_sid": self._stream_sid}
        if content is not None:
            message[event] = content
        await self._connection.send(json.dumps(message))

    async def listen(self) -> None:
        async for text in self._connection:
            message = json.loads(text)
            if message["event"] == "mark":
                self.marks[message["mark"]["name"]] = time.monotonic()
                self.news.set()


class Conversation:
    """A phone and a bot that talk through a worker."""

    def __init__(self, phone: Phone, bot: Bot, cleared: list[int]) -> None:
        self.phone = phone
        self.bot = bot
        # What the timeline said of each clear, in ms.
        self.cleared = cleared

    async def mark_error_ms(self, name: str, duration_ms: int) -> float:
        """Say something and a mark; return how late its echo is."""
        await self.bot.say(duration_ms)
        await self.bot.mark(name)
        async with asyncio.timeout(LIMIT_S):
            while name not in self.bot.marks:
                self.bot.news.clear()
                await self.bot.news.wait()
        # The last packet may still be on its way to this process.
        await asyncio.sleep(0.1)
        return 1000 * (self.bot.marks[name] - self.phone.sound_ended_s)

    async def clear_ms(self, messages: int, message_ms: int) -> tuple[float, int]:
        """Clear in the middle of a reply; return how long it was heard, both views."""
        known = len(self.cleared)
        for _ in range(messages):
            await self.bot.say(message_ms)
        await asyncio.sleep(0.35)
        cleared_s = time.monotonic()
        await self.bot.clear()
        async with asyncio.timeout(LIMIT_S):
            while len(self.cleared) == known:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        return 1000 * (self.phone.sound_ended_s - cleared_s), self.cleared[-1]


@asynccontextmanager
async def conversation(**options: str) -> AsyncIterator[Conversation]:
    """A call that is up; ``options`` are those of the stream."""
    bots: asyncio.Queue[Bot] = asyncio.Queue()
    cleared: list[int] = []

    async def serve_bot(connection: ServerConnection) -> None:
        while (message := json.loads(await connection.recv()))["event"] != "start":
            pass
        bot = Bot(connection, message["stream_sid"])
        bots.put_nowait(bot)
        with contextlib.suppress(Exception):
            await bot.listen()

    def take(report: Report) -> None:
        if isinstance(report, Happened) and report.kind == "stream.cleared":
            cleared.append(int(str(report.data["silent_after_ms"])))

    pool = WorkerPool(clock=SystemClock(), on_report=take, on_lost=lambda *lost: None)
    async with serve(serve_bot, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        try:
            await pool.spawn()
            pool.configure(
                workers=1,
                bind_ip="127.0.0.1",
                rtp_port_min=RTP_PORT_MIN,
                rtp_port_max=RTP_PORT_MAX,
            )
            await pool.ready()
            media = MediaParams("PCMU", 0, 101, "127.0.0.1", 9)
            phone = Phone(await pool.add_leg("L", "C", media))
            pool.send(StartLeg("L"))
            url = f"ws://127.0.0.1:{port}/"
            pool.send(
                OpenStream("L", "S", "C", "bench", url, "1", "2", options=options)
            )
            yield Conversation(phone, await bots.get(), cleared)
            phone.close()
            pool.send(RemoveLeg("L"))
            await pool.drain(5)
        finally:
            await pool.close()


async def mark_errors_ms(rounds: int) -> list[float]:
    """Replies of many lengths, each with a mark behind."""
    async with conversation() as talk:
        return [
            await talk.mark_error_ms(f"m{n}", 100 + 37 * (n % 10))
            for n in range(rounds)
        ]


async def clears_ms(rounds: int, granularity: str) -> list[tuple[float, int]]:
    """Replies of ten messages of 100 ms, each cleared in the middle."""
    async with conversation(clear_granularity=granularity) as talk:
        return [await talk.clear_ms(10, 100) for _ in range(rounds)]


def summary(values: list[float]) -> dict[str, float]:
    return {
        "p50": round(statistics.median(values), 1),
        "min": round(min(values), 1),
        "max": round(max(values), 1),
    }


async def bench(rounds: int) -> dict[str, Any]:
    result: dict[str, Any] = {"mark_error_ms": summary(await mark_errors_ms(rounds))}
    for granularity in ("message", "packet"):
        clears = await clears_ms(rounds, granularity)
        result[f"clear_by_{granularity}_heard_ms"] = summary([h for h, _ in clears])
        result[f"clear_by_{granularity}_timeline_error_ms"] = summary(
            [told - heard for heard, told in clears]
        )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path, help="file for the JSON")
    arguments = parser.parse_args()
    result = asyncio.run(bench(arguments.rounds))
    for name, values in result.items():
        print(f"{name:36} {values}")
    if arguments.out:
        facts = {"machine": platform.platform(), "python": platform.python_version()}
        arguments.out.write_text(json.dumps({**facts, **result}, indent=1) + "\n")


if __name__ == "__main__":
    main()
