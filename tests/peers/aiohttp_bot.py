"""A bot on aiohttp, as its documentation has a WebSocket server.

It echoes the caller, with a mark behind each second; ``1`` clears what it said and
makes it silent, ``9`` makes it hang up. Run by ``.peers/bin/python``.
"""

import asyncio
import json
import socket

from aiohttp import WSMsgType, web

MESSAGES_PER_MARK = 50


async def media(request: web.Request) -> web.WebSocketResponse:
    bot = web.WebSocketResponse()
    await bot.prepare(request)
    stream_sid, heard, echoes = "", 0, True
    async for message in bot:
        if message.type is not WSMsgType.TEXT:
            break
        told = json.loads(message.data)
        event = told["event"]
        if event == "start":
            stream_sid = told["start"]["stream_sid"]
            print(f"call {told['start']['call_sid']}", flush=True)
        elif event == "media" and echoes:
            heard += 1
            echo = {"payload": told["media"]["payload"]}
            answer = {"event": "media", "stream_sid": stream_sid, "media": echo}
            await bot.send_json(answer)
            if heard % MESSAGES_PER_MARK == 0:
                mark = {"name": f"second {heard // MESSAGES_PER_MARK}"}
                answer = {"event": "mark", "stream_sid": stream_sid, "mark": mark}
                await bot.send_json(answer)
        elif event == "mark":
            print(f"played {told['mark']['name']}", flush=True)
        elif event == "dtmf":
            digit = told["dtmf"]["digit"]
            print(f"digit {digit}", flush=True)
            if digit == "1":
                echoes = False
                await bot.send_json({"event": "clear", "stream_sid": stream_sid})
            elif digit == "9":
                await bot.close()
    print("conversation over", flush=True)
    return bot


async def main() -> None:
    app = web.Application()
    app.add_routes([web.get("/media", media)])
    runner = web.AppRunner(app)
    await runner.setup()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        await web.SockSite(runner, sock).start()
        print(f"listens on ws://127.0.0.1:{port}/media", flush=True)
        await asyncio.Event().wait()


asyncio.run(main())
