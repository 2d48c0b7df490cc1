"""The timer values of RFC 3261 table 4, from T1, T2 and T4."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Timer(Enum):
    """Transaction timers, by their letter in RFC 3261 and RFC 6026."""

    __hash__ = object.__hash__

    A = "INVITE request retransmission"
    B = "INVITE transaction time-out"
    C = "wait for a final response after a provisional one"
    D = "wait for response retransmissions, INVITE client"
    E = "non-INVITE request retransmission"
    F = "non-INVITE transaction time-out"
    G = "INVITE response retransmission"
    H = "wait for ACK"
    I = "wait for ACK retransmissions"  # noqa: E741 - the RFC's name
    J = "wait for non-INVITE request retransmissions"
    K = "wait for response retransmissions, non-INVITE client"
    L = "wait for accepted INVITE retransmissions"
    M = "wait for 2xx retransmissions"
    # RFC 3261 §9.1 gives it no letter.
    CANCELLED = "wait for the final response to an INVITE that was cancelled"


@dataclass(frozen=True, slots=True)
class SipTimers:
    """Base values, in seconds; tests shorten them, nothing else should.

    Attributes:
        t1_s: Estimate of a round trip.
        t2_s: Longest interval between retransmissions.
        t4_s: How long a message may stay in the network.
        c_s: Timer C, which the RFC has for proxies, above 180 s; here above the
            600 s that a call may ring; a CANCEL replaces it by 64*T1.
        d_s: Timer D on UDP; the RFC asks for more than 32 s.
    """

    t1_s: float = 0.5
    t2_s: float = 4.0
    t4_s: float = 5.0
    c_s: float = 660.0
    d_s: float = 32.0

    @property
    def timeout_s(self) -> float:
        """64*T1: timers B, F, H, J, L, M, the waits after a CANCEL and for an ACK."""
        return 64 * self.t1_s

    def initial_s(self, timer: Timer, *, reliable: bool) -> float:
        """Return the first duration of ``timer``; 0 means that it ends at once."""
        match timer:
            case Timer.A | Timer.E | Timer.G:
                return self.t1_s
            case Timer.B | Timer.F | Timer.H | Timer.L | Timer.M | Timer.CANCELLED:
                return self.timeout_s
            case Timer.C:
                return self.c_s
            case Timer.D:
                return 0.0 if reliable else self.d_s
            case Timer.I | Timer.K:
                return 0.0 if reliable else self.t4_s
            case Timer.J:
                return 0.0 if reliable else self.timeout_s

    def next_s(self, timer: Timer, previous_s: float) -> float:
        """Return the interval after ``previous_s``: doubled, E and G capped at T2."""
        doubled = 2 * previous_s
        return doubled if timer is Timer.A else min(doubled, self.t2_s)
