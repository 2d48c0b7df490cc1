"""Two legs that talk to each other.

    A's peer -> leg A -> Inlet of B -+
                                     +-> mixed -> leg B -> B's peer
    B's prompts and bot -> Playout --+                             and the same back

A key that one party presses goes to the other as a key. One that was recognised by its
sound has been heard already.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from emulator.events import JsonValue
from emulator.media.g711 import Buffer, Law
from emulator.media.inlet import Inlet
from emulator.worker.leg import Leg
from emulator.worker.messages import Happened
from emulator.worker.surroundings import Surroundings

# A key is heard by the other party for as long as it was pressed, within bounds: its
# voice pauses for that time.
_MIN_KEY_MS, _MAX_KEY_MS = 60, 500
_KEY_GAP_MS = 40


class _Voice:
    """What one leg's peer says, on its way to the other: the tap of a bridge."""

    def __init__(self, inlet: Inlet, gone: Callable[[], None]) -> None:
        self.heard: Callable[[Buffer], None] = inlet.push
        self.use_law: Callable[[Law], None] = inlet.use_source
        self.closed = gone

    def said(self, frame: bytes) -> None:
        pass


class BridgedLegs:
    """Joins two legs from now on; ``part`` or the end of either ends it.

    Args:
        on_parted: Called once.
    """

    def __init__(
        self,
        one: Leg,
        other: Leg,
        around: Surroundings,
        on_parted: Callable[[BridgedLegs], None],
    ) -> None:
        self.legs = (one, other)
        self._around = around
        self._on_parted = on_parted
        self._began_s = around.clock.monotonic_s()
        self._voices = (self._join(one, other), self._join(other, one))
        self._happened("media.bridged", {})

    def part(self, reason: str) -> None:
        """Let the two hear each other no more."""
        for leg, voice in zip(self.legs, self._voices, strict=True):
            leg.audience.untap(voice)
            leg.listen_to(None)
            leg.relay_key = None
        self._on_parted(self)
        bridged_ms = round(1000 * (self._around.clock.monotonic_s() - self._began_s))
        one, other = self.legs
        one.bridged_ms += bridged_ms
        other.bridged_ms += bridged_ms
        self._happened(
            "media.parted",
            {
                "reason": reason,
                "bridged_ms": bridged_ms,
                "leg_heard": one.voices.counters(),
                "other_leg_heard": other.voices.counters(),
            },
        )

    def _join(self, speaker: Leg, listener: Leg) -> _Voice:
        inlet = Inlet(speaker.law, listener.law, listener.voices)
        listener.listen_to(inlet)
        speaker.relay_key = partial(self._relay, listener)
        voice = _Voice(inlet, partial(self.part, f"{speaker.leg_id} has ended"))
        speaker.audience.tap(voice)
        return voice

    def _relay(self, listener: Leg, digit: str, duration_ms: int) -> None:
        held_ms = min(max(duration_ms, _MIN_KEY_MS), _MAX_KEY_MS)
        listener.send_keys(digit, held_ms, _KEY_GAP_MS, _nobody_waits)

    def _happened(self, kind: str, data: dict[str, JsonValue]) -> None:
        one, other = (leg.leg_id for leg in self.legs)
        legs: dict[str, JsonValue] = {"leg": one, "other_leg": other}
        now_s = self._around.clock.monotonic_s()
        self._around.report(Happened(one, kind, now_s, {**legs, **data}))


def _nobody_waits() -> None:
    """A relayed key is answered to nobody."""
