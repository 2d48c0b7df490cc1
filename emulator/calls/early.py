"""SIP messages that came before their call was there: its INVITE, the 100.

Messages of no call at all, such as OPTIONS, wait here too until newer ones push them
out.
"""

from __future__ import annotations

from emulator.calls.journal import MAX_WIRE_BYTES
from emulator.sip.trace import SipTrace
from emulator.text import MAX_CHARS

# Between an INVITE and its call pass microseconds; this many dialogs never overlap.
MAX_CALL_IDS = 256
# A Call-ID that repeats without ever becoming a call: a scanner, or keepalives.
MAX_TRACES_PER_CALL_ID = 16
# Of all traces together: an INVITE and its 100 are some 2 kB, and a flood of the
# largest messages must not push the process's memory up for good.
MAX_BYTES = 4 << 20


class EarlyTraces:
    """Traces by Call-ID, the oldest Call-ID forgotten first."""

    def __init__(self) -> None:
        self._traces: dict[str, list[SipTrace]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return sum(map(len, self._traces.values()))

    def add(self, trace: SipTrace) -> None:
        """Keep a trace until its call takes it."""
        waiting = self._traces.setdefault(trace.call_id, [])
        if len(waiting) < MAX_TRACES_PER_CALL_ID:
            waiting.append(_cut(trace))
            self._bytes += _cost_bytes(waiting[-1])
        while len(self._traces) > MAX_CALL_IDS or self._bytes > MAX_BYTES:
            self.take(next(iter(self._traces)))

    def began_s(self, call_id: str) -> float | None:
        """Return the monotonic time of the first trace; None when there is none."""
        waiting = self._traces.get(call_id)
        return waiting[0].at_s if waiting else None

    def take(self, call_id: str) -> list[SipTrace]:
        """Return the traces of a Call-ID, in order, and forget them."""
        taken = self._traces.pop(call_id, [])
        self._bytes -= sum(map(_cost_bytes, taken))
        return taken


def _cut(trace: SipTrace) -> SipTrace:
    """Drop what no timeline would show."""
    return trace._replace(
        wire=trace.wire[:MAX_WIRE_BYTES], summary=trace.summary[: MAX_CHARS + 1]
    )


def _cost_bytes(trace: SipTrace) -> int:
    return len(trace.wire) + len(trace.summary) + len(trace.call_id)
