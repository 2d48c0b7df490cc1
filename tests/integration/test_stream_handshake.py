"""Bots that cannot be reached: each failure in the platform's words, nothing leaked."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from emulator.logs import log_loop_error
from emulator.stream_options import profile_options
from tests.integration.stream_support import (
    PATIENCE_S,
    Recorder,
    accept_upgrade,
    bot_server,
    dial_to_the_end,
    finish,
    make_certificate,
    make_stream,
    play,
    quick,
    raw_server,
    read_request,
    server_context,
    until,
)
from tests.support.processes import free_port

PREFIX = "3009 failed to establish ws conn "
WRONG_ACCEPT = (
    b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Accept: wrong\r\n\r\n"
)


def assert_failed(sink: Recorder, error: str, prefix: str = PREFIX) -> None:
    outcome = sink.outcome
    assert outcome.error == prefix + error
    assert (outcome.status, outcome.disconnected_by) == ("failed", "NA")
    assert outcome.duration_s == 0
    assert (outcome.close_code, outcome.closed_first) == (None, None)
    assert sink.data("stream.failed")[0]["error"] == outcome.error
    assert "stream.closed" not in sink.kinds()


async def listen(socket: ServerConnection) -> None:
    await socket.wait_closed()


def test_nobody_listens() -> None:
    async def scenario() -> None:
        port = free_port()
        sink = await dial_to_the_end(f"ws://127.0.0.1:{port}/media")
        assert_failed(sink, f"dial tcp 127.0.0.1:{port}: connect: connection refused")
        first, second = sink.data("stream.connecting")
        assert (first["attempt"], second["attempt"]) == (1, 2)
        assert second["previous_error"] == sink.outcome.error

    play(scenario)


def test_the_next_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        real = loop.getaddrinfo

        async def resolve(host: str, port: int, **hints: Any) -> list[Any]:
            if host != "bot.test":
                return await real(host, port, **hints)
            # 127.0.0.2 is ours too on Linux, and nobody listens there.
            first = await real("127.0.0.2", port, **hints)
            return first + await real("127.0.0.1", port, **hints)

        monkeypatch.setattr(loop, "getaddrinfo", resolve)
        async with bot_server(listen) as url:
            url = url.replace("127.0.0.1", "bot.test")
            client, sink = make_stream(url)
            client.start()
            await until(lambda: sink.opened.is_set() or sink.outcomes)
            client.close("stopped")
            assert (await finish(sink)).status == "completed"
        sink = await dial_to_the_end(url)
        address = url.replace("bot.test", "127.0.0.2").split("/")[2]
        assert_failed(sink, f"dial tcp {address}: connect: connection refused")

    play(scenario)


def test_retries_are_counted_by_their_knob_and_wait_for_theirs() -> None:
    async def scenario() -> None:
        url = f"ws://127.0.0.1:{free_port()}/"
        began_s = asyncio.get_running_loop().time()
        sink = await dial_to_the_end(
            url, quick(handshake_retries=2, retry_delay_s=0.05)
        )
        assert asyncio.get_running_loop().time() - began_s >= 0.09
        assert len(sink.data("stream.connecting")) == 3
        sink = await dial_to_the_end(url, quick(handshake_retries=0))
        assert len(sink.data("stream.connecting")) == 1

    play(scenario)


def test_the_retry_may_succeed() -> None:
    async def refuse_then_accept(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        attempts.append(writer)
        if len(attempts) % 2:
            await read_request(reader)
            writer.write(b"HTTP/1.1 503 Busy\r\n\r\n")
            await writer.drain()
        else:
            await accept_upgrade(reader, writer)
            await reader.read(-1)

    attempts: list[asyncio.StreamWriter] = []

    async def scenario() -> None:
        async with raw_server(refuse_then_accept) as url:
            client, sink = make_stream(url)
            client.start()
            await sink.opened.wait()
            client.close("stopped")
            outcome = await finish(sink)
        _, second = sink.data("stream.connecting")
        assert second["previous_error"] == f"{PREFIX}websocket: bad handshake"
        assert (outcome.status, outcome.error) == ("completed", None)

    play(scenario)


@pytest.mark.parametrize("status", [200, 301, 302, 400, 401, 403, 404, 500, 503])
def test_any_answer_but_101_is_a_bad_handshake(status: int) -> None:
    async def answer(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await read_request(reader)
        writer.write(
            f"HTTP/1.1 {status} Some Phrase\r\nContent-Length: 12\r\n"
            "Location: ws://127.0.0.1:1/\r\n\r\n".encode()
        )
        await writer.drain()
        await asyncio.sleep(0.02)  # The body comes in a segment of its own.
        writer.write(b"late answer\n")
        await writer.drain()

    async def scenario() -> None:
        async with raw_server(answer) as url:
            sink = await dial_to_the_end(url)
        assert_failed(sink, "websocket: bad handshake")
        assert sink.data("stream.failed")[0]["http_status"] == status

    play(scenario)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", "unexpected EOF"),
        (b"HTTP/1.1 101 Switching", "unexpected EOF"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "malformed HTTP response"),
        (b"HTTP/1.1 abc Hm\r\n\r\n", "malformed HTTP response"),
        (b"HTTP/1.1 101 OK\r\nno colon\r\n\r\n", "malformed HTTP response"),
        (b"X" * 40_000, "malformed HTTP response"),
        (b"HTTP/1.1 101 OK\r\n\r\n", "websocket: bad handshake"),
        (
            WRONG_ACCEPT,
            "websocket: bad handshake",
        ),
    ],
)
def test_what_is_no_upgrade_is_refused(answer: bytes, error: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        await writer.drain()

    async def scenario() -> None:
        async with raw_server(talk) as url:
            assert_failed(await dial_to_the_end(url), error)

    play(scenario)


def test_a_reset_during_the_upgrade() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Closing with the request unread resets the connection.
        writer.transport.abort()

    async def scenario() -> None:
        async with raw_server(reset) as url:
            sink = await dial_to_the_end(url)
        error = sink.outcome.error or ""
        assert error == f"{PREFIX}unexpected EOF" or error.endswith(
            "read: connection reset by peer"
        )

    play(scenario)


def test_a_bot_that_accepts_and_never_answers_runs_into_the_limit() -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    async def scenario() -> None:
        async with raw_server(stall) as url:
            began_s = asyncio.get_running_loop().time()
            sink = await dial_to_the_end(url, quick())
            took_s = asyncio.get_running_loop().time() - began_s
        address = url.removeprefix("ws://").removesuffix("/media")
        assert_failed(sink, f"dial tcp {address}: i/o timeout")
        assert 0.4 <= took_s < PATIENCE_S

    play(scenario)


def test_an_answer_that_trickles_runs_into_the_same_limit() -> None:
    async def trickle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        for byte in b"HTTP/1.1 101 Switching Protocols\r\n" * 20:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.01)

    async def scenario() -> None:
        async with raw_server(trickle) as url:
            sink = await dial_to_the_end(url, quick(handshake_retries=0))
        assert (sink.outcome.error or "").endswith("i/o timeout")

    play(scenario)


def test_a_full_backlog_of_connections_runs_into_the_limit() -> None:
    async def scenario() -> None:
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen(0)
            address = server.getsockname()
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(address)
            sink = await dial_to_the_end(
                f"ws://127.0.0.1:{address[1]}/", quick(handshake_retries=0)
            )
            for filler in fillers:
                filler.close()
        assert (sink.outcome.error or "").endswith("i/o timeout")

    play(scenario)


def test_a_name_that_cannot_be_asked_for() -> None:
    async def scenario() -> None:
        sink = await dial_to_the_end("ws://" + "a" * 70 + ".invalid/")
        assert sink.outcome.status == "failed"

    play(scenario)


def test_an_unresolvable_name_in_the_platforms_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def unknown(host: str, port: int, **hints: Any) -> list[Any]:
        # At once: a machine's own resolver may wait long for its name server.
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def scenario() -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
        sink = await dial_to_the_end("ws://no-such-host.invalid/")
        assert_failed(sink, "dial tcp: lookup no-such-host.invalid: no such host")
        assert len(sink.data("stream.connecting")) == 2

    play(scenario)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://127.0.0.1/", "the URL does not start with ws:// or wss://"),
        ("ws:///x", "the URL names no host"),
        (
            "ws://127.0.0.1/?" + "&".join(f"p{n}=1" for n in range(26)),
            "26 custom parameters; stream.custom_params.max allows 25",
        ),
    ],
)
def test_a_url_that_cannot_be_dialled_fails_without_an_attempt(
    url: str, error: str
) -> None:
    async def scenario() -> None:
        sink = await dial_to_the_end(url)
        assert_failed(sink, error, prefix="")
        assert sink.data("stream.connecting") == []

    play(scenario)


@pytest.mark.parametrize("after_s", [0, 0.05], ids=["at once", "later"])
def test_a_caller_who_leaves_while_connecting_cancels(after_s: float) -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    async def scenario() -> None:
        async with raw_server(stall) as url:
            client, sink = make_stream(url)
            client.start()
            if after_s:
                await asyncio.sleep(after_s)
            client.close("callended")
            client.close("callended")
            outcome = await finish(sink)
        assert (outcome.status, outcome.disconnected_by) == ("cancelled", "user")
        assert outcome.error is None
        assert outcome.closed_first is None
        assert sink.data("stream.failed")[0]["status"] == "cancelled"

    play(scenario)


# -- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


def test_a_self_signed_certificate_is_refused(certificate: Path) -> None:
    async def scenario() -> None:
        async with bot_server(listen, server_context(certificate)) as url:
            sink = await dial_to_the_end(url)
        assert_failed(sink, "x509: certificate signed by unknown authority")

    play(scenario)


def test_a_certificate_for_another_name_is_refused(certificate: Path) -> None:
    async def scenario() -> None:
        async with bot_server(listen, server_context(certificate)) as url:
            sink = await dial_to_the_end(
                url.replace("127.0.0.1", "localhost"),
                profile_options("observed", tls_ca_file=str(certificate)),
            )
        assert_failed(sink, "x509: certificate is not valid for localhost")

    play(scenario)


@pytest.mark.parametrize("mode", ["abrupt", "normal"])
def test_a_trusted_certificate_is_accepted(certificate: Path, mode: str) -> None:
    heard: list[str | bytes] = []
    codes: list[int | None] = []

    async def talk(socket: ServerConnection) -> None:
        try:
            async for message in socket:
                heard.append(message)
                await socket.send(message)
        finally:
            await socket.wait_closed()
            codes.append(socket.close_code)

    async def scenario() -> None:
        heard.clear()
        codes.clear()
        options = profile_options(
            "observed", tls_ca_file=str(certificate), close_mode=mode
        )
        async with bot_server(talk, server_context(certificate)) as url:
            client, sink = make_stream(url, options)
            client.start()
            await sink.opened.wait()
            client.send_audio(bytes(320))
            client.close("callended")
            outcome = await finish(sink)
            await until(lambda: codes)
        assert outcome.status == "completed"
        assert '"event":"stop"' in str(heard[-1])
        assert codes[0] == outcome.close_code == {"abrupt": 1006, "normal": 1000}[mode]

    play(scenario)


def test_an_unverified_certificate_is_accepted_by_knob_with_a_note(
    certificate: Path,
) -> None:
    async def scenario() -> None:
        async with bot_server(listen, server_context(certificate)) as url:
            client, sink = make_stream(
                url, profile_options("observed", tls_verify=False)
            )
            client.start()
            await sink.opened.wait()
            client.close("stopped")
            await finish(sink)
        assert "tls.unverified" in sink.rules()

    play(scenario)


def test_a_plain_server_behind_wss_is_told() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async def scenario() -> None:
        async with raw_server(plain) as url:
            sink = await dial_to_the_end(url.replace("ws://", "wss://"))
        assert_failed(sink, "tls: first record does not look like a TLS handshake")

    play(scenario)


@pytest.mark.parametrize("after", ["hello", "nothing"])
def test_a_bot_that_ends_the_tls_handshake_without_a_word_is_told(after: str) -> None:
    async def end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if after == "hello":
            await reader.read(10_000)
        writer.write_eof()  # What is left unread would reset the connection.
        await reader.read(-1)

    async def scenario() -> None:
        # TLS tells the loop as well; its line in the log has a test of its own.
        asyncio.get_running_loop().set_exception_handler(log_loop_error)
        async with raw_server(end) as url:
            sink = await dial_to_the_end(url.replace("ws://", "wss://"))
        assert_failed(sink, "EOF")

    play(scenario)


def test_an_end_after_tls_is_one_of_the_upgrade(certificate: Path) -> None:
    async def end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.close()

    async def scenario() -> None:
        async with raw_server(end, server_context(certificate)) as url:
            options = profile_options("observed", tls_ca_file=str(certificate))
            sink = await dial_to_the_end(url, options)
        assert_failed(sink, "unexpected EOF")

    play(scenario)


def test_a_ca_file_that_is_missing_is_told() -> None:
    async def scenario() -> None:
        options = profile_options("observed", tls_ca_file="/nonexistent/ca.pem")
        sink = await dial_to_the_end("wss://127.0.0.1:1/", options)
        assert "cannot read /nonexistent/ca.pem" in (sink.outcome.error or "")

    play(scenario)
