"""Every verb that is carried out: the one place to plug a handler in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emulator.calls.verbs.line import HANG_UP, STAY_ON_LINE
from emulator.calls.verbs.prompts import PLAY
from emulator.calls.verbs.stage import VerbHandler
from emulator.calls.verbs.streams import OPEN_STREAM
from emulator.flow.ports import Capability, Verb

HANDLERS: Mapping[type[Verb[Any]], VerbHandler] = {
    entry.verb: entry for entry in (PLAY, OPEN_STREAM, HANG_UP, STAY_ON_LINE)
}

# What they can do together; a flow that needs more is refused when it is loaded.
CAPABILITIES: frozenset[Capability] = frozenset().union(
    *(entry.capabilities for entry in HANDLERS.values())
)
