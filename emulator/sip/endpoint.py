"""The asyncio shell: sockets, timers and sessions around the pure user agent.

It carries effects out in order. Whatever goes wrong while one message is handled is
logged and ends there: the transport and all other calls go on.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from emulator.clock import Clock
from emulator.errors import LocalProtocolError
from emulator.ids import IdSource
from emulator.sip.address import SourceAddress, Target
from emulator.sip.agent import UserAgent
from emulator.sip.effects import (
    Announce,
    ClearTimer,
    Completed,
    Effect,
    Emit,
    SendMessage,
    SetTimer,
    TimerKey,
    TransactionId,
)
from emulator.sip.errors import RequestFailed, SessionStateError, SipParseError
from emulator.sip.events import InfoReceived, Provisional, SessionEnded, SessionEvent
from emulator.sip.invite import InviteSession
from emulator.sip.message import Message, Request, Response, parse_message
from emulator.sip.options import SipOptions
from emulator.sip.registrar import Binding
from emulator.sip.session import (
    CallSession,
    IncomingInvite,
    OutgoingInvite,
    OutgoingRequest,
)
from emulator.sip.trace import Direction, SipTrace
from emulator.sip.transport.interfaces import own_networks
from emulator.sip.transport.sockets import BoundListener, SipTransport
from emulator.sip.transport.timers import Timers

__all__ = ["BoundListener", "EventMailbox", "SipEndpoint"]

logger = logging.getLogger(__name__)

OnInvite = Callable[[IncomingInvite], None]
Observe = Callable[[SipTrace], None]
_SHUTDOWN_REASON = ("Reason", 'SIP;cause=503;text="the emulator is stopping"')


class EventMailbox:
    """The events of one session that nobody has read yet."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # A handful at most, and a deque is dear when it is empty.
        self._events: list[SessionEvent] = []
        self._arrived = asyncio.Event()

    def put(self, event: SessionEvent) -> None:
        """Add an event; beyond the limit those that a peer can repeat are dropped."""
        is_optional = isinstance(event, InfoReceived | Provisional)
        if is_optional and len(self._events) >= self._limit:
            logger.warning("dropping %s: nobody reads them", type(event).__name__)
            return
        self._events.append(event)
        self._arrived.set()

    async def get(self) -> SessionEvent:
        """Return the oldest event; ``SessionEnded`` stays for the next reader."""
        while not self._events:
            self._arrived.clear()
            await self._arrived.wait()
        if isinstance(self._events[0], SessionEnded):
            return self._events[0]
        return self._events.pop(0)


