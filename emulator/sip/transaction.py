"""One transaction: runs a table of ``transaction_tables`` over its messages.

It knows its messages and timers, but not where messages go and who uses them: that is
``transactions.py``. RFC 3261 §17, RFC 6026.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from emulator.errors import LocalProtocolError
from emulator.sip.headers import Headers
from emulator.sip.message import Request, Response
from emulator.sip.timers import SipTimers, Timer
from emulator.sip.transaction_tables import (
    INVITE_CLIENT,
    INVITE_SERVER,
    NON_INVITE_CLIENT,
    NON_INVITE_SERVER,
    Again,
    AtT2,
    Do,
    Input,
    Start,
    State,
    Stop,
    Table,
)

# A final response is there: what follows is only about retransmissions.
_LINGERING: Final = frozenset(
    {State.COMPLETED, State.ACCEPTED, State.CONFIRMED, State.TERMINATED}
)
_RETRANSMIT_TIMERS: Final = {Timer.A, Timer.E, Timer.G}


# --- effects ---


class Send(NamedTuple):
    """Put a message on the wire."""

    message: Request | Response
    is_retransmission: bool = False


class StartTimer(NamedTuple):
    """Call ``timer_fired`` after ``delay_s``; a running timer of this name stops."""

    timer: Timer
    delay_s: float


class StopTimer(NamedTuple):
    """Forget a timer; it may not be running."""

    timer: Timer


class Deliver(NamedTuple):
    """Hand a message to the transaction user."""

    message: Request | Response


@dataclass(frozen=True, slots=True)
class Failed:
    """Tell the transaction user that no final response will come."""

    reason: str
    timed_out: bool


@dataclass(frozen=True, slots=True)
class Terminated:
    """The transaction is over; its timers are stopped."""


TransactionEffect: TypeAlias = (
    Send | StartTimer | StopTimer | Deliver | Failed | Terminated
)


class Transaction:
    """One run of a table; knows its messages, but not where they go.

    Attributes:
        last_response: What a server repeats; None when nothing can ask for it.
    """

    __slots__ = (
        "_ack",
        "_intervals",
        "_method",
        "_reliable",
        "_request",
        "_table",
        "_timers",
        "last_response",
        "state",
    )

    def __init__(
        self,
        table: Table,
        request: Request,
        timers: SipTimers,
        *,
        reliable: bool,
    ) -> None:
        self._table = table
        self.state = next(iter(table))[0]
        self._method = request.method
        self._request: Request | None = request
        self._timers = timers
        self._reliable = reliable
        self._intervals: dict[Timer, float] = {}
        self.last_response: Response | None = None
        self._ack: Request | None = None

    @property
    def is_terminated(self) -> bool:
        """True when nothing can happen any more."""
        return self.state is State.TERMINATED

    def has_seen(self, message: Request | Response) -> bool:
        """Say whether an incoming message repeats an earlier one."""
        if isinstance(message, Response):
            return self.state in {State.COMPLETED, State.ACCEPTED}
        return message.method != "ACK" or self.state is State.CONFIRMED

    def start(self) -> list[TransactionEffect]:
        """Client: send the request. Server: deliver it."""
        return self._step(Input.START, self._request)

    def receive_response(self, response: Response) -> list[TransactionEffect]:
        """Client: a response with this transaction's branch came in."""
        return self._step(_received(response.status), response)

    def receive_request(self, request: Request) -> list[TransactionEffect]:
        """Server: a retransmission, or the ACK of an INVITE."""
        kind = Input.RECEIVE_ACK if request.method == "ACK" else (Input.RECEIVE_REQUEST)
        return self._step(kind, request)

    def respond(self, response: Response) -> list[TransactionEffect]:
        """Server: send a response.

        Raises:
            LocalProtocolError: The state forbids it, as 180 after 200.
        """
        kind = _sending(response.status)
        self._require(kind)
        self.last_response = response
        return self._step(kind, response)

    def timer_fired(self, timer: Timer) -> list[TransactionEffect]:
        """A timer ran out; one that was stopped meanwhile does nothing."""
        if timer not in self._intervals:
            return []
        return self._step(timer, None)

    def transport_failed(self, reason: str) -> list[TransactionEffect]:
        """A message of this transaction could not be sent."""
        return self._step(Input.TRANSPORT_ERROR, None, reason)

    def cancelled(self) -> list[TransactionEffect]:
        """Client: the CANCEL of this INVITE goes out."""
        return self._step(Input.SEND_CANCEL, None)

    def cancel_failed(self, reason: str) -> list[TransactionEffect]:
        """Client: the CANCEL of this INVITE could not be sent."""
        return self._step(Input.CANCEL_ERROR, None, reason)

    def _require(self, cause: Input | Timer) -> None:
        if (self.state, cause) not in self._table:
            raise LocalProtocolError(
                f"{self._method} transaction: {cause.name} in {self.state.name}"
            )

    def _step(
        self,
        cause: Input | Timer,
        message: Request | Response | None,
        reason: str = "",
    ) -> list[TransactionEffect]:
        if self.is_terminated:
            return []
        self._require(cause)
        self.state, actions = self._table[self.state, cause]
        effects: list[TransactionEffect] = []
        for action in actions:
            if isinstance(action, Do):
                self._do(action, message, reason, effects)
            else:
                self._set_timer(action, effects)
        if self.state in _LINGERING:
            self._release()
        if self.state is State.TERMINATED:
            effects += [StopTimer(timer) for timer in self._intervals]
            self._intervals.clear()
            effects.append(Terminated())
        return effects

    def _release(self) -> None:
        """Drop the messages that nothing can ask for any more.

        At 400 calls/s there are 25,000 lingering transactions.
        """
        self._request = None
        if self.state is not State.COMPLETED:
            self.last_response = None

    def _do(
        self,
        action: Do,
        message: Request | Response | None,
        reason: str,
        effects: list[TransactionEffect],
    ) -> None:
        match action:
            case Do.SEND_REQUEST:
                assert self._request is not None
                effects.append(Send(self._request))
            case Do.RESEND_REQUEST:
                assert self._request is not None
                effects.append(Send(self._request, is_retransmission=True))
            case Do.SEND_ACK:
                assert isinstance(message, Response) and self._request is not None
                self._ack = make_ack_for_failure(self._request, message)
                effects.append(Send(self._ack))
            case Do.RESEND_ACK:
                assert self._ack is not None
                effects.append(Send(self._ack, is_retransmission=True))
            case Do.SEND_RESPONSE:
                assert message is not None
                effects.append(Send(message))
            case Do.RESEND_RESPONSE:
                if self.last_response is not None:
                    effects.append(Send(self.last_response, is_retransmission=True))
            case Do.DELIVER:
                assert message is not None
                effects.append(Deliver(message))
            case Do.REPORT_TIMEOUT:
                effects.append(Failed(self._what_never_came(), True))
            case Do.REPORT_TRANSPORT_ERROR:
                effects.append(Failed(reason, False))

    def _what_never_came(self) -> str:
        if Timer.CANCELLED in self._intervals:
            return f"no final response within {self._timers.timeout_s} s of the CANCEL"
        if Timer.C in self._intervals:
            return f"no final response within {self._timers.c_s} s"
        return f"no response within {self._timers.timeout_s} s"

    def _set_timer(
        self, action: Start | Again | AtT2 | Stop, effects: list[TransactionEffect]
    ) -> None:
        timer = action.timer
        if isinstance(action, Stop):
            if self._intervals.pop(timer, None) is not None:
                effects.append(StopTimer(timer))
            return
        if self._reliable and timer in _RETRANSMIT_TIMERS:
            return
        delay_s = self._interval_s(action)
        if delay_s == 0:
            # D, I, J and K on a reliable transport: nothing can be retransmitted.
            self.state = State.TERMINATED
            return
        self._intervals[timer] = delay_s
        effects.append(StartTimer(timer, delay_s))

    def _interval_s(self, action: Start | Again | AtT2) -> float:
        if isinstance(action, Start):
            return self._timers.initial_s(action.timer, reliable=self._reliable)
        if isinstance(action, Again):
            return self._timers.next_s(action.timer, self._intervals[action.timer])
        return self._timers.t2_s


