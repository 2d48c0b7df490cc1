"""A link on which things go wrong on purpose; it stands between link and owner.

    owner  -> send -> damage -> BotLink -> bot
    owner <- damage <- message_arrived <- BotLink <- bot

The owner's conversation knows nothing of it: it dials, sends and hears as ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from emulator.clock import Clock
from emulator.events import JsonValue
from emulator.faults import Fault
from emulator.stream import dial_errors
from emulator.stream.assembler import Binary
from emulator.stream.connector import DialFailed
from emulator.stream.damage import (
    FROM_BOT,
    NEVER_CAME,
    NEVER_LEFT,
    TO_BOT,
    ActionCount,
    MessageDamage,
)
from emulator.stream.link import WRITE_HIGH_WATER_BYTES, BotLink
from emulator.stream.link_owner import LinkEnd, LinkOwner
from emulator.stream.url import BotUrl
from emulator.stream.usual_media import UsualMedia
from emulator.stream_options import StreamOptions

# What a fault did, for the timeline.
Tell = Callable[[str, Mapping[str, JsonValue]], None]
# The least time that a dial is given after a slow handshake.
_SHORTEST_DIAL_S = 0.01
# How long a stream that ends waits for what is still on the line; what does not leave
# by then never does. Small beside the time that a call grants its leg to end.
LAST_WORDS_S = 1.0
# Past the last message's own timer.
_MARGIN_S = 0.002


class Link(Protocol):
    """What an owner needs of a link; ``BotLink`` says what each member means."""

    @property
    def is_writable(self) -> bool: ...
    @property
    def end(self) -> LinkEnd | None: ...
    async def dial(self) -> None: ...
    async def wait_closed(self) -> None: ...
    def send(self, text: bytes) -> None: ...
    def close(self) -> None: ...
    def let_go(self) -> None: ...


def make_link(
    url: BotUrl,
    options: StreamOptions,
    owner: LinkOwner,
    faults: Sequence[Fault],
    clock: Clock,
    tell: Tell,
    usual: UsualMedia,
) -> Link:
    """Return a link to the bot, with the stream's faults on it.

    ``usual`` gets what it knows at once, where no fault is to come between.
    """
    if not faults:
        return BotLink(url, options, owner, usual)
    return FaultyLink(url, options, owner, faults, clock, tell)


class FaultyLink:
    """A ``BotLink`` behind the faults of its stream."""

    def __init__(
        self,
        url: BotUrl,
        options: StreamOptions,
        owner: LinkOwner,
        faults: Sequence[Fault],
        clock: Clock,
        tell: Tell,
    ) -> None:
        self._url = url
        self._options = options
        self._owner = owner
        self._faults = faults
        self._clock = clock
        self._tell = tell
        self._count = ActionCount()
        self._attempt = 0
        self._acted = partial(_count, self._count, tell)
        to_bot = MessageDamage(TO_BOT, faults, self._acted)
        self._to_bot = _Line(to_bot, clock, self._pass_to_bot)
        from_bot = MessageDamage(FROM_BOT, faults, self._acted)
        self._from_bot = _Line(from_bot, clock, owner.message_arrived)
        self._timers: list[asyncio.TimerHandle] = []
        self._is_mute = self._is_full = self._is_over = False
        self._is_stalled = False
        delay_s = sum(fault.number("delay_s") for fault in self._of("slow_handshake"))
        left_s = max(options.handshake_timeout_s - delay_s, _SHORTEST_DIAL_S)
        self._link = BotLink(url, replace(options, handshake_timeout_s=left_s), self)

    # -- what the owner does

    @property
    def is_writable(self) -> bool:
        """False while the bot, or the line to it, does not take what was sent."""
        return self._link.is_writable and not self._is_full

    @property
    def end(self) -> LinkEnd | None:
        """How the socket ended."""
        return self._link.end

    async def dial(self) -> None:
        """Connect and upgrade, unless a fault is in the way.

        Raises:
            DialFailed: It did not succeed.
        """
        self._attempt += 1
        for fault in self._of("refuse"):
            self._refuse(fault)
        for fault in self._of("no_answer"):
            await self._wait_in_vain(fault.kind)
        for fault in self._of("slow_handshake"):
            delay_s = fault.number("delay_s")
            if delay_s >= self._options.handshake_timeout_s:
                await self._wait_in_vain(fault.kind)
            self._acted(fault.kind)
            await asyncio.sleep(delay_s)
        await self._link.dial()

    def _refuse(self, fault: Fault) -> None:
        attempts = fault.number("attempts")
        if attempts and self._attempt > attempts:
            return
        self._acted(fault.kind)
        raise DialFailed(dial_errors.BAD_HANDSHAKE, int(fault.number("status")))

    async def _wait_in_vain(self, kind: str) -> None:
        self._acted(kind)
        await asyncio.sleep(self._options.handshake_timeout_s)
        raise DialFailed(dial_errors.timed_out(self._url.host, self._url.port))

    async def wait_closed(self) -> None:
        """Return when the socket is gone, as ``BotLink`` does."""
        try:
            await self._link.wait_closed()
            # What the bot said before it closed is still on the line.
            await asyncio.sleep(self._last_words_s(self._from_bot))
        finally:
            self._finish()

    def send(self, text: bytes) -> None:
        """Send one text message, or what the faults make of it."""
        if self._is_mute:
            self._count_unsent()
            return
        self._to_bot.put(text)
        self._is_full = self._to_bot.held_bytes > WRITE_HIGH_WATER_BYTES

    def close(self) -> None:
        """End the socket, once what is on the line has left or a moment is over."""
        self._from_bot.cut()  # What the bot says after this counts for nothing.
        if wait_s := self._last_words_s(self._to_bot):
            self._later(wait_s, self._close_now)
        else:
            self._close_now()

    def _close_now(self) -> None:
        self._finish()
        self._link.close()

    def _pass_to_bot(self, text: bytes | Binary) -> None:
        if self._is_mute:
            self._count_unsent()
        elif isinstance(text, bytes):
            self._link.send(text)
        if self._is_full and self._to_bot.held_bytes <= WRITE_HIGH_WATER_BYTES:
            self._is_full = False
            self.may_write_again()

    # -- what the link tells

    def link_opened(self) -> None:
        """Let the faults begin that wait for an open stream."""
        for fault in self._of("drop"):
            self._later(fault.number("after_s"), partial(self._drop, fault))
        for fault in self._of("half_dead"):
            self._later(fault.number("after_s"), partial(self._stall, fault))
        self._owner.link_opened()

    def message_arrived(self, message: bytes | Binary) -> None:
        """Hand a message on, or what the faults make of it."""
        if not self._is_over:
            self._from_bot.put(message)

    def bot_closed(self) -> None:
        """The bot, or a fault, ended the connection; its last words come first."""
        self._is_mute = True
        if wait_s := self._last_words_s(self._from_bot):
            self._later(wait_s, self._bot_gone)
        else:
            self._bot_gone()

    def _bot_gone(self) -> None:
        self._finish()
        self._owner.bot_closed()

    def may_write_again(self) -> None:
        """The socket takes more; the line before it may not."""
        if self.is_writable:
            self._owner.may_write_again()

    def bot_floods(self) -> None:
        """Hand it on."""
        self._owner.bot_floods()

    # -- faults of the socket

    def _drop(self, fault: Fault) -> None:
        self._acted(fault.kind)
        self._finish()  # What is on the line is lost with it.
        how = fault.word("how")
        code = int(fault.number("code")) if how == "close" else None
        self._link.break_off(code, reset=how == "rst")

    def _stall(self, fault: Fault) -> None:
        self._acted(fault.kind)
        stops = fault.word("stops")
        if stops != "reading":
            self._is_mute = self._is_stalled = True
        self._link.stall(reading=stops != "writing", writing=stops != "reading")

    def let_go(self) -> None:
        """The stream is over: end every circle through this link."""
        self._is_over = True
        for timer in self._timers:
            timer.cancel()
        self._to_bot.let_go()
        self._from_bot.let_go()
        self._link.let_go()
        del self._link  # It holds this one.

    # -- small things

    def _last_words_s(self, line: _Line) -> float:
        """Return how long to wait for what a line still holds."""
        return 0.0 if self._is_over else min(line.empty_in_s(), LAST_WORDS_S)

    def _of(self, kind: str) -> list[Fault]:
        return [fault for fault in self._faults if fault.kind == kind]

    def _count_unsent(self) -> None:
        if self._is_stalled:
            self._count.add_held("half_dead", NEVER_LEFT)

    def _later(self, delay_s: float, call: Callable[[], None]) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(delay_s, call))

    def _finish(self) -> None:
        """Nothing goes wrong any more; tell how often what did."""
        if self._is_over:
            return
        self._is_over = True
        for timer in self._timers:
            timer.cancel()
        for line, fate in ((self._to_bot, NEVER_LEFT), (self._from_bot, NEVER_CAME)):
            line.cut()
            for kind in line.holders():
                self._count.add_held(kind, fate)
        for kind, counts in self._count.totals():
            self._tell("fault.acted", {"fault": kind, **counts})


def _count(count: ActionCount, tell: Tell, kind: str) -> None:
    """Count what a fault did, and tell of the first time."""
    if count.add(kind):
        tell("fault.acted", {"fault": kind})


def _drop(message: bytes | Binary) -> None:
    """Take a message that nobody waits for."""


class _Line:
    """One direction: passes messages on when its damage says that they are due."""

    def __init__(
        self,
        damage: MessageDamage,
        clock: Clock,
        hand_on: Callable[[bytes | Binary], None],
    ) -> None:
        self._damage = damage
        self._clock = clock
        self._hand_on = hand_on
        self._timer: asyncio.TimerHandle | None = None
        self._is_releasing = self._is_cut = False

    @property
    def held_bytes(self) -> int:
        return self._damage.held_bytes

    def empty_in_s(self) -> float:
        """Return how long it takes until everything has left; 0 when nothing will."""
        due_s = self._damage.last_due_s()
        if due_s is None or self._is_cut:
            return 0.0
        return max(0.0, due_s - self._clock.monotonic_s()) + _MARGIN_S

    def holders(self) -> Iterator[str]:
        """Yield the fault that holds it, for each message that is still here."""
        return self._damage.holders()

    def put(self, message: bytes | Binary) -> None:
        """Take a message; binary ones are ignored anyway and pass at once."""
        if self._damage.is_idle or isinstance(message, Binary):
            self._hand_on(message)
            return
        self._damage.push(message, self._clock.monotonic_s())
        if self._timer is None or self._damage.is_full:
            self._release()

    def cut(self) -> None:
        """Pass nothing on any more."""
        self._is_cut = True
        if self._timer is not None:
            self._timer.cancel()

    def let_go(self) -> None:
        """Pass nothing on any more, and hold nobody."""
        self.cut()
        self._hand_on = _drop

    def _release(self) -> None:
        if self._is_releasing:
            return
        self._is_releasing = True
        now_s = self._clock.monotonic_s()
        while not self._is_cut and (message := self._damage.pop(now_s)) is not None:
            self._hand_on(message)
        self._is_releasing = False
        self._wait(now_s)

    def _wait(self, now_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_s = self._damage.next_due_s()
        if due_s is not None and not self._is_cut:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, due_s - now_s), self._release)
