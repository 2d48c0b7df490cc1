"""What the applets of one call know: given facts, and what happened so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from emulator.flow.ports import StreamResult


@dataclass(frozen=True, slots=True)
class CallContext:
    """Facts of the call that no applet changes.

    Attributes:
        from_, to: As bots and webhooks read them.
        sip_parameters: The caller's custom SIP headers without ``X-``, as far as the
            bot may see them (``sip.custom_headers``).
    """

    call_sid: str
    from_: str
    to: str
    sip_parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FlowOptions:
    """Knobs of the engine: the settings ``flow.*``.

    Attributes:
        max_steps: Applets that one call may pass: bounds loops.
        silent_greeting_ms: Length of a text without a speakable word.
    """

    max_steps: int = 1000
    silent_greeting_ms: int = 1000


@dataclass(slots=True)
class CallState:
    """What applets leave for those behind them; owned by one ``FlowRun``."""

    context: CallContext
    options: FlowOptions
    last_stream: StreamResult | None = None
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Put a note on the call's timeline with the next step."""
        self.notes.append(text)
