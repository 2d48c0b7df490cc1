"""The four transaction machines of RFC 3261 §17, as tables, with RFC 6026's states.

::

    INVITE client                    non-INVITE client
    CALLING -> PROCEEDING            TRYING -> PROCEEDING
       |  \\        |   \\                \\        |
       |   +-> COMPLETED |                +-> COMPLETED -> TERMINATED
       |  2xx      |D    v                        K
       +-----> ACCEPTED -> TERMINATED
                        M
    INVITE server                    non-INVITE server
    PROCEEDING -> COMPLETED          TRYING -> PROCEEDING
        |  2xx       | ACK               \\        |
        v            v                    +-> COMPLETED -> TERMINATED
    ACCEPTED     CONFIRMED                        J
        | L          | I
        +-> TERMINATED <-+

A table maps (state, input) to the next state and the actions on the way. An empty
action tuple means "ignore", written down. A pair that is absent can only be our own
mistake and raises ``LocalProtocolError``; a test holds that everything a peer, a timer
or a socket can cause is present.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final, NamedTuple, TypeAlias

from emulator.sip.timers import Timer


class State(Enum):
    """Transaction states, of all four machines."""

    # Members are unique: their identity hashes faster than their names.
    __hash__ = object.__hash__

    CALLING = auto()
    TRYING = auto()
    PROCEEDING = auto()
    COMPLETED = auto()
    CONFIRMED = auto()
    ACCEPTED = auto()
    TERMINATED = auto()


class Input(Enum):
    """What can happen to a transaction, beside its timers."""

    __hash__ = object.__hash__

    START = auto()
    RECEIVE_1XX = auto()
    RECEIVE_2XX = auto()
    RECEIVE_3XX_TO_6XX = auto()
    RECEIVE_REQUEST = auto()
    RECEIVE_ACK = auto()
    SEND_1XX = auto()
    SEND_2XX = auto()
    SEND_3XX_TO_6XX = auto()
    SEND_CANCEL = auto()
    CANCEL_ERROR = auto()
    TRANSPORT_ERROR = auto()


class Do(Enum):
    """What a machine does on the way to its next state."""

    SEND_REQUEST = auto()
    RESEND_REQUEST = auto()
    SEND_ACK = auto()
    RESEND_ACK = auto()
    SEND_RESPONSE = auto()
    RESEND_RESPONSE = auto()
    DELIVER = auto()
    REPORT_TIMEOUT = auto()
    REPORT_TRANSPORT_ERROR = auto()


class Start(NamedTuple):
    """Start a timer at its first value."""

    timer: Timer


class Again(NamedTuple):
    """Start a timer at its next, longer value."""

    timer: Timer


class AtT2(NamedTuple):
    """Start a timer at T2 (Timer E once a provisional response is there)."""

    timer: Timer


class Stop(NamedTuple):
    """Stop a timer."""

    timer: Timer


Action: TypeAlias = Do | Start | Again | AtT2 | Stop
Step: TypeAlias = tuple[State, tuple[Action, ...]]
Table: TypeAlias = Mapping[tuple[State, Input | Timer], Step]

# RFC 3261 figure 5, RFC 6026 §8.4. Timer B guards the wait for any response only; how
# long a call may ring is the session's business. Timer C, which a proxy has (§16.6),
# ends what a peer leaves open for ever after a provisional response. After a CANCEL the
# wait is 64*T1 (§9.1), and over at once if the CANCEL cannot be sent.
INVITE_CLIENT: Final[Table] = {
    (State.CALLING, Input.START): (
        State.CALLING,
        (Do.SEND_REQUEST, Start(Timer.A), Start(Timer.B)),
    ),
    (State.CALLING, Timer.A): (State.CALLING, (Do.RESEND_REQUEST, Again(Timer.A))),
    (State.CALLING, Timer.B): (State.TERMINATED, (Do.REPORT_TIMEOUT,)),
    (State.CALLING, Input.TRANSPORT_ERROR): (
        State.TERMINATED,
        (Do.REPORT_TRANSPORT_ERROR,),
    ),
    (State.CALLING, Input.RECEIVE_1XX): (
        State.PROCEEDING,
        (Stop(Timer.A), Stop(Timer.B), Start(Timer.C), Do.DELIVER),
    ),
    (State.CALLING, Input.RECEIVE_2XX): (
        State.ACCEPTED,
        (Stop(Timer.A), Stop(Timer.B), Start(Timer.M), Do.DELIVER),
    ),
    (State.CALLING, Input.RECEIVE_3XX_TO_6XX): (
        State.COMPLETED,
        (Stop(Timer.A), Stop(Timer.B), Do.SEND_ACK, Do.DELIVER, Start(Timer.D)),
    ),
    (State.PROCEEDING, Input.RECEIVE_1XX): (State.PROCEEDING, (Do.DELIVER,)),
    (State.PROCEEDING, Input.RECEIVE_2XX): (
        State.ACCEPTED,
        (Stop(Timer.C), Stop(Timer.CANCELLED), Start(Timer.M), Do.DELIVER),
    ),
    (State.PROCEEDING, Input.RECEIVE_3XX_TO_6XX): (
        State.COMPLETED,
        (
            Stop(Timer.C),
            Stop(Timer.CANCELLED),
            Do.SEND_ACK,
            Do.DELIVER,
            Start(Timer.D),
        ),
    ),
    (State.PROCEEDING, Timer.C): (State.TERMINATED, (Do.REPORT_TIMEOUT,)),
    (State.PROCEEDING, Input.SEND_CANCEL): (
        State.PROCEEDING,
        (Stop(Timer.C), Start(Timer.CANCELLED)),
    ),
    (State.PROCEEDING, Timer.CANCELLED): (State.TERMINATED, (Do.REPORT_TIMEOUT,)),
    (State.PROCEEDING, Input.CANCEL_ERROR): (
        State.TERMINATED,
        (Do.REPORT_TRANSPORT_ERROR,),
    ),
    (State.PROCEEDING, Input.TRANSPORT_ERROR): (State.PROCEEDING, ()),
    (State.COMPLETED, Input.RECEIVE_1XX): (State.COMPLETED, ()),
    (State.COMPLETED, Input.RECEIVE_2XX): (State.COMPLETED, ()),
    (State.COMPLETED, Input.RECEIVE_3XX_TO_6XX): (State.COMPLETED, (Do.RESEND_ACK,)),
    (State.COMPLETED, Timer.D): (State.TERMINATED, ()),
    # The final response has been delivered: that its ACK is lost concerns nobody.
    (State.COMPLETED, Input.TRANSPORT_ERROR): (State.TERMINATED, ()),
    # The CANCEL crossed the final response.
    (State.COMPLETED, Input.CANCEL_ERROR): (State.COMPLETED, ()),
    (State.ACCEPTED, Input.CANCEL_ERROR): (State.ACCEPTED, ()),
    (State.ACCEPTED, Input.RECEIVE_1XX): (State.ACCEPTED, ()),
    (State.ACCEPTED, Input.RECEIVE_2XX): (State.ACCEPTED, (Do.DELIVER,)),
    (State.ACCEPTED, Input.RECEIVE_3XX_TO_6XX): (State.ACCEPTED, ()),
    (State.ACCEPTED, Timer.M): (State.TERMINATED, ()),
    (State.ACCEPTED, Input.TRANSPORT_ERROR): (State.ACCEPTED, ()),
}

# RFC 3261 figure 6.
NON_INVITE_CLIENT: Final[Table] = {
    (State.TRYING, Input.START): (
        State.TRYING,
        (Do.SEND_REQUEST, Start(Timer.E), Start(Timer.F)),
    ),
    (State.TRYING, Timer.E): (State.TRYING, (Do.RESEND_REQUEST, Again(Timer.E))),
    (State.TRYING, Timer.F): (State.TERMINATED, (Do.REPORT_TIMEOUT,)),
    (State.TRYING, Input.TRANSPORT_ERROR): (
        State.TERMINATED,
        (Do.REPORT_TRANSPORT_ERROR,),
    ),
    (State.TRYING, Input.RECEIVE_1XX): (State.PROCEEDING, (Do.DELIVER,)),
    (State.TRYING, Input.RECEIVE_2XX): (
        State.COMPLETED,
        (Stop(Timer.E), Stop(Timer.F), Do.DELIVER, Start(Timer.K)),
    ),
    (State.TRYING, Input.RECEIVE_3XX_TO_6XX): (
        State.COMPLETED,
        (Stop(Timer.E), Stop(Timer.F), Do.DELIVER, Start(Timer.K)),
    ),
    (State.PROCEEDING, Timer.E): (State.PROCEEDING, (Do.RESEND_REQUEST, AtT2(Timer.E))),
    (State.PROCEEDING, Timer.F): (State.TERMINATED, (Do.REPORT_TIMEOUT,)),
    (State.PROCEEDING, Input.TRANSPORT_ERROR): (
        State.TERMINATED,
        (Do.REPORT_TRANSPORT_ERROR,),
    ),
    (State.PROCEEDING, Input.RECEIVE_1XX): (State.PROCEEDING, (Do.DELIVER,)),
    (State.PROCEEDING, Input.RECEIVE_2XX): (
        State.COMPLETED,
        (Stop(Timer.E), Stop(Timer.F), Do.DELIVER, Start(Timer.K)),
    ),
    (State.PROCEEDING, Input.RECEIVE_3XX_TO_6XX): (
        State.COMPLETED,
        (Stop(Timer.E), Stop(Timer.F), Do.DELIVER, Start(Timer.K)),
    ),
    (State.COMPLETED, Input.RECEIVE_1XX): (State.COMPLETED, ()),
    (State.COMPLETED, Input.RECEIVE_2XX): (State.COMPLETED, ()),
    (State.COMPLETED, Input.RECEIVE_3XX_TO_6XX): (State.COMPLETED, ()),
    (State.COMPLETED, Timer.K): (State.TERMINATED, ()),
    (State.COMPLETED, Input.TRANSPORT_ERROR): (State.COMPLETED, ()),
}

# RFC 3261 figure 7, RFC 6026 §8.5. The 100 goes out at once from the user agent.
INVITE_SERVER: Final[Table] = {
    (State.PROCEEDING, Input.START): (State.PROCEEDING, (Do.DELIVER,)),
    (State.PROCEEDING, Input.RECEIVE_REQUEST): (
        State.PROCEEDING,
        (Do.RESEND_RESPONSE,),
    ),
    # No final response yet, so this ACK acknowledges nothing.
    (State.PROCEEDING, Input.RECEIVE_ACK): (State.PROCEEDING, ()),
    (State.PROCEEDING, Input.SEND_1XX): (State.PROCEEDING, (Do.SEND_RESPONSE,)),
    (State.PROCEEDING, Input.SEND_2XX): (
        State.ACCEPTED,
        (Do.SEND_RESPONSE, Start(Timer.L)),
    ),
    (State.PROCEEDING, Input.SEND_3XX_TO_6XX): (
        State.COMPLETED,
        (Do.SEND_RESPONSE, Start(Timer.G), Start(Timer.H)),
    ),
    (State.PROCEEDING, Input.TRANSPORT_ERROR): (
        State.TERMINATED,
        (Do.REPORT_TRANSPORT_ERROR,),
    ),
    (State.COMPLETED, Input.RECEIVE_REQUEST): (State.COMPLETED, (Do.RESEND_RESPONSE,)),
    (State.COMPLETED, Timer.G): (
        State.COMPLETED,
        (Do.RESEND_RESPONSE, Again(Timer.G)),
    ),
    (State.COMPLETED, Input.RECEIVE_ACK): (
        State.CONFIRMED,
        (Stop(Timer.G), Stop(Timer.H), Start(Timer.I)),
    ),
    # A refused caller who never acknowledges is over and done with.
    (State.COMPLETED, Timer.H): (State.TERMINATED, ()),
    (State.COMPLETED, Input.TRANSPORT_ERROR): (State.TERMINATED, ()),
    (State.CONFIRMED, Input.RECEIVE_REQUEST): (State.CONFIRMED, ()),
    (State.CONFIRMED, Input.RECEIVE_ACK): (State.CONFIRMED, ()),
    (State.CONFIRMED, Timer.I): (State.TERMINATED, ()),
    (State.CONFIRMED, Input.TRANSPORT_ERROR): (State.CONFIRMED, ()),
    (State.ACCEPTED, Input.RECEIVE_REQUEST): (State.ACCEPTED, ()),
    (State.ACCEPTED, Input.RECEIVE_ACK): (State.ACCEPTED, (Do.DELIVER,)),
    (State.ACCEPTED, Input.SEND_2XX): (State.ACCEPTED, (Do.SEND_RESPONSE,)),
    (State.ACCEPTED, Timer.L): (State.TERMINATED, ()),
    (State.ACCEPTED, Input.TRANSPORT_ERROR): (
        State.ACCEPTED,
        (Do.REPORT_TRANSPORT_ERROR,),
    ),
}

# RFC 3261 figure 8.
NON_INVITE_SERVER: Final[Table] = {
    (State.TRYING, Input.START): (State.TRYING, (Do.DELIVER,)),
    (State.TRYING, Input.RECEIVE_REQUEST): (State.TRYING, ()),
    (State.TRYING, Input.SEND_1XX): (State.PROCEEDING, (Do.SEND_RESPONSE,)),
    (State.TRYING, Input.SEND_2XX): (
        State.COMPLETED,
        (Do.SEND_RESPONSE, Start(Timer.J)),
    ),
    (State.TRYING, Input.SEND_3XX_TO_6XX): (
        State.COMPLETED,
        (Do.SEND_RESPONSE, Start(Timer.J)),
    ),
    (State.TRYING, Input.TRANSPORT_ERROR): (State.TERMINATED, ()),
    (State.PROCEEDING, Input.RECEIVE_REQUEST): (
        State.PROCEEDING,
        (Do.RESEND_RESPONSE,),
    ),
    (State.PROCEEDING, Input.SEND_1XX): (State.PROCEEDING, (Do.SEND_RESPONSE,)),
    (State.PROCEEDING, Input.SEND_2XX): (
        State.COMPLETED,
        (Do.SEND_RESPONSE, Start(Timer.J)),
    ),
    (State.PROCEEDING, Input.SEND_3XX_TO_6XX): (
        State.COMPLETED,
        (Do.SEND_RESPONSE, Start(Timer.J)),
    ),
    (State.PROCEEDING, Input.TRANSPORT_ERROR): (State.TERMINATED, ()),
    (State.COMPLETED, Input.RECEIVE_REQUEST): (State.COMPLETED, (Do.RESEND_RESPONSE,)),
    (State.COMPLETED, Timer.J): (State.TERMINATED, ()),
    (State.COMPLETED, Input.TRANSPORT_ERROR): (State.TERMINATED, ()),
}
