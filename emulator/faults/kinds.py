"""Every fault that can be asked for, declared once.

A fault is carried out by its layer: ``handshake``, ``socket`` and ``messages`` by the
stream to the bot, ``rtp`` by the caller's leg, ``webhook`` by the client of the
customer's web server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from emulator.events import JsonValue

Value = str | int | float


class Layer(Enum):
    """Who carries a fault out."""

    HANDSHAKE = "handshake"
    SOCKET = "socket"
    MESSAGES = "messages"
    RTP = "rtp"
    WEBHOOK = "webhook"


# Close codes that stand for a close without one, or have no meaning (RFC 6455 §7.4.1).
NEVER_ON_THE_WIRE = (1004, 1005, 1006, 1015)
STREAM_LAYERS = frozenset({Layer.HANDSHAKE, Layer.SOCKET, Layer.MESSAGES})


@dataclass(frozen=True, slots=True)
class Parameter:
    """One number or word of a fault.

    Attributes:
        unit: Of the value; empty for words, counts and probabilities.
        choices: The legal words; empty when the range applies.
        minimum, maximum: The legal range, both inclusive.
        never: Values of the range that are refused; ``why`` says why.
    """

    name: str
    default: Value
    why: str
    unit: str = ""
    choices: tuple[str, ...] = ()
    minimum: float = 0.0
    maximum: float = 0.0
    never: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One way to fail.

    Attributes:
        does: What happens, as bot or caller sees it.
        stands_for: The failure of the real world that it imitates.
    """

    name: str
    layer: Layer
    does: str
    stands_for: str
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that was chosen for one call, with all its parameters.

    Attributes:
        seed: For the fault's own dice; the same seed gives the same damage.
    """

    kind: str
    seed: int = 0
    parameters: Mapping[str, Value] = field(default_factory=dict)

    @property
    def layer(self) -> Layer:
        """Who carries it out."""
        return find_kind(self.kind).layer

    def number(self, name: str) -> float:
        """Return a parameter that is a number."""
        return float(self.parameters[name])

    def word(self, name: str) -> str:
        """Return a parameter that is a word."""
        return str(self.parameters[name])

    def describe(self) -> dict[str, JsonValue]:
        """Return the fault as the timeline shows it."""
        stands_for = find_kind(self.kind).stands_for
        return {"fault": self.kind, **self.parameters, "stands_for": stands_for}


def _direction(default: str) -> Parameter:
    return Parameter(
        "direction", default, "Which way.", choices=("to_bot", "from_bot", "both")
    )


def _chance(default: float, of_what: str) -> Parameter:
    return Parameter("chance", default, f"Probability, per {of_what}.", maximum=1)


def _after() -> Parameter:
    return Parameter(
        "after_s", 5.0, "After the stream has opened.", unit="s", maximum=86_400
    )


KINDS: tuple[FaultKind, ...] = (
    FaultKind(
        "refuse",
        Layer.HANDSHAKE,
        "The upgrade is answered with an HTTP status instead of 101; the bot hears "
        "nothing.",
        "A load balancer without a healthy bot behind it, a deployment under way "
        "(502, 503), an expired token (401), a wrong path (404).",
        (
            Parameter("status", 503, "HTTP status.", minimum=300, maximum=599),
            Parameter(
                "attempts", 0, "Only the first so many attempts; 0: every one.",
                maximum=20,
            ),
        ),
    ),
    FaultKind(
        "slow_handshake",
        Layer.HANDSHAKE,
        "The handshake takes longer; past `stream.handshake_timeout_s` it fails.",
        "A bot that starts cold: a container scaled to zero, a model being loaded.",
        (Parameter("delay_s", 3.0, "Added to the handshake.", unit="s", maximum=300),),
    ),
    FaultKind(
        "no_answer",
        Layer.HANDSHAKE,
        "Nothing answers until `stream.handshake_timeout_s` is over.",
        "A firewall or security group that drops packets, a host that is switched off.",
    ),
    FaultKind(
        "drop",
        Layer.SOCKET,
        "The connection ends in the middle of the call; the stream is over and the "
        "flow goes on.",
        "fin: the bot's process is killed. rst: a NAT or load balancer has forgotten "
        "the connection. close: a proxy restarts and says so to both ends.",
        (
            _after(),
            Parameter("how", "fin", "How it ends.", choices=("fin", "rst", "close")),
            Parameter(
                "code", 1012,
                "Close code, for close; those that no frame carries are refused.",
                minimum=1000, maximum=4999, never=NEVER_ON_THE_WIRE,
            ),
        ),
    ),
    FaultKind(
        "half_dead",
        Layer.SOCKET,
        "The connection stays open, but nothing is read from the bot any more, or "
        "nothing is written to it, pongs included.",
        "A path that dies without a FIN: a pulled cable, an expired NAT entry, a "
        "suspended process. TCP tells nobody for minutes.",
        (
            _after(),
            Parameter(
                "stops", "both", "What stops.", choices=("reading", "writing", "both")
            ),
        ),
    ),
    FaultKind(
        "throttle",
        Layer.SOCKET,
        "Messages pass at a limited rate; 8 kHz audio needs some 29,000 bytes a second "
        "each way. What does not fit waits, then the oldest audio is lost.",
        "An uplink too narrow for the stream, or a provider that shapes traffic.",
        (
            Parameter(
                "bytes_per_s", 20_000, "Rate of each direction.",
                unit="bytes/s", minimum=100, maximum=100_000_000,
            ),
            _direction("to_bot"),
        ),
    ),
    FaultKind(
        "latency",
        Layer.SOCKET,
        "Every message comes later; the order stays.",
        "A bot on another continent, behind a tunnel, or on mobile data.",
        (
            Parameter("delay_ms", 150, "Of every message.", unit="ms", maximum=60_000),
            Parameter("jitter_ms", 50, "At most, on top.", unit="ms", maximum=60_000),
            _direction("both"),
        ),
    ),
    FaultKind(
        "late_start",
        Layer.MESSAGES,
        "`start` comes so long after `connected`, with the audio of the time between "
        "right behind it.",
        "A platform node under load that has the socket before it has the call.",
        (Parameter("delay_s", 2.0, "Before start.", unit="s", maximum=60),),
    ),
    FaultKind(
        "double_start",
        Layer.MESSAGES,
        "`start` is sent twice.",
        "A platform node that takes a call over and announces it again.",
    ),
    FaultKind(
        "late_media",
        Layer.MESSAGES,
        "Now and then a media message is held up, and all behind it waits and then "
        "comes at once.",
        "A lost TCP segment: what follows waits for its retransmission.",
        (
            _chance(0.02, "media message"),
            Parameter("delay_ms", 400, "Held up for.", unit="ms", maximum=60_000),
            _direction("to_bot"),
        ),
    ),
    FaultKind(
        "double_media",
        Layer.MESSAGES,
        "Now and then a media message comes twice.",
        "A queue between media server and gateway that delivers at least once.",
        (_chance(0.05, "media message"), _direction("to_bot")),
    ),
    FaultKind(
        "reordered_media",
        Layer.MESSAGES,
        "Now and then a media message comes after its successor.",
        "A sender whose threads write to one socket without an order between them.",
        (_chance(0.05, "media message"), _direction("to_bot")),
    ),
    FaultKind(
        "truncated_json",
        Layer.MESSAGES,
        "Now and then a media message is cut in its middle: a whole frame of text that "
        "is no JSON.",
        "A proxy or middleware that cuts messages at the size of its buffer.",
        (_chance(0.05, "media message"), _direction("to_bot")),
    ),
    FaultKind(
        "clock_skew",
        Layer.MESSAGES,
        "`media.timestamp` disagrees with the amount of audio.",
        "A media server whose clock runs fast or slow, or was stepped by NTP.",
        (
            Parameter(
                "offset_ms", 250, "Added to every timestamp.",
                unit="ms", maximum=86_400_000,
            ),
            Parameter(
                "drift_ppm", 0, "Fast (or slow, below 0) by.",
                unit="ppm", minimum=-100_000, maximum=100_000,
            ),
        ),
    ),
    FaultKind(
        "rtp",
        Layer.RTP,
        "Packets between the caller and the platform are lost, doubled, delayed or "
        "reordered.",
        "A caller on poor Wi-Fi or mobile data; a congested link to the carrier.",
        (
            Parameter(
                "direction", "both", "Which way.",
                choices=("from_caller", "to_caller", "both"),
            ),
            Parameter("loss", 0.0, "Probability, per packet.", maximum=1),
            Parameter("duplicate", 0.0, "Probability, per packet.", maximum=1),
            Parameter("reorder", 0.0, "Probability, per packet.", maximum=1),
            Parameter("delay_ms", 0.0, "Of every packet.", unit="ms", maximum=10_000),
            Parameter("jitter_ms", 0.0, "At most, on top.", unit="ms", maximum=10_000),
            Parameter(
                "reorder_ms", 30.0, "How much later a reordered packet comes.",
                unit="ms", maximum=10_000,
            ),
        ),
    ),
    FaultKind(
        "webhook_twice",
        Layer.WEBHOOK,
        "Each Passthru is sent twice; the answer to the second counts for nothing.",
        "An answer that is lost on its way, after which the client tries again: "
        "handlers are told to expect repeats, by CallSid.",
    ),
)  # fmt: skip

_BY_NAME = {kind.name: kind for kind in KINDS}


def find_kind(name: str) -> FaultKind:
    """Return the kind of that name.

    Raises:
        KeyError: There is none.
    """
    return _BY_NAME[name]
