"""What happens in a call: the record that the timeline keeps.

One frozen shape serves every event, because the timeline is read by the page, the API,
the command line and tests alike; ``EVENT_KINDS`` is the closed list of kinds with what
each one means. ``data`` holds JSON values only and never a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

JsonValue = (
    str | int | float | bool | None | list["JsonValue"] | Mapping[str, "JsonValue"]
)

EVENT_KINDS: Mapping[str, str] = {
    "call.created": "an INVITE reached a flow, or a call was placed",
    "call.ringing": "the caller hears ringing",
    "call.answered": "the 2xx was acknowledged: the call is up",
    "call.ended": "the call is over: who ended it, why, and how long it lasted",
    "call.rejected": "the door refused the call: which rule, value and setting",
    "call.bridged": "caller and callee hear each other; early: before the answer",
    "leg.dialled": "a further party of the call is rung; `leg` names it from now on",
    "leg.ringing": "the phone of a further party rings",
    "leg.answered": "a further party answered",
    "leg.ended": "a further party is gone: who ended it, why, and how long it lasted",
    "leg.held": "a party put the other one on hold",
    "leg.resumed": "a party took the other one back",
    "transfer.asked": "a party sent REFER: whom it wants in its place, or the refusal",
    "transfer.ended": "somebody else has the party's place, or why nobody has",
    "sip.received": "a SIP message came in on this call",
    "sip.sent": "a SIP message went out on this call",
    "media.started": "the RTP port is open: codec, port and expected peer",
    "media.latched": "the first RTP packet of the peer fixed its address",
    "media.first_audio": "the first audio packet came from the caller",
    "media.bridged": "two parties of the call hear each other from now on",
    "media.parted": "they do so no more: why, how long, and what each one missed",
    "media.stats": "counters of the RTP leg at its end",
    "media.timeout": "no RTP came from the caller for too long",
    "flow.started": "the flow began",
    "flow.ended": "the flow has no next applet",
    "applet.entered": "an applet took over the call",
    "applet.left": "an applet ended: the exit taken, and why",
    "prompt.started": "a prompt began to play to the caller",
    "prompt.ended": "a prompt ended: played to the end, or cut",
    "webhook.sent": "a request to a customer's server: purpose, method and URL",
    "webhook.answered": "its answer, or why there is none, and how long it took",
    "message.sent": "an SMS or email was put into the outbox",
    "recording.started": "a leg is being recorded: format, channels and URL",
    "recording.ended": "a recording is complete: its length, or why there is none",
    "digit": "the caller pressed a key",
    "stream.connecting": "the bot's WebSocket is being dialled",
    "stream.opened": "the WebSocket handshake with the bot succeeded",
    "stream.sent": "connected, start, dtmf, mark or stop went to the bot",
    "stream.received": "mark, clear, stop or another control message of the bot",
    "stream.cleared": "a clear took effect: ms dropped, ms until silence",
    "stream.media_to_bot": "the first media message went to the bot",
    "stream.media_from_bot": "the first media message of the bot arrived",
    "stream.playout": "what became of the bot's audio: holes, and what was cut or lost",
    "stream.failed": "the stream could not be set up: the error in full",
    "stream.closed": "the stream ended: close code, reason, who closed first",
    "note": "accepted here, but not portable or not expected: which rule",
    "fault.chosen": "a fault was chosen for this call: what shall go wrong on purpose",
    "fault.acted": "a chosen fault did something; at the stream's end how often",
    "worker.lost": "the media worker of this call died",
}


class Event(NamedTuple):
    """One thing that happened.

    Attributes:
        kind: A key of ``EVENT_KINDS``.
        at_s: Monotonic seconds when it happened; the same clock in every process of
            the machine, so worker and control times compare.
        data: JSON values that say more; keys carry their units.
    """

    kind: str
    at_s: float
    data: Mapping[str, JsonValue] = MappingProxyType({})
