"""Which keys a leg uses: those of the newest offer and answer."""

from __future__ import annotations

import base64

from emulator.rtp.receiver import RtpReceiver
from emulator.rtp.sender import RtpSender
from emulator.rtp.srtp import SrtpOpener, SrtpSealer
from emulator.worker.messages import SrtpParams


class Security:
    """Hands SRTP to both directions of a leg, and to their RTCP."""

    def __init__(self, sender: RtpSender, receiver: RtpReceiver) -> None:
        self._sender = sender
        self._receiver = receiver
        self._params: SrtpParams | None = None

    def use(self, params: SrtpParams | None) -> None:
        """Encrypt with ``params`` from now on; None: not at all.

        A direction whose key stays keeps its state: its counters of packets go on, and
        so does its memory of what came (RFC 3711 §3.2.1).
        """
        old, self._params = self._params, params
        if params is None:
            self._sender.sealer = self._receiver.opener = None
            return
        if old is None or _sending(old) != _sending(params):
            key = base64.b64decode(params.local_key)
            self._sender.sealer = SrtpSealer(params.suite, key)
        if old is None or _hearing(old) != _hearing(params):
            key = base64.b64decode(params.remote_key)
            opener = SrtpOpener(params.suite, key, params.remote_mki_bytes)
            self._receiver.use_opener(opener)


def _sending(params: SrtpParams) -> tuple[str, str]:
    return params.suite, params.local_key


def _hearing(params: SrtpParams) -> tuple[str, str, int]:
    return params.suite, params.remote_key, params.remote_mki_bytes
