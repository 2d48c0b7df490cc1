"""Whom a Connect shall ring, and how: from its YAML or from its dynamic URL's answer.

Implements streaming spec §4.5.2, both shapes of ``destination``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal
from urllib.parse import parse_qsl

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from emulator.flow.fields import WebUrl, spoken
from emulator.flow.ports import AudioUrl, Playback, Recording, Source
from emulator.flow.programmable import Answer, AnswerError
from emulator.flow.urls import RESOLVER_SCHEMES, check_url

# Of one list; a caller waits some seconds for each.
MAX_DESTINATIONS = 50
MAX_PARALLEL = 5
# SIP headers made of custom_params (streaming spec §4.5.2, decisions: reserved names).
MAX_SIP_HEADERS = 3
MAX_SIP_HEADER_BYTES = 200
RESERVED_PREFIXES = ("exotel-", "veeno-", "veen-")

_DESTINATION = re.compile(r"user:[\w.@+-]{1,64}|sip:[\w.:;=@+-]{1,128}|\+?[0-9]{3,15}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")


def check_destination(value: str) -> str:
    """Return ``value`` when it names somebody who can be rung."""
    if not _DESTINATION.fullmatch(value):
        raise ValueError("must be user:<name>, sip:<trunk> or a telephone number")
    return value


Destination = Annotated[str, AfterValidator(check_destination)]
Music = Literal["default", "operator_tone", "none"]


@dataclass(frozen=True, slots=True)
class ConnectPlan:
    """One round of dialling.

    Attributes:
        parallel: How many are rung at once; 1 is one after the other.
        is_asked_again: After a failed attempt the URL is asked for the next round.
        notes: What in the answer could not be kept.
    """

    destinations: tuple[str, ...]
    parallel: int = 1
    ring_s: float = 45.0
    talk_s: float | None = None
    caller_id: str | None = None
    record: Recording | None = None
    music_on_hold: Source | Music = "default"
    playback: Playback | None = None
    sip_headers: tuple[tuple[str, str], ...] = ()
    event_url: str | None = None
    is_asked_again: bool = False
    notes: tuple[str, ...] = ()

    def groups(self) -> Iterator[tuple[str, ...]]:
        """Yield those that are rung at once, in order."""
        for start in range(0, len(self.destinations), self.parallel):
            yield self.destinations[start : start + self.parallel]


def _as_text(value: object) -> object:
    """Return what is no text as its JSON: a destination that nobody is."""
    is_plain = isinstance(value, (str, int)) and not isinstance(value, bool)
    return value if is_plain else json.dumps(value)


Wanted = Annotated[str, BeforeValidator(_as_text)]


class _Destinations(Answer):
    ESSENTIAL: ClassVar[frozenset[str]] = frozenset({"numbers"})

    numbers: tuple[Wanted, ...] = ()
    trunk: str | None = None


class _Contact(Answer):
    contact_uri: Wanted

    @model_validator(mode="before")
    @classmethod
    def _is_object(cls, data: object) -> object:
        """Take a bare text for the URI, and anything else for nobody's."""
        is_contact = isinstance(data, dict) and "contact_uri" in data
        return data if is_contact else {"contact_uri": data}


class _Music(Answer):
    type: str
    value: WebUrl | None = None


class _StartPlayback(Answer):
    playback_to: Literal["callee", "both"] = "both"
    type: Literal["text", "audio_url"]
    value: Annotated[str, Field(min_length=1, max_length=1000)]


class _Parallel(Answer):
    activate: bool = False
    max_parallel_attempts: int = MAX_PARALLEL


