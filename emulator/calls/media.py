"""What offers and answers of a call mean for its RTP leg.

SDP text on the signalling side, ``MediaParams`` on the worker's side; this module is
where they meet.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from emulator.calls.leg import Leg
from emulator.config import MediaSettings
from emulator.ids import IdSource
from emulator.sdp.crypto import (
    KEY_AND_SALT_BYTES,
    SUITES,
    AgreedCrypto,
    LocalCrypto,
)
from emulator.sdp.description import format_description, parse_description
from emulator.sdp.negotiation import (
    AgreedAudio,
    LocalAudio,
    answer_offer,
    at_port,
    make_offer,
    read_answer,
)
from emulator.worker.messages import MediaParams, SrtpParams

# Stands in an answer until the worker has opened the real port; never sent.
_ANY_PORT = 9


class CallMedia:
    """The media of one SIP leg through all its offers and answers.

    Args:
        own_ip: The address to tell this peer.
        source_ip: Where its signalling comes from: RTP is accepted from there too. May
            change when a call that we place is answered from elsewhere.
        offers_srtp: Our own offers ask for SRTP.

    Attributes:
        is_secure: The last offer and answer agreed on SRTP.
        is_on_hold: The peer wants to hear nothing.
    """

    def __init__(
        self,
        leg: Leg,
        settings: MediaSettings,
        *,
        own_ip: str,
        source_ip: str,
        offers_srtp: bool = False,
    ) -> None:
        self._leg = leg
        self.source_ip = source_ip
        # As the platform's descriptions look (REST and SIP spec §8.4).
        self._local = LocalAudio(
            own_ip,
            _ANY_PORT,
            codecs=settings.codecs,
            user="root",
            telephone_event_payload_type=settings.telephone_event_payload_type,
            names_rtcp=True,
            crypto=_local_crypto(settings.srtp, is_offered=offers_srtp),
        )
        self.is_secure = False
        self.is_on_hold = False

    async def open(self, offer: str | None) -> str:
        """Open the RTP port; return our answer, or our offer if the peer made none.

        Raises:
            NegotiationError: No codec in common; the port is not opened.
            SdpParseError: The offer is no SDP.
            WorkerLost, MediaError: There is no port.
        """
        if offer is None:
            await self._open_port(None)
            return format_description(make_offer(self._local))
        answer, agreed = answer_offer(parse_description(offer), self._local)
        await self._open_port(self._params(agreed))
        return format_description(at_port(answer, self._local.port))

    async def _open_port(self, media: MediaParams | None) -> None:
        self._local = replace(self._local, port=await self._leg.open(media))

    def accept_answer(self, answer: str) -> None:
        """Apply the peer's answer to our offer.

        Raises:
            NegotiationError: No codec in common.
            SdpParseError: It is no SDP.
        """
        agreed = read_answer(parse_description(answer), self._local)
        self._leg.update(self._params(agreed))

    def answer_again(self, offer: str | None) -> str:
        """Answer a later offer (hold, resume, another address) and apply it.

        Raises:
            NegotiationError, SdpParseError: Nothing has changed.
        """
        local = self._local.next()
        if offer is None:
            self._local = local
            return format_description(make_offer(local))
        answer, agreed = answer_offer(parse_description(offer), local)
        self._local = local
        self._leg.update(self._params(agreed))
        return format_description(answer)

    def _params(self, agreed: AgreedAudio) -> MediaParams:
        """Return the worker's view.

        Before the first packet of the peer, only an address that its signalling comes
        from is trusted: behind a NAT or in a container the SDP names another.
        """
        self._keep_to(agreed)
        return MediaParams(
            codec=agreed.codec,
            payload_type=agreed.payload_type,
            telephone_event_payload_type=agreed.telephone_event_payload_type,
            remote_ip=agreed.remote_ip,
            remote_port=agreed.remote_port,
            ptime_ms=agreed.ptime_ms,
            allowed_source_ips=tuple({self.source_ip, agreed.remote_ip}),
            send=agreed.direction.sends,
            receive=agreed.direction.receives,
            send_before_latch=agreed.remote_ip == self.source_ip,
            srtp=srtp_params(agreed.crypto),
        )

    def _keep_to(self, agreed: AgreedAudio) -> None:
        """Remember a hold; ask for SRTP in later offers when the call has it."""
        self.is_on_hold = not agreed.direction.sends
        self.is_secure = agreed.crypto is not None
        crypto = self._local.crypto
        if crypto is not None and self.is_secure:
            kept = replace(crypto, is_offered=True)
            self._local = replace(self._local, crypto=kept)


_IDS: Final = IdSource()


class _Keys(Mapping[str, bytes]):
    """Our key for each suite, made when it is asked for: most offers ask for none."""

    def __init__(self, ids: IdSource) -> None:
        self._ids = ids
        self._made: dict[str, bytes] = {}

    def __getitem__(self, suite: str) -> bytes:
        if suite not in SUITES:
            raise KeyError(suite)
        if suite not in self._made:
            self._made[suite] = self._ids.key(KEY_AND_SALT_BYTES)
        return self._made[suite]

    def __iter__(self) -> Iterator[str]:
        return iter(SUITES)

    def __len__(self) -> int:
        return len(SUITES)


def _local_crypto(policy: str, *, is_offered: bool) -> LocalCrypto | None:
    if policy == "off":
        return None
    return make_local_crypto(
        _IDS, is_required=policy == "require", is_offered=is_offered
    )


def make_local_crypto(
    ids: IdSource, *, is_required: bool = False, is_offered: bool = False
) -> LocalCrypto:
    """Return fresh keys of ours."""
    return LocalCrypto(_Keys(ids), is_required, is_offered)


def srtp_params(crypto: AgreedCrypto | None) -> SrtpParams | None:
    """Return the worker's view of the keys."""
    if crypto is None:
        return None
    return SrtpParams(
        suite=crypto.local.suite,
        local_key=base64.b64encode(crypto.local.key).decode(),
        remote_key=base64.b64encode(crypto.remote.key).decode(),
        remote_mki_bytes=crypto.remote.mki_bytes,
    )
