"""A bot that returns every media message at once, as cheaply as it can.

    python -m bench.echo_bot --port 18080

Prints ``ready`` when it listens. At its end it prints, as JSON, how long the last frame
of a chunk was on its way from the phone: some messages are looked into for the stamps
of ``bench.rtp_load``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import ssl
import time
from itertools import count

import orjson
import pybase64
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

from bench.rtp_load import FRAME_BYTES, TIME_DIGITS, percentiles
from emulator.media.g711 import PCMU

_ANSWER = b'{"event":"media","stream_sid":"%b","media":{"payload":"%b"}}'
# One message of so many is looked into; a prime, so that no call is left out.
_LOOK_EVERY = 31
# The first seconds of a stream are not measured.
_WARM_UP_S = 3.0

_delays_ms: list[float] = []
_messages = count()


class Echo(WSListener):
    """One connection."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._looks_from_s = time.monotonic() + _WARM_UP_S

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close()
            transport.disconnect()
        if frame.msg_type != WSMsgType.TEXT:
            return
        message = orjson.loads(frame.get_payload_as_memoryview())
        if message["event"] == "media":
            sid = message["stream_sid"].encode()
            payload = message["media"]["payload"].encode()
            transport.send(WSMsgType.TEXT, _ANSWER % (sid, payload))
            is_looked_into = next(_messages) % _LOOK_EVERY == 0
            if is_looked_into and time.monotonic() > self._looks_from_s:
                look(payload)


def look(payload: bytes) -> None:
    """Note the delay of the last frame, if it is stamped."""
    frame = PCMU.encode(pybase64.b64decode(payload)[-2 * FRAME_BYTES :])
    try:
        sent_ns = int(frame[:TIME_DIGITS], 16)
    except ValueError:
        return  # Silence, or a chunk that ends within a frame, or resampled.
    _delays_ms.append((time.time_ns() - sent_ns) / 1e6)


async def serve(port: int, context: ssl.SSLContext | None) -> None:
    server = await ws_create_server(
        lambda _: Echo(), "127.0.0.1", port, ssl=context, backlog=1000
    )
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    print("ready", flush=True)
    async with server:
        await server.start_serving()
        await ended.wait()
    delays = percentiles(_delays_ms, 50, 99, 100)
    print(json.dumps({"to_bot_ms_p50_p99_max": delays}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--certificate", help="PEM file: speak TLS")
    parser.add_argument("--key", help="PEM file of the certificate's key")
    arguments = parser.parse_args()
    context = None
    if arguments.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments.certificate, arguments.key)
    uvloop.run(serve(arguments.port, context))


if __name__ == "__main__":
    main()
