"""A trunk's far end on a real socket, written without the emulator's SIP core.

It answers each new INVITE by the next entry of its script and keeps every request as
text, so that a test can compare what was on the wire.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import eventually

# Statuses sent one after the other; none: silence.
Answer = Sequence[int]
SDP = (
    "v=0\r\no=peer 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio {port} RTP/AVP 8 96\r\na=rtpmap:8 PCMA/8000\r\n"
    "a=rtpmap:96 telephone-event/8000\r\n"
)
CHALLENGES = {
    401: 'WWW-Authenticate: Digest realm="pbx", nonce="n1", qop="auth", algorithm=MD5',
    407: 'Proxy-Authenticate: Digest realm="edge", nonce="n2", algorithm=SHA-256',
}
_ECHOED = {"via", "from", "to", "call-id", "cseq", "record-route"}


@dataclass(frozen=True)
class Message:
    """One SIP message as text."""

    text: str

    @property
    def head(self) -> list[str]:
        return self.text.partition("\r\n\r\n")[0].split("\r\n")

    @property
    def body(self) -> str:
        return self.text.partition("\r\n\r\n")[2]

    @property
    def first_line(self) -> str:
        return self.head[0]

    @property
    def method(self) -> str:
        return self.first_line.split(" ")[0]

    @property
    def fields(self) -> list[tuple[str, str]]:
        """Header fields in order, as written."""
        lines = (line.partition(": ") for line in self.head[1:])
        return [(name, value) for name, _, value in lines]

    def __getitem__(self, name: str) -> str:
        return next(value for found, value in self.fields if found == name)

    def get(self, name: str) -> str | None:
        return next((value for found, value in self.fields if found == name), None)


class TrunkPeer:
    """Listens on a free port until its ``with`` ends.

    Args:
        script: The answer to each new INVITE; the last one counts for all that follow.
        rtp_port: In the SDP of its 183 and 200.
    """

    def __init__(
        self,
        transport: str,
        script: Sequence[Answer] = ((200,),),
        *,
        rtp_port: int = 40_000,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.transport = transport
        self.messages: list[Message] = []
        self._script = list(script)
        self._rtp_port = rtp_port
        self._tls = tls
        self._branches: set[str] = set()
        self._answers: dict[str, Answer] = {}
        self._open: list[socket.socket] = []
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        self._socket = socket.socket(socket.AF_INET, kind)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        # Says something to where the last INVITE came from.
        self.say: Callable[[str], None]

    @property
    def destination(self) -> str:
        return f"127.0.0.1:{self.port};transport={self.transport}"

    @property
    def connections(self) -> int:
        """How many connections there have been."""
        return len(self._open)

    def drop_connections(self) -> None:
        """Close what is open, as a server that restarts does."""
        for sock in self._open:
            sock.shutdown(socket.SHUT_RDWR)

    def vanish(self) -> None:
        """Be gone, as a machine without power; what is sent meets a closed port."""
        self.__exit__()

    def requests(self, method: str) -> list[Message]:
        return [m for m in self.messages if m.method == method]

    def wait_for(self, method: str, count: int = 1) -> list[Message]:
        """Return requests of a method once there are ``count``."""
        eventually(
            lambda: len(self.requests(method)) >= count,
            f"{count} {method} at {self.destination}, got "
            f"{[m.first_line for m in self.messages]}",
            deadline_s=15.0,
        )
        return self.requests(method)

    def __enter__(self) -> TrunkPeer:
        serve = self._serve_udp if self.transport == "udp" else self._serve_stream
        if self.transport != "udp":
            self._socket.listen()
        threading.Thread(target=serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for sock in (self._socket, *self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _serve_udp(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                data, address = self._socket.recvfrom(65_535)

                def say(text: str, to: tuple[str, int] = address) -> None:
                    self._socket.sendto(text.encode(), to)

                self._take(data.decode(), say)

    def _serve_stream(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                if self._tls is not None:
                    connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
                threading.Thread(
                    target=self._read_stream, args=(connection,), daemon=True
                ).start()

    def _read_stream(self, connection: socket.socket) -> None:
        data = b""
        with contextlib.suppress(OSError):
            while chunk := connection.recv(65_535):
                data += chunk
                while b"\r\n\r\n" in data:
                    head, _, rest = data.partition(b"\r\n\r\n")
                    length = re.search(rb"(?im)^Content-Length: *(\d+)", head)
                    size = int(length[1]) if length else 0
                    if len(rest) < size:
                        break
                    message = head + b"\r\n\r\n" + rest[:size]
                    data = rest[size:]
                    self._take(
                        message.decode(), lambda text: connection.sendall(text.encode())
                    )

    def _take(self, text: str, say: Callable[[str], None]) -> None:
        message = Message(text)
        is_new = (key := f"{message.method} {message.get('Via')}") not in self._branches
        self._branches.add(key)
        if is_new:
            self.messages.append(message)
        if message.method == "INVITE" and is_new:
            self.say = say
            entry = self._script.pop(0) if len(self._script) > 1 else self._script[0]
            for status in entry:
                say(self.response(message, status))
        elif message.method == "CANCEL":
            say(self.response(message, 200))
            say(self.response(self.requests("INVITE")[-1], 487))
        elif message.method in {"BYE", "OPTIONS", "INFO", "UPDATE"}:
            say(self.response(message, 200))

    def response(self, request: Message, status: int) -> str:
        """Return a response to a request of the emulator."""
        lines = [f"SIP/2.0 {status} Anything"]
        for name, value in request.fields:
            if name.lower() in _ECHOED:
                tag = ";tag=peer" if name == "To" and "tag=" not in value else ""
                lines.append(f"{name}: {value}{tag if status > 100 else ''}")
        lines += [CHALLENGES[status]] if status in CHALLENGES else []
        body = ""
        if request.method == "INVITE" and status in {183, 200}:
            body = SDP.format(port=self._rtp_port)
            lines.append("Content-Type: application/sdp")
        lines.append(
            f"Contact: <sip:peer@127.0.0.1:{self.port};transport={self.transport}>"
        )
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body])

    def hang_up(self) -> None:
        """Send a BYE in the dialog of the last INVITE, by its recorded routes."""
        invite = self.requests("INVITE")[-1]
        transport = self.transport.upper()
        target = re.search("<(.*)>", invite["Contact"])
        assert target
        lines = [
            f"BYE {target[1]} SIP/2.0",
            f"Via: SIP/2.0/{transport} 127.0.0.1:{self.port};branch=z9hG4bKpeer-bye",
            *(f"Route: {v}" for n, v in invite.fields if n == "Record-Route"),
            "Max-Forwards: 70",
            f"From: {invite['To']};tag=peer",
            f"To: {invite['From']}",
            f"Call-ID: {invite['Call-ID']}",
            "CSeq: 77 BYE",
        ]
        self.say("\r\n".join([*lines, "Content-Length: 0", "", ""]))


def make_certificate(directory: Path) -> Path:
    """Return a PEM file of a certificate that nobody has signed, and its key."""
    certificate, key = directory / "peer.crt", directory / "peer.key"
    subprocess.run(
        (
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", "/CN=peer", "-keyout", str(key), "-out", str(certificate),
        ),
        check=True, capture_output=True,
    )  # fmt: skip
    both = directory / "peer.pem"
    both.write_text(key.read_text() + certificate.read_text())
    return both


def tls_context(directory: Path) -> ssl.SSLContext:
    """Return a server's context."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(make_certificate(directory))
    return context