def client_table(method: str) -> Table:
    """Return the machine of a request that we send."""
    return INVITE_CLIENT if method == "INVITE" else NON_INVITE_CLIENT


def server_table(method: str) -> Table:
    """Return the machine of a request that we received."""
    return INVITE_SERVER if method == "INVITE" else NON_INVITE_SERVER


def _received(status: int) -> Input:
    if status < 200:
        return Input.RECEIVE_1XX
    return Input.RECEIVE_2XX if status < 300 else Input.RECEIVE_3XX_TO_6XX


def _sending(status: int) -> Input:
    if status < 200:
        return Input.SEND_1XX
    return Input.SEND_2XX if status < 300 else Input.SEND_3XX_TO_6XX


def make_ack_for_failure(invite: Request, response: Response) -> Request:
    """Return the ACK of a final response of 300 or above (RFC 3261 §17.1.1.3)."""
    return _sibling(invite, "ACK", response.headers.get("To") or "")


def make_cancel(invite: Request) -> Request:
    """Return the CANCEL of an INVITE (RFC 3261 §9.1)."""
    return _sibling(invite, "CANCEL", invite.headers.get("To") or "")


def _sibling(invite: Request, method: str, to: str) -> Request:
    """Same Via, Route and From as the INVITE; another method, perhaps a To tag."""
    headers = invite.headers
    items = [
        ("Via", headers.values("Via")[0]),
        *(("Route", route) for route in headers.all("Route")),
        ("Max-Forwards", "70"),
        ("From", headers.get("From") or ""),
        ("To", to),
        ("Call-ID", invite.call_id),
        ("CSeq", f"{invite.cseq.number} {method}"),
    ]
    items += [
        (name, value)
        for name, value in headers
        if name in {"User-Agent", "Authorization", "Proxy-Authorization"}
    ]
    return Request(method, invite.uri, Headers.of_canonical(items))
