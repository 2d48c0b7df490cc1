"""A party that called us: it hears ringing, then our answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from emulator.calls.door import Refused
from emulator.calls.ending import EndCause, Ending
from emulator.calls.leg import Leg
from emulator.calls.media import CallMedia
from emulator.calls.party import CALL_SID_HEADER, Party, PartyListener
from emulator.config import MediaSettings
from emulator.errors import EmulatorError, NegotiationError
from emulator.events import JsonValue
from emulator.sdp.errors import SdpParseError
from emulator.sip.party import warning
from emulator.sip.session import CallSession, IncomingInvite

logger = logging.getLogger("emulator.calls")


class IncomingParty(Party):
    """The caller.

    Args:
        ring_ms: How long it hears ringing in ``establish``; 0: not at all.
    """

    def __init__(
        self,
        invite: IncomingInvite,
        leg: Leg,
        settings: MediaSettings,
        ring_ms: int,
        call_sid: str,
        listener: PartyListener,
    ) -> None:
        super().__init__(leg, listener, EndCause.CALLER_BYE)
        self._invite = invite
        self._ring_ms = ring_ms
        self._headers = [(CALL_SID_HEADER, call_sid)]
        self._has_acked = asyncio.Event()
        self._answer = ""
        self._media = CallMedia(
            leg,
            settings,
            own_ip=invite.session.advertised_ip,
            source_ip=invite.source.ip,
        )

    @property
    def session(self) -> CallSession:
        """The SIP session of the INVITE."""
        return self._invite.session

    @property
    def media(self) -> CallMedia:
        """The offers and answers of the leg."""
        return self._media

    async def establish(self) -> bool:
        """Ring, answer and wait for the ACK."""
        if not await self.open():
            return False
        if self._ring_ms:
            self.ring({"ring_ms": self._ring_ms})
            await asyncio.sleep(self._ring_ms / 1000)
        await self.answer()
        return True

    async def open(self) -> bool:
        """Open the RTP port; False when the call had to be refused."""
        answer = await self._open_media()
        self._answer = answer or ""
        return answer is not None

    def ring(self, data: Mapping[str, JsonValue]) -> None:
        """Let the caller hear its own ringing."""
        self.session.ringing(headers=self._headers)
        self._listener.party_rings(data)

    def ring_with_media(self) -> bool:
        """Let the caller hear what comes over the leg before there is an answer.

        False when it cannot: only an offer can be answered so early.
        """
        if self._invite.sdp is None:
            return False
        self.session.ringing(status=183, sdp=self._answer, headers=self._headers)
        return True

    def reject(self, status: int, ending: Ending) -> None:
        """Tell the caller that the callee could not be had."""
        self.session.reject(status, headers=[ending.reason_header()])

    async def answer(self) -> None:
        """Answer and wait for the ACK."""
        self.session.answer(self._answer, headers=self._headers)
        await self._has_acked.wait()

    def _acked(self, sdp: str | None) -> None:
        super()._acked(sdp)
        if sdp is None and self._invite.sdp is None and not self._has_acked.is_set():
            # Our 200 made the offer, so the ACK must answer it (RFC 3261 §13.2.1).
            self._end(EndCause.NO_MEDIA, "the ACK has no answer to our offer")
        self._has_acked.set()

    async def _open_media(self) -> str | None:
        """Return our SDP; None when the call had to be refused."""
        try:
            answer = await self._media.open(self._invite.sdp)
            self._note_open_keys()
            return answer
        except NegotiationError as error:
            self.refuse(Refused(488, "codec", f"{error} (media.codecs, media.srtp)"))
        except SdpParseError as error:
            self.refuse(Refused(400, "sdp", str(error)))
        except EmulatorError as error:
            self.refuse(Refused(503, "media", str(error)))
        return None

    def _note_open_keys(self) -> None:
        transport = self._invite.source.transport
        if self._media.is_secure and transport != "tls":
            text = (
                f"SRTP whose keys came over {transport}: whoever sees the signalling "
                "can listen; the platform takes SRTP over TLS only"
            )
            self._listener.record("note", text=text)

    def refuse(self, refused: Refused) -> None:
        """Turn the call away: the response says which rule, value and setting."""
        logger.warning(
            "call from %s refused with %d: %s",
            self._invite.source,
            refused.status,
            refused.explanation,
        )
        self._listener.record(
            "call.rejected",
            status=refused.status,
            rule=refused.rule,
            explanation=refused.explanation,
        )
        ending = Ending(EndCause.REJECTED, refused.explanation)
        self._end(ending.kind, ending.text)
        why = ("Warning", warning(refused.explanation))
        headers = [ending.reason_header(), why, *refused.headers]
        self.session.reject(refused.status, headers=headers)
