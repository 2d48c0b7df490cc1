"""What a call is given: the rest of the emulator, as far as calls need it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from emulator.calls.audio_urls import AudioUrls
from emulator.calls.captures import Captures
from emulator.calls.dialing import Phone
from emulator.calls.flow_facts import flow_options
from emulator.calls.leg import Workers
from emulator.calls.outbox import Outbox
from emulator.calls.recordings import Recordings
from emulator.calls.streams import StreamLimit
from emulator.calls.webhooks import Webhooks
from emulator.clock import Clock
from emulator.config import Settings
from emulator.faults import FaultBook
from emulator.flow.context import FlowOptions
from emulator.ids import IdSource


class Rendering(Protocol):
    """A text as audio: its file, or why there is none."""

    @property
    def path(self) -> Path | None:
        """A WAV file, or None."""

    @property
    def error(self) -> str | None:
        """Why there is no file, in one line."""


class Speech(Protocol):
    """Speaks the texts of greetings."""

    def lookup(self, text: str) -> Rendering:
        """Return ``text`` as audio if that is there already."""

    async def render(self, texts: Iterable[str]) -> Mapping[str, Rendering]:
        """Return ``texts`` as audio; make what is missing."""


@dataclass(frozen=True)
class CallServices:
    """The rest of the emulator.

    Attributes:
        streams: The streams of all calls, and how many there may be.
        faults: What shall go wrong on purpose.
        recordings: What flows ask to be recorded.
        captures: Both sides of some calls, as long as these are remembered.
        announce: Called with the call's SID at every new timeline entry.
        webhooks: Asks customers' servers.
        outbox: Keeps what flows send.
    """

    settings: Settings
    clock: Clock
    ids: IdSource
    workers: Workers
    speech: Speech
    phone: Phone
    streams: StreamLimit
    faults: FaultBook
    recordings: Recordings
    captures: Captures
    announce: Callable[[str], None]
    webhooks: Webhooks
    audio_urls: AudioUrls
    outbox: Outbox

    @cached_property
    def flow_options(self) -> FlowOptions:
        """The engine's knobs, the same for every call."""
        return flow_options(self.settings)
