"""Every verb that is carried out: the one place to plug a handler in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emulator.calls.verbs.clock import TELL_TIME
from emulator.calls.verbs.connecting import DIAL
from emulator.calls.verbs.digits import COLLECT
from emulator.calls.verbs.line import HANG_UP, STAY_ON_LINE
from emulator.calls.verbs.messages import SEND_MESSAGE
from emulator.calls.verbs.prompts import PLAY
from emulator.calls.verbs.requests import FETCH
from emulator.calls.verbs.stage import VerbHandler
from emulator.calls.verbs.streams import (
    FAIL_STREAM,
    OPEN_STREAM,
    START_STREAM,
    STOP_STREAM,
)
from emulator.calls.verbs.voice import RECORD_VOICE
from emulator.flow.ports import Capability, Verb

_HANDLERS = (
    PLAY, COLLECT, RECORD_VOICE, OPEN_STREAM, START_STREAM, STOP_STREAM,
    FAIL_STREAM, FETCH, TELL_TIME, DIAL, SEND_MESSAGE, HANG_UP, STAY_ON_LINE,
)  # fmt: skip
HANDLERS: Mapping[type[Verb[Any]], VerbHandler] = {
    entry.verb: entry for entry in _HANDLERS
}

# What they can do together; a flow that needs more is refused when it is loaded. Going
# on in another flow needs no verb.
CAPABILITIES: frozenset[Capability] = frozenset({Capability.TRANSFER}).union(
    *(entry.capabilities for entry in _HANDLERS)
)
