"""All open transactions: matches messages to them and runs them (RFC 3261 §17).

What a transaction hands up comes back as an *arrival*, beside the effects for the
shell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from emulator.errors import LocalProtocolError
from emulator.ids import BRANCH_MAGIC_COOKIE
from emulator.sip.address import SourceAddress, Target, is_reliable
from emulator.sip.effects import (
    ClearTimer,
    SendMessage,
    SetTimer,
    TransactionId,
    TransactionTimer,
)
from emulator.sip.message import Request, Response
from emulator.sip.timers import SipTimers
from emulator.sip.transaction import (
    Deliver,
    Failed,
    Send,
    StartTimer,
    StopTimer,
    Terminated,
    Transaction,
    TransactionEffect,
    client_table,
    server_table,
)

# (is it ours, is it an INVITE) -> the RFC's name of the machine.
_KINDS: Final = {
    (True, True): "invite_client",
    (True, False): "non_invite_client",
    (False, True): "invite_server",
    (False, False): "non_invite_server",
}
_MERGE_SCOPE_ENDS: Final = ("ACK", "CANCEL")


class RequestArrived(NamedTuple):
    """A new request; its server transaction waits for a response."""

    transaction: TransactionId
    request: Request
    source: SourceAddress


class AckArrived(NamedTuple):
    """The ACK of a 2xx, which belongs to no transaction."""

    request: Request
    source: SourceAddress


class ResponseArrived(NamedTuple):
    """A response to a request of ours."""

    transaction: TransactionId
    response: Response
    source: SourceAddress


@dataclass(frozen=True, slots=True)
class TransactionFailed:
    """A transaction ended without the message it waited for."""

    transaction: TransactionId
    reason: str
    timed_out: bool


class TransactionEnded(NamedTuple):
    """Forget the transaction."""

    transaction: TransactionId


Arrival: TypeAlias = (
    RequestArrived | AckArrived | ResponseArrived | TransactionFailed | TransactionEnded
)
Outcome: TypeAlias = Arrival | SendMessage | SetTimer | ClearTimer


class _Open(NamedTuple):
    """A running transaction and where its messages go."""

    transaction: Transaction
    target: Target
    merge_key: tuple[str, ...] | None


class TransactionLayer:
    """The tables of open transactions, client and server."""

    def __init__(self, timers: SipTimers) -> None:
        self._timers = timers
        self._open: dict[TransactionId, _Open] = {}
        # (From tag, Call-ID, CSeq) of open server transactions, for 482.
        self._merge_keys: dict[tuple[str, ...], TransactionId] = {}

    def __len__(self) -> int:
        return len(self._open)

    def counts(self) -> dict[str, int]:
        """Return how many of each kind are open; lingering ones count."""
        kinds = dict.fromkeys(_KINDS.values(), 0)
        for key in self._open:
            kinds[_KINDS[key.is_client, key.method == "INVITE"]] += 1
        return kinds

    def __contains__(self, key: TransactionId) -> bool:
        return key in self._open

    def has_seen(self, message: Request | Response) -> bool:
        """Say whether an incoming message is a retransmission."""
        if isinstance(message, Request):
            known = self._open.get(server_id(message))
        else:
            key = client_id(message.via.branch or "", message.cseq.method)
            known = self._open.get(key)
        return known is not None and known.transaction.has_seen(message)

    def receive_request(
        self, request: Request, source: SourceAddress, reply_to: Target
    ) -> list[Outcome]:
        """Match a request; a new one opens a server transaction.

        Args:
            reply_to: Where responses go (RFC 3261 §18.2.2, RFC 3581).
        """
        key = server_id(request)
        known = self._open.get(key)
        if known is not None:
            effects = known.transaction.receive_request(request)
            return self._carry(key, known, effects, source)
        if request.method == "ACK":
            return [AckArrived(request, source)]
        merge_key = None
        if request.to.tag is None and request.method not in _MERGE_SCOPE_ENDS:
            merge_key = _merge_key(request)
        return self._open_server(key, request, source, reply_to, merge_key)

    def is_merged(self, key: TransactionId) -> bool:
        """Say whether the request came before by another path (RFC 3261 §8.2.2.2)."""
        merge_key = self._open[key].merge_key
        return merge_key is not None and self._merge_keys.get(merge_key) != key

    def receive_response(
        self, response: Response, source: SourceAddress
    ) -> list[Outcome]:
        """Match a response; a stray one is dropped (RFC 6026 §7.2)."""
        key = client_id(response.via.branch or "", response.cseq.method)
        known = self._open.get(key)
        if known is None:
            return []
        effects = known.transaction.receive_response(response)
        return self._carry(key, known, effects, source)

    def send_request(
        self, request: Request, target: Target
    ) -> tuple[TransactionId, list[Outcome]]:
        """Open a client transaction; its messages go to ``target``.

        A CANCEL ends the wait of its INVITE's transaction (RFC 3261 §9.1).
        """
        key = client_id(request.via.branch or "", request.method)
        opened = _Open(
            Transaction(
                client_table(request.method),
                request,
                self._timers,
                reliable=is_reliable(target.transport),
            ),
            target,
            None,
        )
        self._open[key] = opened
        outcomes = self._carry(key, opened, opened.transaction.start())
        if request.method == "CANCEL":
            invite_key = key._replace(method="INVITE")
            invite = self._open.get(invite_key)
            if invite is not None:
                effects = invite.transaction.cancelled()
                outcomes += self._carry(invite_key, invite, effects)
        return key, outcomes

    def respond(self, key: TransactionId, response: Response) -> list[Outcome]:
        """Send a response; one for a transaction that is gone is dropped."""
        known = self._open.get(key)
        if known is None:
            return []
        return self._carry(key, known, known.transaction.respond(response))

    def to_tag(self, key: TransactionId) -> str | None:
        """Return the To tag of the last response that may still be repeated."""
        known = self._open.get(key)
        response = known.transaction.last_response if known is not None else None
        return response.to.tag if response is not None else None

    def timer_fired(self, timer_key: TransactionTimer) -> list[Outcome]:
        """A timer of a transaction ran out."""
        key, timer = timer_key
        known = self._open.get(key)
        if known is None:
            return []
        return self._carry(key, known, known.transaction.timer_fired(timer))

    def transport_failed(self, key: TransactionId, reason: str) -> list[Outcome]:
        """A message of a transaction could not be sent."""
        known = self._open.get(key)
        if known is None:
            return []
        outcomes = self._carry(key, known, known.transaction.transport_failed(reason))
        if key.is_client and key.method == "CANCEL":
            outcomes += self._cancel_failed(key._replace(method="INVITE"), reason)
        return outcomes

    def _cancel_failed(self, key: TransactionId, reason: str) -> list[Outcome]:
        """Nothing more is to be heard of the INVITE: its peer cannot be reached."""
        known = self._open.get(key)
        if known is None:
            return []
        return self._carry(key, known, known.transaction.cancel_failed(reason))

    def _open_server(
        self,
        key: TransactionId,
        request: Request,
        source: SourceAddress,
        reply_to: Target,
        merge_key: tuple[str, ...] | None,
    ) -> list[Outcome]:
        transaction = Transaction(
            server_table(request.method),
            request,
            self._timers,
            reliable=is_reliable(source.transport),
        )
        opened = _Open(transaction, reply_to, merge_key)
        self._open[key] = opened
        if merge_key is not None:
            self._merge_keys.setdefault(merge_key, key)
        return self._carry(key, opened, transaction.start(), source)

    def _carry(
        self,
        key: TransactionId,
        opened: _Open,
        effects: list[TransactionEffect],
        source: SourceAddress | None = None,
    ) -> list[Outcome]:
        """Give the machine's effects their addresses and names."""
        outcomes: list[Outcome] = []
        for effect in effects:
            match effect:
                case Send(message, is_retransmission):
                    outcomes.append(
                        SendMessage(message, opened.target, key, is_retransmission)
                    )
                case StartTimer(timer, delay_s):
                    outcomes.append(SetTimer(TransactionTimer(key, timer), delay_s))
                case StopTimer(timer):
                    outcomes.append(ClearTimer(TransactionTimer(key, timer)))
                case Deliver(message):
                    outcomes.append(_arrival(key, message, source))
                case Failed(reason, timed_out):
                    outcomes.append(TransactionFailed(key, reason, timed_out))
                case Terminated():
                    self._forget(key, opened)
                    outcomes.append(TransactionEnded(key))
        return outcomes

    def _forget(self, key: TransactionId, opened: _Open) -> None:
        self._open.pop(key, None)
        merge_key = opened.merge_key
        if merge_key is not None and self._merge_keys.get(merge_key) == key:
            del self._merge_keys[merge_key]


