"""What a bot sees of the handshake below its messages: certificates, and every byte."""

from __future__ import annotations

import asyncio
import base64
import logging
import subprocess
from pathlib import Path

import pytest
import uvloop
from websockets.asyncio.server import ServerConnection

from emulator.logs import log_loop_error
from emulator.stream import connector
from emulator.stream_options import StreamOptions
from tests.integration.stream_support import (
    PATIENCE_S,
    Recorder,
    bot_server,
    dial_to_the_end,
    finish,
    make_stream,
    play,
    quick,
    raw_server,
    read_request,
    server_context,
)


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.file = folder / "ca.pem"
        self._key = folder / "ca.key"
        openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-keyout", self._key, "-out", self.file, "-days", "2",
            "-subj", "/CN=test authority",
        )  # fmt: skip

    def issue(self, name: str, *, days: int = 2) -> Path:
        """Return certificate and key of 127.0.0.1, in one PEM file."""
        key, asked = self._folder / f"{name}.key", self._folder / f"{name}.csr"
        chain, both = self._folder / f"{name}.crt", self._folder / f"{name}.pem"
        extra = self._folder / f"{name}.ext"
        extra.write_text("subjectAltName=IP:127.0.0.1\n")
        openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", key, "-out", asked, "-subj", "/CN=bot",
        )  # fmt: skip
        openssl(
            "x509", "-req", "-in", asked, "-CA", self.file, "-CAkey", self._key,
            "-CAcreateserial", "-out", chain, "-days", str(days), "-extfile", extra,
        )  # fmt: skip
        both.write_text(key.read_text() + chain.read_text())
        return both


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


async def listen(socket: ServerConnection) -> None:
    async for _ in socket:
        pass


async def talk_once(url: str, options: StreamOptions) -> Recorder:
    client, sink = make_stream(url, options)
    client.start()
    async with asyncio.timeout(PATIENCE_S):
        await sink.opened.wait()
    client.close("stopped")
    await finish(sink)
    return sink


def test_a_bot_of_a_configured_authority_is_reached(authority: Authority) -> None:
    certificate = authority.issue("good")

    async def scenario() -> None:
        async with bot_server(listen, server_context(certificate)) as url:
            sink = await talk_once(url, StreamOptions(tls_ca_file=str(authority.file)))
        assert sink.outcome.status == "completed"
        assert sink.rules() == []

    play(scenario)


def test_a_bot_of_an_authority_in_the_systems_store_is_reached(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = authority.issue("known")
    # What OpenSSL takes for the system's store.
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    connector._tls_context.cache_clear()

    async def scenario() -> None:
        async with bot_server(listen, server_context(certificate)) as url:
            sink = await talk_once(url, StreamOptions())
        assert sink.outcome.status == "completed"

    try:
        play(scenario)
    finally:
        connector._tls_context.cache_clear()


def test_an_expired_certificate_is_refused(authority: Authority) -> None:
    certificate = authority.issue("old", days=-1)

    async def scenario() -> None:
        options = StreamOptions(tls_ca_file=str(authority.file))
        async with bot_server(listen, server_context(certificate)) as url:
            sink = await dial_to_the_end(url, options)
        assert sink.outcome.error == (
            "3009 failed to establish ws conn "
            "x509: certificate has expired or is not yet valid"
        )

    play(scenario)


def test_a_tls_handshake_that_never_comes_runs_into_the_limit() -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    async def scenario() -> None:
        async with raw_server(stall) as url:
            sink = await dial_to_the_end(url.replace("ws://", "wss://"), quick())
        assert (sink.outcome.error or "").endswith("i/o timeout")
        assert sink.kinds().count("stream.connecting") == 2

    play(scenario)


def test_a_plain_bot_behind_wss_is_one_line_of_the_log_per_attempt(
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def listen(socket: ServerConnection) -> None:
        await socket.wait_closed()

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(log_loop_error)
        async with bot_server(listen) as url:
            sink = await dial_to_the_end(url.replace("ws://", "wss://"))
        assert sink.outcome.status == "failed"

    monkeypatch.setattr(logging.getLogger("emulator"), "propagate", True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())
    lines = [r.getMessage() for r in caplog.records if r.name == "emulator.loop"]
    assert len(lines) == 2
    assert all(line.startswith("SSL handshake failed: ") for line in lines)
    assert not [r for r in caplog.records if r.name == "asyncio"]
    assert "Traceback" not in capsys.readouterr().err


def test_the_upgrade_request_byte_by_byte() -> None:
    requests: list[bytes] = []

    async def answer(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        requests.append(await read_request(reader))
        writer.close()

    async def scenario() -> None:
        requests.clear()
        async with raw_server(answer) as url:
            with_user = url.replace("ws://", "ws://key:token@") + "?team=sales&b=%3C"
            await dial_to_the_end(with_user, StreamOptions(handshake_retries=0))
        (request,) = requests
        head, _, rest = request.partition(b"Sec-WebSocket-Key: ")
        key, _, tail = rest.partition(b"\r\n")
        host = url.removeprefix("ws://").removesuffix("/media").encode()
        assert head == (
            b"GET /media?team=sales&b=%3C HTTP/1.1\r\n"
            b"Host: " + host + b"\r\n"
            b"Upgrade: websocket\r\n"
            b"Connection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\n"
        )
        assert len(base64.b64decode(key, validate=True)) == 16
        assert tail == (
            b"User-Agent: Go-http-client/1.1\r\n"
            b"Authorization: Basic a2V5OnRva2Vu\r\n\r\n"
        )

    play(scenario)
