"""A world without sockets: user agents, a network that loses, time by hand.

Every node is a real ``UserAgent``; the world carries its effects out on a virtual
clock, so that a 32-second time-out costs microseconds. What went over the wire is in
``log``.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from emulator.ids import IdSource
from emulator.sip.address import SourceAddress, Target, Transport
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
)
from emulator.sip.events import SessionEvent
from emulator.sip.invite import InviteSession
from emulator.sip.message import Message, Request, parse_message
from emulator.sip.options import OwnNetworks, SipOptions
from emulator.sip.session import OutgoingInvite
from emulator.sip.uri import NameAddr

ONE_WAY_S = 0.01
OFFER = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=offer\r\n"
ANSWER = "v=0\r\no=- 2 1 IN IP4 127.0.0.1\r\ns=answer\r\n"

# Returns True when this message must be lost.
Loss = Callable[[Message], bool]


def no_loss(_: Message) -> bool:
    return False


@dataclass
class Node:
    """One user agent, its calls and their events."""

    world: World
    name: str
    port: int
    agent: UserAgent
    on_invite: Callable[[InviteSession], Iterable[Effect]] = field(
        default=lambda session: session.answer(ANSWER, ())
    )
    invites: list[Request] = field(default_factory=list)
    calls: list[InviteSession] = field(default_factory=list)
    events: dict[int, list[SessionEvent]] = field(default_factory=dict)
    completed: list[Completed] = field(default_factory=list)
    timers: dict[TimerKey, int] = field(default_factory=dict)

    @property
    def call(self) -> InviteSession:
        """The latest call."""
        return self.calls[-1]

    @property
    def happened(self) -> list[SessionEvent]:
        """The events of the latest call."""
        return self.events[self.call.serial]

    def latest(self) -> SessionEvent:
        """The latest event of the latest call."""
        return self.happened[-1]

    @property
    def happened_names(self) -> list[str]:
        return [type(event).__name__ for event in self.happened]

    def do(self, effects: Iterable[Effect]) -> None:
        """Carry out what a verb of the latest call returned."""
        self.perform(self.agent.act(self.call, effects))

    def dial(
        self,
        other: Node,
        sdp: str | None = OFFER,
        transport: Transport = "udp",
        ring_timeout_s: float = 60.0,
    ) -> InviteSession:
        """Call another node."""
        outgoing = OutgoingInvite(
            f"sip:bob@127.0.0.1:{other.port};transport={transport}",
            NameAddr(f"sip:{self.name}@127.0.0.1"),
            NameAddr("sip:bob@127.0.0.1"),
            sdp,
            ring_timeout_s=ring_timeout_s,
        )
        session, effects = self.agent.place_call(outgoing)
        self._add(session)
        self.perform(effects)
        return session

    def perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            self._carry_out(effect)

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case SendMessage(message, target, _, is_retransmission):
                self.world.carry(self, message, target, is_retransmission)
            case SetTimer(key, delay_s):
                self.world.cancel(self.timers.pop(key, None))
                self.timers[key] = self.world.after(
                    delay_s, lambda: self._timer_fired(key)
                )
            case ClearTimer(key):
                self.world.cancel(self.timers.pop(key, None))
            case Announce(session, request, _):
                self.invites.append(request)
                self._add(session)
                self.perform(self.agent.act(session, self.on_invite(session)))
            case Emit(serial, event):
                self.events[serial].append(event)
            case Completed():
                self.completed.append(effect)
            case _:
                raise AssertionError(f"not for the shell: {effect}")

    def _add(self, session: InviteSession) -> None:
        self.calls.append(session)
        self.events[session.serial] = []

    def _timer_fired(self, key: TimerKey) -> None:
        self.timers.pop(key, None)
        self.perform(self.agent.timer_fired(key))


@dataclass(frozen=True)
class Line:
    """One message in the log, lost or not."""

    sender: str
    summary: str
    message: Message
    is_retransmission: bool
    at_s: float
    was_lost: bool

    def __str__(self) -> str:
        marks = " (again)" * self.is_retransmission + " (lost)" * self.was_lost
        return f"{self.sender}: {self.summary}{marks}"


class World:
    """Nodes, the clock and the wire."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.lose: Loss = no_loss
        self.log: list[Line] = []
        # Ports that are no node but a function of the test, such as a proxy.
        self.relays: dict[int, Callable[[Message, SourceAddress], None]] = {}
        self._nodes: dict[int, Node] = {}
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        self._cancelled: set[int] = set()

    def node(
        self, name: str, port: int, options: SipOptions | None = None, seed: int = 0
    ) -> Node:
        options = options or SipOptions()
        ports: dict[Transport, int] = {"udp": port, "tcp": port}
        agent = UserAgent(options, OwnNetworks(), ports, IdSource(seed + port))
        self._nodes[port] = Node(self, name, port, agent)
        return self._nodes[port]

    def carry(
        self, sender: Node, message: Message, target: Target, is_retransmission: bool
    ) -> None:
        was_lost = self.lose(message)
        self.log.append(
            Line(
                sender.name,
                short(message),
                message,
                is_retransmission,
                self.now_s,
                was_lost,
            )
        )
        source = SourceAddress(target.transport, "127.0.0.1", sender.port)
        relay = self.relays.get(target.port)
        if relay is not None and not was_lost:
            self.after(ONE_WAY_S, lambda: relay(message, source))
        receiver = self._nodes.get(target.port)
        if was_lost or receiver is None:
            return
        data = message.to_bytes()
        self.after(ONE_WAY_S, lambda: self.deliver(receiver, data, source))

    def deliver(self, receiver: Node, data: bytes, source: SourceAddress) -> None:
        receiver.perform(
            receiver.agent.receive(parse_message(data), source, self.now_s)
        )

    def after(self, delay_s: float, action: Callable[[], None]) -> int:
        self._serial += 1
        heapq.heappush(self._queue, (self.now_s + delay_s, self._serial, action))
        return self._serial

    def cancel(self, serial: int | None) -> None:
        if serial is not None:
            self._cancelled.add(serial)

    def run(self, duration_s: float) -> None:
        """Let time pass."""
        end_s = self.now_s + duration_s
        while self._queue and self._queue[0][0] <= end_s:
            self.now_s, serial, action = heapq.heappop(self._queue)
            if serial not in self._cancelled:
                action()
        self.now_s = end_s

    def sent(self, prefix: str = "") -> list[str]:
        """Return what went over the wire, as ``name: summary``."""
        return [str(line) for line in self.log if line.summary.startswith(prefix)]


def short(message: Message) -> str:
    if isinstance(message, Request):
        return message.method
    method = (message.headers.get("CSeq") or "").rpartition(" ")[2]
    return f"{message.status} {method}"


def lose_first(*summaries: str) -> Loss:
    """Lose the first message of each summary, once per mention."""
    left = list(summaries)

    def lose(message: Message) -> bool:
        if short(message) in left:
            left.remove(short(message))
            return True
        return False

    return lose


def lose_all(*summaries: str) -> Loss:
    return lambda message: short(message) in summaries
