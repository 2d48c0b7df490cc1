"""The user agent core: which session a message belongs to (RFC 3261 §8, §12.2.2).

Pure: messages, timers and verbs in, effects for the shell out. It owns the
transactions, the sessions and the table of dialogs between them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from emulator.errors import ProtocolError
from emulator.ids import IdSource
from emulator.sip.address import DEFAULT_PORTS, SourceAddress, Target, Transport
from emulator.sip.dialog import DialogId, dialog_id_of
from emulator.sip.effects import (
    Announce,
    ClearTimer,
    DialogChanged,
    Effect,
    Respond,
    SendMessage,
    SetTimer,
    StartRequest,
    TimerKey,
    TransactionId,
    TransactionTimer,
    TransactionUser,
)
from emulator.sip.errors import SipParseError
from emulator.sip.invite import InviteSession, SessionSettings
from emulator.sip.message import Message, Request, Response
from emulator.sip.nat import advertised_ip, observed_target, target_of_uri
from emulator.sip.options import OwnNetworks, SipOptions
from emulator.sip.outside import OutsideRequests
from emulator.sip.oversize import OversizeRequests
from emulator.sip.party import METHODS, LocalParty, Reply, because, tolerant_response
from emulator.sip.registrar import Binding
from emulator.sip.request import RequestUsage
from emulator.sip.screening import objection_from, objection_to
from emulator.sip.session import OutgoingInvite, OutgoingRequest
from emulator.sip.transactions import (
    AckArrived,
    Outcome,
    RequestArrived,
    ResponseArrived,
    TransactionEnded,
    TransactionFailed,
    TransactionLayer,
    client_id,
    invite_id_of_cancel,
    server_id,
)
from emulator.sip.uac import UacSession
from emulator.sip.uas import UasSession
from emulator.sip.uri import parse_sip_uri

_NO_DIALOG = because("there is no such dialog: its tags and Call-ID are unknown")


class UserAgent:
    """One SIP user agent, both roles.

    Args:
        networks: Where this host is attached.
        ports: The listening port of every transport in use.
    """

    def __init__(
        self,
        options: SipOptions,
        networks: OwnNetworks,
        ports: Mapping[Transport, int],
        ids: IdSource,
    ) -> None:
        self._options = options
        self._networks = networks
        self._ids = ids
        methods = served_methods(options)
        self._party = LocalParty(options.user_agent, ports, methods)
        self._outside = OutsideRequests(options, networks, self._party, ids)
        self._settings = SessionSettings(
            self._party,
            ids,
            options.timers,
            options.keepalive_s,
        )
        self._layer = TransactionLayer(options.timers)
        self._oversize = OversizeRequests(options.limits.max_udp_request_bytes)
        self._sessions: dict[int, InviteSession] = {}
        self._dialogs: dict[DialogId, InviteSession] = {}
        self._dialogs_of: dict[int, set[DialogId]] = {}
        self._users: dict[TransactionId, TransactionUser] = {}
        # The instant of the input that is being handled.
        self._now_s = 0.0
        self._last_serial = 0
        self._is_accepting = True

    # --- what the shell may look at ---

    def counts(self, now_s: float) -> dict[str, int]:
        """Return what is open: all zero once everything has ended and lingered."""
        return {
            "transactions": len(self._layer),
            **self._layer.counts(),
            "dialogs": len(self._dialogs),
            "sessions": len(self._sessions),
            "registrations": self._outside.registrations(now_s),
        }

    @property
    def connections_in_use(self) -> set[int]:
        """Connections that open sessions rely on."""
        found = {s.connection for s in self._sessions.values()}
        return {connection for connection in found if connection is not None}

    @property
    def sessions(self) -> list[InviteSession]:
        """Every session that is not over."""
        return list(self._sessions.values())

    @property
    def session_count(self) -> int:
        """Sessions that are not over."""
        return len(self._sessions)

    def has_seen(self, message: Message) -> bool:
        """Say whether an incoming message repeats an earlier one."""
        return self._layer.has_seen(message)

    def advertised_ip_towards(self, peer: str, dialled: str | None = None) -> str:
        """Return the address that ``peer`` should be told; see ``nat``."""
        return advertised_ip(
            self._networks,
            peer,
            configured=self._options.advertise_address,
            dialled=dialled,
            bind_ip=self._options.bind_ip,
        )

    # --- inputs ---

    def bindings(self, user: str, now_s: float) -> list[Binding]:
        """Return where a user is registered, the preferred phone first."""
        return self._outside.bindings(user, now_s)

    def receive(
        self, message: Message, source: SourceAddress, now_s: float
    ) -> list[Effect]:
        """Handle a message that was parsed without error."""
        self._now_s = now_s
        if isinstance(message, Response):
            return self._carry(self._layer.receive_response(message, source))
        request = message.received_from(source.ip, source.port)
        reply_to = reply_target(request, source)
        if self._is_full(request):
            most = self._options.limits.max_transactions
            busy = self._outside.busy(f"sip.limits.max_transactions is {most}")
            response = self._party.response(request, 503, headers=busy.headers)
            return [SendMessage(response, reply_to, None)]
        return self._carry(self._layer.receive_request(request, source, reply_to))

    def receive_malformed(
        self, error: SipParseError, source: SourceAddress
    ) -> list[Effect]:
        """Answer what can be answered, without state; drop the rest."""
        request = error.request
        if request is None or request.method == "ACK":
            return []
        try:
            request = request.received_from(source.ip, source.port)
            reply_to = reply_target(request, source)
        except SipParseError:
            reply_to = source.as_target()
        response = tolerant_response(self._party, request, error)
        return [SendMessage(response, reply_to, None)]

    def fail(self, request: Request) -> list[Effect]:
        """Answer 500: handling the request raised an error that is our own."""
        try:
            key = server_id(request)
            if key not in self._layer:
                return []
            return self._reply(key, request, 500)
        except ProtocolError:
            return []

    def timer_fired(self, key: TimerKey) -> list[Effect]:
        """A timer that was set ran out."""
        if isinstance(key, TransactionTimer):
            return self._carry(self._layer.timer_fired(key))
        session = self._sessions.get(key.serial)
        return (
            [] if session is None else self.act(session, session.timer_fired(key.name))
        )

    def transport_failed(self, key: TransactionId, reason: str) -> list[Effect]:
        """A message of a transaction could not be sent."""
        outcomes = self._layer.transport_failed(key, reason)
        smaller = self._oversize.take_back(key)
        if smaller is None:
            return self._carry(outcomes)
        # Nobody hears of the failure: the same transaction begins anew by UDP.
        stopped = [outcome for outcome in outcomes if isinstance(outcome, ClearTimer)]
        _, started = self._layer.send_request(*smaller)
        return self._carry([*stopped, *started])

    def place_call(
        self, outgoing: OutgoingInvite
    ) -> tuple[InviteSession, list[Effect]]:
        """Open a session that calls somebody.

        Raises:
            SipParseError: The target is no SIP URI.
        """
        target = outgoing.next_hop or self._target_of(outgoing)
        ip = self.advertised_ip_towards(target.host, outgoing.dialled)
        session = UacSession(self._next_serial(), self._settings, outgoing, target, ip)
        self._sessions[session.serial] = session
        return session, self.act(session, session.start())

    def send_request(self, outgoing: OutgoingRequest) -> tuple[int, list[Effect]]:
        """Send a request outside dialogs; ``Completed`` with this number follows.

        Raises:
            SipParseError: The target is no SIP URI.
        """
        target = outgoing.next_hop or self._target_of(outgoing)
        ip = self.advertised_ip_towards(target.host, outgoing.dialled)
        serial = self._next_serial()
        usage = RequestUsage(serial, self._settings, outgoing, target, ip)
        return serial, self.act(usage, usage.start())

    def act(self, user: TransactionUser, effects: Iterable[Effect]) -> list[Effect]:
        """Carry out what a session wants; what is left is for the shell."""
        out: list[Effect] = []
        pending = deque(effects)
        while pending:
            effect = pending.popleft()
            match effect:
                case Respond(key, response):
                    out += self._carry(self._layer.respond(key, response))
                case StartRequest(sender, request, target):
                    if self._is_full(request):
                        pending.extend(self._not_started(sender, request))
                    else:
                        out += self._start_request(sender, request, target)
                case DialogChanged(changed):
                    self._index_dialogs(changed)
                case _:
                    out.append(effect)
        if user.is_ended:
            self._forget(user)
        return out

    def stop_accepting(self) -> None:
        """Refuse new calls from now on."""
        self._is_accepting = False

    # --- arrivals from the transaction layer ---

    def _carry(self, outcomes: Iterable[Outcome]) -> list[Effect]:
        effects: list[Effect] = []
        for outcome in outcomes:
            match outcome:
                case SendMessage() | SetTimer() | ClearTimer():
                    effects.append(outcome)
                case RequestArrived(key, request, source):
                    effects += self._request_arrived(key, request, source)
                case AckArrived(request, source):
                    effects += self._ack_arrived(request)
                case ResponseArrived(key, response, source):
                    effects += self._response_arrived(key, response, source)
                case TransactionFailed(key, reason, timed_out):
                    effects += self._transaction_failed(key, reason, timed_out)
                case TransactionEnded(key):
                    self._users.pop(key, None)
                    self._oversize.forget(key)
        return effects

    def _request_arrived(
        self, key: TransactionId, request: Request, source: SourceAddress
    ) -> list[Effect]:
        if request.method == "CANCEL":
            return self._cancel_arrived(key, request)
        if self._layer.is_merged(key):
            why = because("the same request came by two ways")
            return self._reply(key, request, 482, [why])
        objection = objection_to(
            request, self._party.methods, self._options.min_session_expires_s
        )
        if objection is not None:
            return self._reply_with(key, request, objection)
        if request.to.tag is not None:
            return self._in_dialog(key, request)
        match request.method:
            case "INVITE":
                return self._new_call(key, request, source)
            case "OPTIONS":
                reply = self._outside.options(is_accepting=self._is_accepting)
                return self._reply_with(key, request, reply)
            case "REGISTER":
                reply = self._outside.register(request, source, self._now_s)
                return self._reply_with(key, request, reply)
            case _:
                return self._reply(key, request, 481, [_NO_DIALOG])

    def _in_dialog(self, key: TransactionId, request: Request) -> list[Effect]:
        session = self._dialogs.get(dialog_id_of(request))
        if session is None:
            return self._reply(key, request, 481, [_NO_DIALOG])
        try:
            effects = session.receive_request(key, request)
        except SipParseError as error:
            return self._reply_with(key, request, objection_from(error))
        return self.act(session, effects)

    def _new_call(
        self, key: TransactionId, request: Request, source: SourceAddress
    ) -> list[Effect]:
        if not self._is_accepting:
            return self._reply_with(key, request, self._outside.busy())
        most = self._options.limits.max_dialogs
        if len(self._dialogs) >= most:
            busy = self._outside.busy(f"sip.limits.max_dialogs is {most}")
            return self._reply_with(key, request, busy)
        ip = self.advertised_ip_towards(source.ip, request.sip_uri.host)
        try:
            session = UasSession(
                self._next_serial(),
                self._settings,
                key,
                request,
                source,
                ip,
                self._observed(request, source),
            )
        except SipParseError as error:
            return self._reply_with(key, request, objection_from(error))
        self._sessions[session.serial] = session
        self._users[key] = session
        self._index_dialogs(session)
        trying = self._reply(key, request, 100)
        started = self.act(session, session.start())
        return [*trying, *started, Announce(session, request, source)]

    def _cancel_arrived(self, key: TransactionId, cancel: Request) -> list[Effect]:
        """RFC 3261 §9.2: 200 when the INVITE is known, whatever becomes of it."""
        invite_key = invite_id_of_cancel(cancel)
        if invite_key not in self._layer:
            why = because("there is no INVITE with this branch")
            return self._reply(key, cancel, 481, [why])
        effects = self._reply(key, cancel, 200, to_tag=self._tag_in(invite_key))
        session = self._users.get(invite_key) or self._dialogs.get(dialog_id_of(cancel))
        if isinstance(session, InviteSession):
            effects += self.act(session, session.cancel(invite_key, cancel))
        return effects

    def _tag_in(self, invite_key: TransactionId) -> str | None:
        """Return the To tag of our responses to an INVITE, also of those to come."""
        user = self._users.get(invite_key)
        if isinstance(user, UasSession):
            return user.dialog.id.local_tag
        return self._layer.to_tag(invite_key)

    def _ack_arrived(self, ack: Request) -> list[Effect]:
        session = self._dialogs.get(dialog_id_of(ack))
        return [] if session is None else self.act(session, session.receive_ack(ack))

    def _response_arrived(
        self, key: TransactionId, response: Response, source: SourceAddress
    ) -> list[Effect]:
        session = self._users.get(key)
        if session is None:
            return []
        return self.act(session, session.receive_response(key, response, source))

    def _transaction_failed(
        self, key: TransactionId, reason: str, timed_out: bool
    ) -> list[Effect]:
        session = self._users.get(key)
        if session is None:
            return []
        return self.act(
            session, session.transaction_failed(key, reason, timed_out=timed_out)
        )

    # --- replies ---

    def _reply(
        self,
        key: TransactionId,
        request: Request,
        status: int,
        headers: Iterable[tuple[str, str]] = (),
        to_tag: str | None = None,
    ) -> list[Effect]:
        tag = None if status == 100 else to_tag or self._ids.tag()
        response = self._party.response(request, status, to_tag=tag, headers=headers)
        return self._carry(self._layer.respond(key, response))

    def _reply_with(
        self, key: TransactionId, request: Request, reply: Reply
    ) -> list[Effect]:
        return self._reply(key, request, reply.status, reply.headers)

    # --- bookkeeping ---

    def _start_request(
        self, user: TransactionUser | None, request: Request, target: Target
    ) -> list[Effect]:
        key, outcomes = self._layer.send_request(*self._oversize.place(request, target))
        if user is not None:
            self._users[key] = user
        return self._carry(outcomes)

    def _not_started(
        self, user: TransactionUser | None, request: Request
    ) -> Iterable[Effect]:
        """Tell a request's sender that there is no room for its transaction."""
        if user is None:
            return ()
        most = self._options.limits.max_transactions
        reason = (
            f"too many SIP requests at once (sip.limits.max_transactions is {most})"
        )
        key = client_id(request.via.branch or "", request.method)
        return user.transaction_failed(key, reason, timed_out=False)

    def _index_dialogs(self, session: InviteSession) -> None:
        self._unindex_dialogs(session.serial)
        ids = session.dialog_ids
        self._dialogs_of[session.serial] = ids
        self._dialogs.update(dict.fromkeys(ids, session))

    def _unindex_dialogs(self, serial: int) -> None:
        for dialog_id in self._dialogs_of.pop(serial, ()):
            self._dialogs.pop(dialog_id, None)

    def _forget(self, user: TransactionUser) -> None:
        self._unindex_dialogs(user.serial)
        self._sessions.pop(user.serial, None)
        if isinstance(user, UasSession):
            # Its INVITE transaction lingers for 32 s and needs it no more.
            self._users.pop(user.transaction, None)

    def _next_serial(self) -> int:
        self._last_serial += 1
        return self._last_serial

    def _is_full(self, request: Request) -> bool:
        if request.method in {"ACK", "CANCEL", "BYE"}:
            return False
        return len(self._layer) >= self._options.limits.max_transactions

    def _observed(self, request: Request, source: SourceAddress) -> Target | None:
        if self._options.nat == "off" and source.connection is None:
            return None
        return observed_target(request, source)

    def _target_of(self, outgoing: OutgoingInvite | OutgoingRequest) -> Target:
        default = outgoing.transport or "udp"
        target = target_of_uri(parse_sip_uri(outgoing.target), default)
        if outgoing.transport is None or outgoing.transport == target.transport:
            return target
        return Target(outgoing.transport, target.host, target.port)


def served_methods(options: SipOptions) -> tuple[str, ...]:
    """Return what Allow names."""
    registers = ("REGISTER",) if options.users else ()
    refers = ("REFER",) if options.accept_refer else ()
    return (*METHODS, *registers, *refers)


def reply_target(request: Request, source: SourceAddress) -> Target:
    """Return where responses go (RFC 3261 §18.2.2, RFC 3581 §4).

    The same connection; else the source port if ``rport`` asks for it; else the port
    of the Via at the observed address.
    """
    via = request.via
    port = via.port or DEFAULT_PORTS[source.transport]
    if source.connection is None and "rport" in via.params:
        port = source.port
    return Target(source.transport, source.ip, port, source.connection)
