"""SRTP and SRTCP (RFC 3711), by libsrtp: one direction of one leg per object.

libsrtp loads at the first secured leg: most emulators never have one.
"""

from __future__ import annotations

from collections import deque
from typing import Any

HEADER_BYTES = 12
RTCP_HEADER_BYTES = 8
# The authentication tag at the end of RTP; that of RTCP has 80 bits with every suite.
_TAG_BYTES = {"AES_CM_128_HMAC_SHA1_80": 10, "AES_CM_128_HMAC_SHA1_32": 4}
_RTCP_TAG_BYTES = 10
# Sources that one peer may have had; libsrtp keeps a state for each.
MAX_SOURCES = 16


class SrtpSealer:
    """Encrypts what we send."""

    def __init__(self, suite: str, key: bytes) -> None:
        self._session = _make_session(suite, key, is_inbound=False)

    def seal(self, packet: bytes) -> bytes:
        """Return an RTP packet with its payload encrypted and its tag."""
        sealed: bytes = self._session.protect(packet)
        return sealed

    def seal_rtcp(self, compound: bytes) -> bytes:
        """Return an RTCP compound as SRTCP."""
        sealed: bytes = self._session.protect_rtcp(compound)
        return sealed


class SrtpOpener:
    """Decrypts what one peer sends, and keeps out what it did not send.

    Attributes:
        forged: RTP whose tag is wrong: another key, or another sender.
        replayed: RTP that came before, or is too old to tell.
    """

    def __init__(self, suite: str, key: bytes, mki_bytes: int = 0) -> None:
        import pylibsrtp

        self._error = pylibsrtp.Error
        self._session = _make_session(suite, key, is_inbound=True)
        self._mki_bytes = mki_bytes
        self._tag_bytes = _TAG_BYTES[suite]
        self._sources: deque[bytes] = deque()
        # The last of them, as nearly every packet is from the same one.
        self._ssrc = b""
        self.forged = self.replayed = 0

    def open(self, packet: bytes) -> bytes | None:
        """Return a packet as plain RTP; None when it is no packet of the peer."""
        if len(packet) <= HEADER_BYTES:
            self.forged += 1
            return None
        if self._mki_bytes:
            packet = self._without_mki(packet, self._tag_bytes)
        try:
            plain: bytes = self._session.unprotect(packet)
        except (self._error, ValueError) as error:
            # The binding has no error codes, only libsrtp's texts. A packet that is
            # larger than any of voice is a ValueError.
            if "replay" in str(error):
                self.replayed += 1
            else:
                self.forged += 1
            return None
        ssrc = plain[8:12]
        if ssrc != self._ssrc:
            self._ssrc = ssrc
            self._remember(ssrc)
        return plain

    def open_rtcp(self, packet: bytes) -> bytes | None:
        """Return a compound as plain RTCP; None when it is none of the peer."""
        if len(packet) <= RTCP_HEADER_BYTES:
            return None
        if self._mki_bytes:
            packet = self._without_mki(packet, _RTCP_TAG_BYTES)
        try:
            plain: bytes = self._session.unprotect_rtcp(packet)
        except (self._error, ValueError):
            return None
        self._remember(plain[4:8])
        return plain

    def _without_mki(self, packet: bytes, tag_bytes: int) -> bytes:
        """Cut the key's name out; it stands before the tag, which does not cover it."""
        at = len(packet) - tag_bytes
        return packet[: at - self._mki_bytes] + packet[at:]

    def _remember(self, ssrc: bytes) -> None:
        """Keep libsrtp's memory of sources bounded: forget the first of too many."""
        if ssrc in self._sources:
            return
        self._sources.append(ssrc)
        if len(self._sources) > MAX_SOURCES:
            oldest = self._sources.popleft()
            if oldest == self._ssrc:
                self._ssrc = b""
            self._session.remove_stream(int.from_bytes(oldest, "big"))


def _make_session(suite: str, key: bytes, *, is_inbound: bool) -> Any:
    from pylibsrtp import Policy, Session

    profiles = {
        "AES_CM_128_HMAC_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
        "AES_CM_128_HMAC_SHA1_32": Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    }
    whose = Policy.SSRC_ANY_INBOUND if is_inbound else Policy.SSRC_ANY_OUTBOUND
    return Session(Policy(key, whose, srtp_profile=profiles[suite]))