class ConnectAnswer(Answer):
    """What a Connect URL answers."""

    fetch_after_attempt: bool = False
    destination: _Destinations | tuple[_Contact, ...]
    outgoing_phone_number: str | None = None
    record: bool = False
    recording_channels: Literal["single", "dual"] = "single"
    max_ringing_duration: Annotated[float, Field(gt=0, le=600)] = 45.0
    max_conversation_duration: Annotated[float, Field(gt=0)] | None = None
    music_on_hold: _Music | None = None
    start_call_playback: _StartPlayback | None = None
    parallel_ringing: _Parallel | None = None
    dial_passthru_event_url: WebUrl | None = None
    custom_params: str = ""

    def plan(self, silence_ms: int) -> ConnectPlan:
        """Return what to do, and notes on what could not be kept."""
        headers, notes = sip_headers(self.custom_params)
        playback, music = self._playback(silence_ms, notes), self._music(notes)
        destinations, strange = _usable(self._wanted())
        ringing = self.parallel_ringing
        is_parallel = ringing is not None and ringing.activate
        limit = ringing.max_parallel_attempts if ringing else MAX_PARALLEL
        if limit < 1:
            notes.append(f"max_parallel_attempts {limit}: one after the other")
        return ConnectPlan(
            destinations=destinations,
            parallel=max(1, min(limit, MAX_PARALLEL)) if is_parallel else 1,
            ring_s=self.max_ringing_duration,
            talk_s=self.max_conversation_duration,
            caller_id=self.outgoing_phone_number,
            record=Recording(self.recording_channels) if self.record else None,
            music_on_hold=music,
            playback=playback,
            sip_headers=headers,
            event_url=self.dial_passthru_event_url,
            is_asked_again=self.fetch_after_attempt,
            notes=(*notes, *strange),
        )

    def _wanted(self) -> list[str]:
        if isinstance(self.destination, _Destinations):
            trunk = self.destination.trunk
            wanted = list(self.destination.numbers)
            return [*wanted, f"sip:{trunk.removeprefix('sip:')}"] if trunk else wanted
        return [contact.contact_uri for contact in self.destination]

    def _music(self, notes: list[str]) -> Source | Music:
        wanted = self.music_on_hold
        if wanted is None:
            return "default"
        if wanted.value is not None:
            return AudioUrl(wanted.value)
        if wanted.type not in ("operator_tone", "default_tone"):
            notes.append(f"music_on_hold {wanted.type[:40]!r} without value: default")
        return "operator_tone" if wanted.type == "operator_tone" else "default"

    def _playback(self, silence_ms: int, notes: list[str]) -> Playback | None:
        wanted = self.start_call_playback
        if wanted is None:
            return None
        if wanted.type == "audio_url":
            try:
                url = check_url(wanted.value, RESOLVER_SCHEMES)
            except ValueError as error:
                notes.append(f"start_call_playback is left out: its audio_url {error}")
                return None
            return Playback(wanted.playback_to, (AudioUrl(url),))
        return Playback(wanted.playback_to, (spoken(wanted.value, silence_ms),))


def parse_numbers(body: str) -> tuple[tuple[str, ...], list[str]]:
    """Return the destinations of a ``text/plain`` list, separated by commas, and notes.

    Raises:
        AnswerError: There are entries, and none is a destination.
    """
    destinations, strange = _usable(
        [entry.strip() for entry in body.split(",") if entry.strip()]
    )
    if strange and not destinations:
        raise AnswerError(strange[0])
    return destinations, strange


def _usable(wanted: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """Return those that can be rung, and notes on the others."""
    usable: list[str] = []
    notes: list[str] = []
    for destination in wanted[:MAX_DESTINATIONS]:
        if _DESTINATION.fullmatch(destination):
            usable.append(destination)
        else:
            notes.append(f"{destination[:80]!r} is nobody who can be rung")
    if len(wanted) > MAX_DESTINATIONS:
        notes.append(f"more than {MAX_DESTINATIONS} destinations: the rest is left out")
    return tuple(usable), notes


def sip_headers(custom_params: str) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    """Return ``a=b&c=d`` as SIP headers ``X-a`` and ``X-c``, and notes on the rest."""
    headers: list[tuple[str, str]] = []
    notes: list[str] = []
    size_bytes = 0
    for name, value in parse_qsl(custom_params, keep_blank_values=True):
        more_bytes = len(name.encode()) + len(value.encode())
        if not _HEADER_NAME.fullmatch(name) or not value.isprintable():
            notes.append(f"custom_params: {name[:40]!r} makes no SIP header")
        elif name.lower().startswith(RESERVED_PREFIXES):
            notes.append(f"custom_params: {name!r} is a reserved name")
        elif len(headers) >= MAX_SIP_HEADERS or (
            size_bytes + more_bytes > MAX_SIP_HEADER_BYTES
        ):
            limits = f"{MAX_SIP_HEADERS} headers of {MAX_SIP_HEADER_BYTES} bytes"
            notes.append(f"custom_params: {name!r} is beyond {limits}")
        else:
            size_bytes += more_bytes
            headers.append((f"X-{name}", value))
    return tuple(headers), notes