class SipEndpoint:
    """A SIP user agent on one address: takes and places calls.

    Callbacks run on the loop. When ``on_invite`` raises, that call is answered with
    500 and the error logged; no other call notices.

    Args:
        on_invite: Called for every new call, which has been answered with 100 so far.
        observe: Called for every SIP message, also outside calls.
    """

    def __init__(
        self,
        options: SipOptions,
        clock: Clock,
        ids: IdSource,
        *,
        on_invite: OnInvite,
        observe: Observe | None = None,
    ) -> None:
        self._options = options
        self._clock = clock
        self._ids = ids
        self._on_invite = on_invite
        self._observe = observe
        self._transport = SipTransport(
            options, clock, self._receive, lambda: self._agent.connections_in_use
        )
        self._started_agent: UserAgent | None = None
        self._listeners: tuple[BoundListener, ...] = ()
        self._mailboxes: dict[int, EventMailbox] = {}
        self._requests: dict[int, asyncio.Future[Response]] = {}
        self._timers = Timers(clock, self._timer_fired)
        self._effects: deque[Effect] = deque()
        self._is_performing = False
        self._all_ended = asyncio.Event()

    # --- life ---

    async def start(self) -> tuple[BoundListener, ...]:
        """Open the sockets.

        Raises:
            ListenError: Names the address, the port and the setting.
        """
        listeners = self._listeners = await self._transport.start()
        # The first listener of each transport is the one that Contact names.
        ports = {entry.transport: entry.port for entry in reversed(listeners)}
        networks = self._options.networks or own_networks()
        self._started_agent = UserAgent(self._options, networks, ports, self._ids)
        return listeners

    def stop_accepting(self) -> None:
        """Answer new calls with 503 and Retry-After from now on."""
        self._agent.stop_accepting()

    async def stop(self, deadline_s: float) -> None:
        """End what is left of calls, wait for their BYEs, close everything.

        Args:
            deadline_s: How long to wait for answers to BYE and CANCEL.
        """
        if self._started_agent is not None:
            self.stop_accepting()
            for session in self._agent.sessions:
                self._act(session, session.hang_up([_SHUTDOWN_REASON]))
            await self._wait_for_sessions(deadline_s)
            for session in self._agent.sessions:
                # Nobody may wait for events of a closed endpoint.
                self._perform(self._agent.act(session, session.abandon()))
        self._timers.close()
        for outcome in self._requests.values():
            outcome.cancel()
        await self._transport.close()

    async def _wait_for_sessions(self, deadline_s: float) -> None:
        try:
            async with asyncio.timeout(deadline_s):
                while self._agent.session_count:
                    self._all_ended.clear()
                    await self._all_ended.wait()
        except TimeoutError:
            left = self._agent.session_count
            logger.warning("%d SIP sessions had not ended after %s s", left, deadline_s)

    # --- calls ---

    def place_call(self, outgoing: OutgoingInvite) -> CallSession:
        """Send an INVITE; what comes of it arrives as events of the session.

        Raises:
            SipParseError: The target is no SIP URI.
        """
        session, effects = self._agent.place_call(outgoing)
        handle = self._handle(session)
        self._perform(effects)
        return handle

    def advertised_ip_towards(self, host: str, dialled: str | None = None) -> str:
        """Return the address that SDP of an outgoing call to ``host`` should name.

        Args:
            dialled: As ``OutgoingInvite.dialled``.
        """
        return self._agent.advertised_ip_towards(host, dialled)

    @property
    def loopback(self) -> Target:
        """Where a call to ourselves goes: a listener of ours, by a local address."""
        plain = [heard for heard in self._listeners if heard.transport != "tls"]
        listener = (plain or self._listeners)[0]
        any_address = ipaddress.ip_address(listener.ip).is_unspecified
        host = "127.0.0.1" if any_address else listener.ip
        return Target(listener.transport, host, listener.port)

    async def send_request(self, outgoing: OutgoingRequest) -> Response:
        """Send a request outside calls and return its final response.

        Raises:
            SipParseError: The target is no SIP URI.
            RequestFailed: No final response came.
        """
        serial, effects = self._agent.send_request(outgoing)
        outcome: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._requests[serial] = outcome
        self._perform(effects)
        try:
            return await outcome
        finally:
            self._requests.pop(serial, None)

    def bindings(self, user: str) -> list[Binding]:
        """Return where a user is registered, the preferred phone first.

        Call it by ``OutgoingInvite(str(binding.contact), next_hop=binding.target,
        dialled=binding.dialled, ...)``.
        """
        return self._agent.bindings(user, self._clock.monotonic_s())

    @property
    def is_quiet(self) -> bool:
        """True when no call is up and none lingers."""
        return not self._timers and not self._mailboxes

    def counts(self) -> Mapping[str, int]:
        """Return what is open: all zero once everything has ended and lingered."""
        return {
            **self._agent.counts(self._clock.monotonic_s()),
            "connections": self._transport.connection_count,
            "timers": len(self._timers),
            "mailboxes": len(self._mailboxes),
        }

    @property
    def _agent(self) -> UserAgent:
        if self._started_agent is None:
            raise LocalProtocolError("the SIP endpoint has not been started")
        return self._started_agent

    def _handle(self, session: InviteSession) -> CallSession:
        mailbox = EventMailbox(self._options.limits.max_pending_events)
        self._mailboxes[session.serial] = mailbox
        return CallSession(session, mailbox, partial(self._act, session))

    def _act(self, session: InviteSession, effects: list[Effect]) -> None:
        self._perform(self._agent.act(session, effects))

    # --- messages and timers in ---

    def _receive(self, data: bytes, source: SourceAddress) -> None:
        message = None
        try:
            message = parse_message(data, max_headers=self._options.limits.max_headers)
            self._trace_received(message, data, source)
            now_s = self._clock.monotonic_s()
            self._perform(self._agent.receive(message, source, now_s))
        except SipParseError as error:
            logger.info("%s from %s", error, source)
            self._perform(self._agent.receive_malformed(error, source))
        except Exception:
            logger.exception("handling a message from %s failed", source)
            if isinstance(message, Request):
                self._perform(self._agent.fail(message))

    def _timer_fired(self, key: TimerKey) -> None:
        try:
            self._perform(self._agent.timer_fired(key))
        except Exception:
            logger.exception("timer %s failed", key)

    def _send_failed(self, transaction: TransactionId | None, reason: str) -> None:
        logger.info("cannot send: %s", reason)
        if transaction is not None:
            self._perform(self._agent.transport_failed(transaction, reason))

    # --- effects out ---

    def _perform(self, effects: Iterable[Effect]) -> None:
        """Carry out in order, also what callbacks add meanwhile."""
        self._effects.extend(effects)
        if self._is_performing:
            return
        self._is_performing = True
        try:
            while self._effects:
                self._carry_out(self._effects.popleft())
        finally:
            self._is_performing = False
        if not self._agent.session_count:
            self._all_ended.set()

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case SendMessage(message, target, transaction, is_retransmission):
                data = message.to_bytes()
                self._trace(Direction.SENT, message, data, target, is_retransmission)
                failed = partial(self._send_failed, transaction)
                self._transport.send(data, target, failed)
            case SetTimer(key, delay_s):
                self._timers.set(key, delay_s)
            case ClearTimer(key):
                self._timers.clear(key)
            case Announce(session, request, source):
                self._announce(session, request, source)
            case Emit(serial, event):
                self._emit(serial, event)
            case Completed(serial, response, reason):
                self._complete(serial, response, reason)
            case _:
                raise LocalProtocolError(f"{effect} was not meant for the shell")

    def _announce(
        self, session: InviteSession, request: Request, source: SourceAddress
    ) -> None:
        handle = self._handle(session)
        try:
            self._on_invite(IncomingInvite(request, source, handle, request.sdp))
        except Exception:
            logger.exception("the application failed on call %s", request.call_id)
            self._refuse(handle)

    def _refuse(self, handle: CallSession) -> None:
        try:
            handle.reject(500)
        except SessionStateError:
            handle.hang_up()

    def _emit(self, serial: int, event: SessionEvent) -> None:
        mailbox = self._mailboxes.get(serial)
        if mailbox is None:
            return
        mailbox.put(event)
        if isinstance(event, SessionEnded):
            # The handle keeps the mailbox for its reader.
            del self._mailboxes[serial]

    def _complete(self, serial: int, response: Response | None, reason: str) -> None:
        outcome = self._requests.get(serial)
        if outcome is None or outcome.done():
            return
        if response is None:
            outcome.set_exception(RequestFailed(reason))
        else:
            outcome.set_result(response)

    # --- traces ---

    def _trace_received(
        self, message: Message, data: bytes, source: SourceAddress
    ) -> None:
        if self._observe is not None:
            is_retransmission = self._agent.has_seen(message)
            self._trace(Direction.RECEIVED, message, data, source, is_retransmission)

    def _trace(
        self,
        direction: Direction,
        message: Message,
        data: bytes,
        remote: SourceAddress | Target,
        is_retransmission: bool,
    ) -> None:
        if self._observe is None:
            return
        trace = SipTrace(
            direction,
            message.summary,
            data,
            remote,
            self._clock.monotonic_s(),
            message.headers.get("Call-ID") or "",
            is_retransmission,
        )
        try:
            self._observe(trace)
        except Exception:
            logger.exception("the observer of SIP messages failed")
