"""What faults do to the messages of one direction: pure, on a given clock.

    push(message) -> twins, cuts, swaps, other timestamps -> when each is due -> pop()

A socket keeps its order, so whatever is late holds up all behind it; only
``reordered_media`` swaps, as a sender without an order would.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence

from emulator.faults import Fault
from emulator.ids import IdSource

TO_BOT, FROM_BOT = "to_bot", "from_bot"
# What became of messages that a fault still held when the stream ended.
NEVER_LEFT, NEVER_CAME = "never_left", "never_came"
_DICE_SIDES = 0x10000
_TIMESTAMP = re.compile(rb'("timestamp":"?)(\d+)')
_START = b'{"event":"start"'
# A fault that cannot keep up must not hold everything that a peer can send: beyond
# this much the oldest messages leave early. Some 80 s of 8 kHz audio.
MAX_HELD_BYTES = 1 << 21


class MessageDamage:
    """One direction of one stream.

    Args:
        faults: Those of the stream; others than this direction's are left out.
        acted: Told the kind of a fault each time that it does something.

    Attributes:
        held_bytes: Of messages that wait.
    """

    def __init__(
        self, direction: str, faults: Sequence[Fault], acted: Callable[[str], None]
    ) -> None:
        self._acted = acted
        # One die for each fault: what one does leaves the others' damage as it is.
        self._faults = [
            (fault, IdSource(fault.seed + (direction == FROM_BOT)))
            for fault in faults
            if _concerns(fault, direction)
        ]
        # When it is due, the message, and the fault that keeps it so long.
        self._held: deque[tuple[float, bytes, str]] = deque()
        self.held_bytes = 0
        self._last_due_s = 0.0
        self._holder = ""
        self._swapped: bytes | None = None

    @property
    def is_idle(self) -> bool:
        """Whether messages of this direction pass untouched."""
        return not self._faults

    def push(self, message: bytes, now_s: float) -> None:
        """Take a message that would go through now."""
        is_media = _is_media(message)
        for copy in self._altered(message, is_media=is_media):
            self._hold(copy, now_s, is_media=is_media)

    @property
    def is_full(self) -> bool:
        """Whether the oldest messages leave although they are not due."""
        return self.held_bytes > MAX_HELD_BYTES

    def pop(self, now_s: float) -> bytes | None:
        """Return the next message that is due, or None."""
        held = self._held
        if not held or (held[0][0] > now_s and not self.is_full):
            return None
        message = held.popleft()[1]
        self.held_bytes -= len(message)
        return message

    def next_due_s(self) -> float | None:
        """Return when ``pop`` has something, or None."""
        return self._held[0][0] if self._held else None

    def last_due_s(self) -> float | None:
        """Return when all that is held will have left, or None."""
        return self._held[-1][0] if self._held else None

    def holders(self) -> Iterator[str]:
        """Yield the fault that holds it, for each message that is still here."""
        yield from (holder for _, _, holder in self._held if holder)
        if self._swapped is not None:
            yield "reordered_media"

    # -- what the messages look like

    def _altered(self, message: bytes, *, is_media: bool) -> Iterator[bytes]:
        copies = [message]
        swaps = False
        for fault, dice in self._faults:
            match fault.kind:
                case "double_start" if message.startswith(_START):
                    copies = self._note(fault, copies * 2)
                case "double_media" if is_media and _falls(fault, dice):
                    copies = self._note(fault, copies * 2)
                case "truncated_json" if is_media and _falls(fault, dice):
                    copies = self._note(fault, [c[: len(c) // 2] for c in copies])
                case "clock_skew" if is_media:
                    copies = self._note(fault, [_skewed(c, fault) for c in copies])
                case "reordered_media" if is_media and self._swapped is None:
                    swaps = _falls(fault, dice)
                    if swaps:
                        self._acted(fault.kind)
        if swaps:
            self._swapped, copies = copies[0], copies[1:]
        elif self._swapped is not None:
            copies = self._with_swapped(copies, is_media=is_media)
        yield from copies

    def _with_swapped(self, copies: list[bytes], *, is_media: bool) -> list[bytes]:
        """Put the message that was held back behind its successor, if that is media."""
        assert self._swapped is not None
        late, self._swapped = self._swapped, None
        return [*copies, late] if is_media else [late, *copies]

    def _note(self, fault: Fault, copies: list[bytes]) -> list[bytes]:
        self._acted(fault.kind)
        return copies

    # -- when they come

    def _hold(self, message: bytes, now_s: float, *, is_media: bool) -> None:
        due_s = now_s
        for fault, dice in self._faults:
            delay_s = self._delay_s(fault, dice, message, is_media=is_media)
            if fault.kind == "throttle":
                # The line is free again when all before it has passed.
                due_s = max(due_s, self._last_due_s)
            if delay_s > 0:
                self._acted(fault.kind)
                if due_s + delay_s >= self._last_due_s:
                    self._holder = fault.kind
            due_s += delay_s
        self._last_due_s = max(due_s, self._last_due_s)
        self._held.append((self._last_due_s, message, self._holder))
        self.held_bytes += len(message)

    def _delay_s(
        self, fault: Fault, dice: IdSource, message: bytes, *, is_media: bool
    ) -> float:
        match fault.kind:
            case "latency":
                jitter_ms = fault.number("jitter_ms") * dice.uint16() / _DICE_SIDES
                return (fault.number("delay_ms") + jitter_ms) / 1000
            case "throttle":
                return len(message) / fault.number("bytes_per_s")
            case "late_media" if is_media and _falls(fault, dice):
                return fault.number("delay_ms") / 1000
            case "late_start" if message.startswith(_START):
                return fault.number("delay_s")
            case _:
                return 0.0


class ActionCount:
    """How often each fault of a stream did something."""

    def __init__(self) -> None:
        self._times: Counter[str] = Counter()
        self._held: dict[str, Counter[str]] = {}

    def add(self, kind: str) -> bool:
        """Count one action; return whether it was the first of its kind."""
        self._times[kind] += 1
        return self._times[kind] == 1

    def add_held(self, kind: str, fate: str) -> None:
        """Count one message that ``kind`` held until there was no stream any more."""
        self._held.setdefault(kind, Counter())[fate] += 1

    def totals(self) -> Iterator[tuple[str, dict[str, int]]]:
        """Yield, of each kind of which one action does not tell all, the counts."""
        for kind, times in self._times.items():
            held = self._held.get(kind, Counter())
            if times > 1 or held:
                yield kind, {"times": times, **held}


def _concerns(fault: Fault, direction: str) -> bool:
    if fault.kind in ("late_start", "double_start", "clock_skew"):
        return direction == TO_BOT
    return fault.parameters.get("direction") in (direction, "both")


def _is_media(message: bytes) -> bool:
    """Whether a message of either side is media; bots have no fixed order of keys."""
    return b'"payload"' in message


def _falls(fault: Fault, dice: IdSource) -> bool:
    return dice.uint16() < fault.number("chance") * _DICE_SIDES


def _skewed(message: bytes, fault: Fault) -> bytes:
    def skew(found: re.Match[bytes]) -> bytes:
        factor = 1 + fault.number("drift_ppm") / 1e6
        timestamp_ms = round(int(found[2]) * factor + fault.number("offset_ms"))
        return found[1] + b"%d" % timestamp_ms

    return _TIMESTAMP.sub(skew, message, count=1)
