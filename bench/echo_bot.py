"""A bot that returns every media message at once, as cheaply as it can.

    python -m bench.echo_bot --port 18080

Prints ``ready`` when it listens.
"""

from __future__ import annotations

import argparse

import orjson
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

_ANSWER = b'{"event":"media","stream_sid":"%b","media":{"payload":"%b"}}'


class Echo(WSListener):
    """One connection."""

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


async def serve(port: int) -> None:
    server = await ws_create_server(lambda _: Echo(), "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
