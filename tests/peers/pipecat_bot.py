"""A bot of Pipecat's own parts: its transport, its parser, its Exotel serializer.

It echoes the caller; ``1`` makes it drop what it was saying and answer with a tone, and
``9`` makes it hang up. Run by ``.peers/bin/python``, as a process of its own:
``pipecat_bot.py RATE_HZ``.
"""

import asyncio
import math
import socket
import struct
import sys

import uvicorn
from fastapi import FastAPI, WebSocket
from pipecat.frames.frames import (
    EndWorkerFrame,
    Frame,
    InputAudioRawFrame,
    InputDTMFFrame,
    OutputAudioRawFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.runner.utils import parse_telephony_websocket
from pipecat.serializers.exotel import ExotelFrameSerializer
from pipecat.transports.websocket.fastapi import (
    FastAPIWebsocketParams,
    FastAPIWebsocketTransport,
)
from pipecat.workers.runner import WorkerRunner

TONE_HZ, TONE_S = 700, 1
app = FastAPI()
rate_hz = int(sys.argv[1])


class Conversation(FrameProcessor):
    """Says what the caller says, and obeys keys."""

    def __init__(self) -> None:
        super().__init__()
        self._echoes = True

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            if self._echoes:
                await self._say(frame.audio)
        elif isinstance(frame, InputDTMFFrame):
            await self._obey(frame.button.value)
        else:
            await self.push_frame(frame, direction)

    async def _obey(self, digit: str) -> None:
        print(f"digit {digit}", flush=True)
        if digit == "1":
            self._echoes = False
            await self.broadcast_interruption()
            await self._say(tone())
        elif digit == "9":
            await self.push_frame(EndWorkerFrame())

    async def _say(self, audio: bytes) -> None:
        await self.push_frame(OutputAudioRawFrame(audio, rate_hz, 1))


def tone() -> bytes:
    samples = (
        round(8000 * math.sin(2 * math.pi * TONE_HZ * n / rate_hz))
        for n in range(rate_hz * TONE_S)
    )
    return b"".join(struct.pack("<h", sample) for sample in samples)


@app.websocket("/media")
async def media(websocket: WebSocket) -> None:
    await websocket.accept()
    provider, call = await parse_telephony_websocket(websocket)
    print(f"provider {provider} call {call['call_id']}", flush=True)
    rate = ExotelFrameSerializer.InputParams(exotel_sample_rate=rate_hz)
    serializer = ExotelFrameSerializer(call["stream_id"], call["call_id"], rate)
    params = FastAPIWebsocketParams(
        audio_in_enabled=True, audio_out_enabled=True, serializer=serializer
    )
    transport = FastAPIWebsocketTransport(websocket, params)
    pipeline = Pipeline([transport.input(), Conversation(), transport.output()])
    worker = PipelineWorker(
        pipeline,
        params=PipelineParams(
            audio_in_sample_rate=rate_hz, audio_out_sample_rate=rate_hz
        ),
    )

    @transport.event_handler("on_client_disconnected")
    async def gone(*_: object) -> None:
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()
    print("conversation over", flush=True)


async def main() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        serving = asyncio.create_task(server.serve([sock]))
        while not server.started:  # noqa: ASYNC110 (uvicorn tells nobody)
            await asyncio.sleep(0.01)
        print(f"listens on ws://127.0.0.1:{port}/media", flush=True)
        await serving


asyncio.run(main())
