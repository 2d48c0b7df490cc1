"""Is the peer still there: session timers and keepalives.

RFC 4028, passively: we ask for no interval ourselves, but agree to one, refresh when it
falls to us, and hang up when the peer does not refresh. UDP mappings of address
translators are kept alive by OPTIONS inside the dialog.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from emulator.sip.effects import Effect
from emulator.sip.events import EndCause
from emulator.sip.message import Message, Request, Response
from emulator.sip.offers import OfferUsage
from emulator.sip.usage import HeaderList

KEEPALIVE: Final = "keepalive"
REFRESH: Final = "refresh"
EXPIRE: Final = "expire"
# RFC 4028 §10: BYE this long before the end, or a third of the interval if less.
_MARGIN_S: Final = 32.0


@dataclass(frozen=True, slots=True)
class SessionInterval:
    """An agreed session interval.

    Attributes:
        we_refresh: Refreshing falls to us; else to the peer.
    """

    interval_s: int
    we_refresh: bool


def session_expires_s(message: Message) -> int | None:
    """Return the value of Session-Expires; None when absent or malformed."""
    return _seconds(message, "Session-Expires")


def _seconds(message: Message, name: str) -> int | None:
    text = (message.headers.get(name) or "").partition(";")[0].strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _refresher(message: Message) -> str:
    params = (message.headers.get("Session-Expires") or "").lower().replace(" ", "")
    if "refresher=uac" in params:
        return "uac"
    return "uas" if "refresher=uas" in params else ""


def interval_of_request(request: Request) -> SessionInterval | None:
    """Agree to the interval of a request that we answer (RFC 4028 §9).

    One below the least is refused with 422 before (``screening``), but for peers
    without timers, who would not understand: it must not be raised either, so we
    refresh that often.
    """
    interval_s = session_expires_s(request)
    if not interval_s:
        return None
    peer_can = "timer" in request.headers.tokens("Supported")
    return SessionInterval(interval_s, _refresher(request) == "uas" or not peer_can)


def interval_of_response(response: Response) -> SessionInterval | None:
    """Read what the peer agreed to in its 2xx to us (RFC 4028 §7.2)."""
    interval_s = session_expires_s(response)
    if not interval_s:
        return None
    return SessionInterval(interval_s, _refresher(response) != "uas")


class LivenessUsage(OfferUsage):
    """The part of a session that notices when its peer is gone."""

    _interval: SessionInterval | None = None
    # The peer's least interval, which a 422 to the refresh under way has told.
    _least_s: int | None = None
    _peer_allows_update = False

    def _learn_abilities(self, message: Message) -> None:
        self._peer_allows_update = "update" in message.headers.tokens("Allow")

    def _enter_established(self) -> list[Effect]:
        return [
            *super()._enter_established(),
            *self._keep_mapping_alive(),
            *self._watch_peer(),
        ]

    # --- session timer ---

    def _refresh_headers(self, request: Request) -> HeaderList:
        self._interval = interval_of_request(request)
        if self._interval is None:
            return ()
        who = "uas" if self._interval.we_refresh else "uac"
        value = ("Session-Expires", f"{self._interval.interval_s};refresher={who}")
        # The peer must know timers when the refresh is its task (RFC 4028 §9).
        return [value] if self._interval.we_refresh else [value, ("Require", "timer")]

    def _request_headers(self) -> HeaderList:
        if self._interval is None:
            return ()
        who = "uac" if self._interval.we_refresh else "uas"
        value = ("Session-Expires", f"{self._interval.interval_s};refresher={who}")
        return [value, ("Min-SE", str(self._least_s))] if self._least_s else [value]

    def _refreshed_by(self, response: Response) -> list[Effect]:
        self._interval, self._least_s = interval_of_response(response), None
        return self._watch_peer()

    def _refresh_refused(self, response: Response) -> list[Effect]:
        """Ask again for the peer's least interval (RFC 4028 §7.3), once a refresh.

        After any other refusal the next refresh may do better, until the session
        expires.
        """
        interval, least_s = self._interval, _seconds(response, "Min-SE")
        if response.status != 422 or interval is None or self._least_s is not None:
            return []
        if least_s is None or least_s <= interval.interval_s:
            return []
        self._least_s = least_s
        self._interval = SessionInterval(least_s, interval.we_refresh)
        return self._refresh()

    def _watch_peer(self) -> list[Effect]:
        interval = self._interval
        if interval is None:
            return [self._clear_timer(REFRESH), self._clear_timer(EXPIRE)]
        margin_s = min(_MARGIN_S, interval.interval_s / 3)
        effects: list[Effect] = [
            self._set_timer(EXPIRE, interval.interval_s - margin_s)
        ]
        if interval.we_refresh:
            effects.append(self._set_timer(REFRESH, interval.interval_s / 2))
        return effects

    def _refresh(self) -> list[Effect]:
        """UPDATE where the peer has it, else a re-INVITE that changes nothing."""
        if not self.is_established:
            return []
        if self._peer_allows_update:
            headers = [*self._ability_headers(), *self._request_headers()]
            return [self._in_dialog("UPDATE", headers)]
        is_busy = self._own_offer or self._peer_offer or self._unacked
        if is_busy or self._local_sdp is None:
            return []
        self._own_offer, self._is_refresh = self._local_sdp, True
        return self._send_offer()

    def _receive_update_response(self, response: Response) -> list[Effect]:
        if response.is_success:
            return self._refreshed_by(response)
        if response.status in {408, 481}:
            return self._lose_dialog()
        return self._refresh_refused(response)

    def _expire(self) -> list[Effect]:
        """Nobody refreshed: BYE, and do not wait for an answer."""
        reason = ("Reason", 'SIP;cause=408;text="session expired"')
        if not self.is_established:
            return []
        ended = self._end(EndCause.SESSION_EXPIRED, "no refresh in time")
        return [self._in_dialog("BYE", [reason]), *ended]

    # --- keepalive ---

    def _keep_mapping_alive(self) -> list[Effect]:
        """Only UDP through an address translator needs it."""
        observed = self.dialog.observed
        if observed is None or observed.transport != "udp":
            return []
        return [self._set_timer(KEEPALIVE, self._settings.keepalive_s)]

    def _send_keepalive(self) -> list[Effect]:
        if not self.is_established:
            return []
        return [self._in_dialog("OPTIONS"), *self._keep_mapping_alive()]
