"""SIP messages that came before their call was there: its INVITE, the 100.

Messages of no call at all, such as OPTIONS, wait here too until newer ones push them
out.
"""

from __future__ import annotations

from emulator.sip.trace import SipTrace

# Between an INVITE and its call pass microseconds; this many dialogs never overlap.
MAX_CALL_IDS = 256
# A Call-ID that repeats without ever becoming a call: a scanner, or keepalives.
MAX_TRACES_PER_CALL_ID = 16


class EarlyTraces:
    """Traces by Call-ID, the oldest Call-ID forgotten first."""

    def __init__(self) -> None:
        self._traces: dict[str, list[SipTrace]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._traces.values()))

    def add(self, trace: SipTrace) -> None:
        """Keep a trace until its call takes it."""
        waiting = self._traces.setdefault(trace.call_id, [])
        if len(waiting) < MAX_TRACES_PER_CALL_ID:
            waiting.append(trace)
        if len(self._traces) > MAX_CALL_IDS:
            del self._traces[next(iter(self._traces))]

    def began_s(self, call_id: str) -> float | None:
        """Return the monotonic time of the first trace; None when there is none."""
        waiting = self._traces.get(call_id)
        return waiting[0].at_s if waiting else None

    def take(self, call_id: str) -> list[SipTrace]:
        """Return the traces of a Call-ID, in order, and forget them."""
        return self._traces.pop(call_id, [])
