"""An application layer gateway: SIP and RTP of one call pass through it by UDP.

It records itself as a route and puts its own ports into session descriptions, so that
media reach the other side through it alone (RFC 3665 §3.5).
"""

from __future__ import annotations

import re
import select
import socket
import threading

Address = tuple[str, int]
_HOST = "127.0.0.1"
_AUDIO = re.compile(r"m=audio (\d+)")
_RTCP = re.compile(r"a=rtcp:\d+\r\n")


def _bound() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((_HOST, 0))
    return sock


class Gateway:
    """Runs until its ``with`` ends.

    Attributes:
        port: For SIP.
        relayed: RTP packets (from inside, from outside).
        passed: First lines of the SIP messages.
    """

    def __init__(self, outside_port: int) -> None:
        self._outside: Address = (_HOST, outside_port)
        self._inside: Address | None = None
        self._sip, self._rtp_inside, self._rtp_outside = _bound(), _bound(), _bound()
        self._media: dict[str, Address] = {}
        self._wake, self._stop = socket.socketpair()
        self.port: int = self._sip.getsockname()[1]
        self.relayed = [0, 0]
        self.passed: list[str] = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Gateway:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.send(b"x")
        self._thread.join()
        for sock in (
            self._sip, self._rtp_inside, self._rtp_outside, self._wake, self._stop,
        ):  # fmt: skip
            sock.close()

    def _run(self) -> None:
        inputs = [self._sip, self._rtp_inside, self._rtp_outside, self._wake]
        while True:
            ready, _, _ = select.select(inputs, [], [])
            if self._wake in ready:
                return
            for sock in ready:
                data, source = sock.recvfrom(65_535)
                if sock is self._sip:
                    self._pass_on(data.decode(), source)
                else:
                    self._relay(sock, data)

    def _relay(self, sock: socket.socket, data: bytes) -> None:
        from_inside = sock is self._rtp_inside
        target = self._media.get("outside" if from_inside else "inside")
        if target is not None:
            out = self._rtp_outside if from_inside else self._rtp_inside
            out.sendto(data, target)
            self.relayed[0 if from_inside else 1] += 1

    def _pass_on(self, text: str, source: Address) -> None:
        from_outside = source == self._outside
        if not from_outside:
            self._inside = source
        target = self._inside if from_outside else self._outside
        head, _, body = text.partition("\r\n\r\n")
        lines = [line for line in head.split("\r\n") if line[:14] != "Content-Length"]
        self.passed.append(lines[0])
        if lines[0].startswith("SIP/2.0"):
            vias = [i for i, line in enumerate(lines) if line.startswith("Via:")]
            del lines[vias[0]]
        else:
            lines = self._routed(lines)
        body = self._described(body, "outside" if from_outside else "inside")
        whole = [*lines, f"Content-Length: {len(body)}", "", body]
        assert target is not None
        self._sip.sendto("\r\n".join(whole).encode(), target)

    def _routed(self, lines: list[str]) -> list[str]:
        """Take our Route away; put Via and, into an INVITE, Record-Route in."""
        own = f"{_HOST}:{self.port}"
        kept = [line for line in lines if not line.startswith(f"Route: <sip:{own}")]
        branch = re.search("branch=([^;\r\n]+)", "\n".join(lines))
        assert branch
        via = f"Via: SIP/2.0/UDP {own};branch={branch[1]}alg"
        route = [f"Record-Route: <sip:{own};lr>"] * lines[0].startswith("INVITE")
        return [kept[0], via, *route, *kept[1:]]

    def _described(self, body: str, side: str) -> str:
        """Note where a side receives, and tell the other one to come to us."""
        audio = _AUDIO.search(body)
        if audio is None:
            return body
        self._media[side] = (_HOST, int(audio[1]))
        facing = self._rtp_inside if side == "outside" else self._rtp_outside
        port = facing.getsockname()[1]
        return _RTCP.sub("", _AUDIO.sub(f"m=audio {port}", body))