def _arrival(
    key: TransactionId, message: Request | Response, source: SourceAddress | None
) -> Arrival:
    if source is None:
        raise LocalProtocolError("a message was delivered without its source")
    if isinstance(message, Response):
        return ResponseArrived(key, message, source)
    if message.method == "ACK":
        return AckArrived(message, source)
    return RequestArrived(key, message, source)


def client_id(branch: str, method: str) -> TransactionId:
    """Return the identifier of a transaction that we opened (RFC 3261 §17.1.3)."""
    return TransactionId(True, branch, "", method)


def server_id(request: Request) -> TransactionId:
    """Return the identifier of the transaction a request belongs to (§17.2.3).

    RFC 2543 elements make no unique branch; their requests are told apart by what
    a retransmission repeats.
    """
    via = request.via
    branch = via.branch or ""
    if not branch.startswith(BRANCH_MAGIC_COOKIE) or branch == BRANCH_MAGIC_COOKIE:
        branch = " ".join(
            [branch, request.call_id, request.from_.tag or "", str(request.cseq.number)]
        )
    method = "INVITE" if request.method == "ACK" else request.method
    return TransactionId(False, branch, via.sent_by, method)


def invite_id_of_cancel(cancel: Request) -> TransactionId:
    """Return the identifier of the INVITE that a CANCEL means (RFC 3261 §9.2)."""
    return server_id(cancel)._replace(method="INVITE")


def _merge_key(request: Request) -> tuple[str, ...]:
    cseq = request.cseq
    tag = request.from_.tag or ""
    return (tag, request.call_id, str(cseq.number), cseq.method)
