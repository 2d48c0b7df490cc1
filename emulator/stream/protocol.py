"""The stream's conversation: order, counters, timestamps and outstanding marks.

    connected, start, (media | dtmf | mark)*, stop          (streaming spec §2.0)

Input in, frozen effects out; only audio takes short ways of its own (``chunks``,
``usual_media``), which the conversation opens and closes. A call
that is illegal in the current phase does nothing: callers of the media plane cannot
know that the bot has just gone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from emulator.events import JsonValue
from emulator.stream.bot_messages import (
    BotClear,
    BotMark,
    BotMessageReader,
    BotStop,
)
from emulator.stream.chunks import ChunkWriter
from emulator.stream.interface import SAMPLE_BYTES, StreamRequest
from emulator.stream.messages import CONNECTED, MessageWriter, start_body
from emulator.stream.rules import Example, RuleLedger, format_example
from emulator.stream.usual_media import UsualMedia
from emulator.stream_options import StreamOptions

# A bot that answers each echo with a mark would loop at the speed of the socket; so
# many echoes leave at once, the rest with the next chunks.
MARK_ECHOES_PER_CHUNK = 10
# Marks wait behind audio for as long as the bot has sent ahead: bounded by their names.
MAX_OUTSTANDING_MARK_BYTES = 1 << 20
MARK_OVERHEAD_BYTES = 64
# Control messages on the timeline; a storm is counted, not told.
MAX_REPORTED_MESSAGES = 2000


@dataclass(frozen=True, slots=True)
class Send:
    """Put ``text`` on the wire as one text message."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Report:
    """Tell the timeline."""

    kind: str
    data: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class QueueMark:
    """Queue ``name`` behind the audio received so far."""

    name: str


@dataclass(frozen=True, slots=True)
class ClearAudio:
    """Drop queued audio."""


@dataclass(frozen=True, slots=True)
class EndByBot:
    """The bot asked for the end of the stream."""


Effect: TypeAlias = Send | Report | QueueMark | ClearAudio | EndByBot
_NOTHING: tuple[Effect, ...] = ()


class Phase(Enum):
    """Where the conversation stands."""

    BEFORE = auto()
    TALKING = auto()
    STOPPED = auto()


@dataclass(slots=True)
class Counters:
    """What went each way beside our chunks; a part of ``StreamOutcome.stats``."""

    media_from_bot: int = 0
    audio_from_bot_bytes: int = 0
    marks_received: int = 0
    marks_echoed: int = 0
    clears: int = 0
    digits: int = 0
    unreported: int = 0


class StreamProtocol:
    """One conversation with one bot.

    Attributes:
        chunks: Writes our media, while the conversation takes some.
        usual: Takes the bot's media that needs no reading; it is known only while the
            conversation takes media, and counts for it.
    """

    def __init__(
        self,
        request: StreamRequest,
        options: StreamOptions,
        custom_parameters: Mapping[str, str],
        sample_rate_hz: int,
    ) -> None:
        self._request = request
        self._options = options
        self._body = start_body(request, custom_parameters, sample_rate_hz, options)
        self.sample_rate_hz = sample_rate_hz
        self._bytes_per_s = sample_rate_hz * SAMPLE_BYTES[request.codec]
        self.chunk_bytes = self._bytes_per_s * options.media_chunk_ms // 1000
        self._writer = MessageWriter(request.stream_sid, options)
        self._ledger = RuleLedger()
        self.usual = UsualMedia(self._count_usual)
        self._reader = BotMessageReader(request, options, self.note, self.usual)
        self.counters = Counters()
        self.phase = Phase.BEFORE
        self.chunks = ChunkWriter(
            self._writer.media_template,
            options.media_chunk_ms,
            options.timestamp_origin,
        )
        self._outstanding: dict[str, int] = {}
        self._outstanding_bytes = 0
        # Echoes that may still leave before the next chunk, and the chunks before it.
        self._echoes_left = MARK_ECHOES_PER_CHUNK
        self._echoes_after = 0
        self._late_echoes: deque[tuple[str, int]] = deque()
        self._effects: list[Effect] = []
        self._reports_left = MAX_REPORTED_MESSAGES

    # -- towards the bot

    def open(self) -> Sequence[Effect]:
        """The socket is open: say ``connected`` and ``start``."""
        self._enter(Phase.TALKING)
        self._send("connected", CONNECTED, {})
        number = self._next_number()
        start = self._writer.start(number, self._body)
        self._send("start", start, {"sequence_number": number, "start": self._body})
        return self._take_effects()

    def skip_media(self) -> None:
        """One chunk was dropped on its way: a gap in chunk and timestamp tells."""
        self.chunks.skip()
        self.note("bot.slow_reader", f"{self._options.media_chunk_ms} ms")

    def digit(self, digit: str, duration_ms: int) -> Sequence[Effect]:
        """The caller has pressed and released a key (two-way streams only)."""
        if self.phase is not Phase.TALKING or not self._request.two_way:
            return _NOTHING
        self.counters.digits += 1
        number = self._next_number()
        shown = "hidden" if self._request.hide_digits else digit
        data: dict[str, JsonValue] = {"digit": shown, "duration_ms": duration_ms}
        self._send("dtmf", self._writer.dtmf(number, digit, duration_ms), data)
        return self._take_effects()

    def mark_played(self, name: str) -> Sequence[Effect]:
        """What came before mark ``name`` has been played, or was cleared."""
        if self.phase is not Phase.TALKING:
            return _NOTHING
        cost = self._strike_off(name)
        if self._may_echo() and not self._late_echoes:
            self._echo(name, cost)
        else:
            self._late_echoes.append((name, cost))
            self.chunks.is_followed = True
            self.note("mark.storm", name)
        return self._take_effects()

    def after_chunk(self, audio_bytes: int) -> Sequence[Effect]:
        """Do what ``chunks.is_followed`` asks for, after a chunk of ``audio_bytes``.

        The first is reported; marks that had to wait are echoed, as many as one chunk
        allows.
        """
        if self.phase is not Phase.TALKING:
            return _NOTHING
        if self.chunks.sent == 1:
            data: dict[str, JsonValue] = {"audio_bytes": audio_bytes}
            self._effects.append(Report("stream.media_to_bot", data))
        while self._late_echoes and self._may_echo():
            self._echo(*self._late_echoes.popleft())
        self.chunks.is_followed = bool(self._late_echoes)
        return self._take_effects()

    def stop(self, reason: str) -> Sequence[Effect]:
        """Say ``stop``; nothing follows it."""
        if self.phase is not Phase.TALKING:
            return _NOTHING
        self._enter(Phase.STOPPED)
        request, number = self._request, self._next_number()
        text = self._writer.stop(number, request.call_sid, request.account_sid, reason)
        self._reports_left += 1
        self._send("stop", text, {"reason": reason})
        return self._take_effects()

    def bot_gone(self) -> None:
        """The socket is gone or going: nothing is sent or taken any more."""
        self._enter(Phase.STOPPED)

    # -- from the bot

    def receive(self, text: bytes) -> tuple[bytes, Sequence[Effect]]:
        """Take one text message; return its audio, if any, and the effects.

        The audio comes before the effects: a mark is never in one message with it.
        """
        if self.phase is not Phase.TALKING:
            return b"", _NOTHING
        message = self._reader.read(text)
        audio = b""
        match message:
            case bytes(audio):
                self._count_audio(audio)
            case BotMark(name):
                self._receive_mark(name)
            case BotClear():
                self._receive_clear()
            case BotStop(reason):
                self._receive_stop(reason)
            case _:
                pass  # Nothing to do; what there was to say of it is noted.
        return audio, self._take_effects()

    def receive_binary(self, head: bytes) -> Sequence[Effect]:
        """Take one binary message: ignored, with a note."""
        self.note("message.binary", head.hex(" "))
        return self._take_effects()

    def _count_audio(self, audio: bytes) -> None:
        counters = self.counters
        if counters.media_from_bot == 0:
            data: dict[str, JsonValue] = {"audio_ms": self.audio_ms(len(audio))}
            self._effects.append(Report("stream.media_from_bot", data))
        counters.media_from_bot += 1
        counters.audio_from_bot_bytes += len(audio)

    def _count_usual(
        self, messages: int, audio_bytes: int, rules: tuple[str, ...]
    ) -> None:
        """Count messages that ``usual`` took, alike in size and in what they broke."""
        self.counters.media_from_bot += messages
        self.counters.audio_from_bot_bytes += messages * audio_bytes
        for rule in rules:
            self._ledger.record_again(rule, messages)

    def _receive_mark(self, name: str) -> None:
        self.counters.marks_received += 1
        self._report("stream.received", {"event": "mark", "name": format_example(name)})
        cost = len(name) + MARK_OVERHEAD_BYTES
        if self._outstanding_bytes + cost > MAX_OUTSTANDING_MARK_BYTES:
            self.note("mark.overflow", name)
            return
        self._outstanding_bytes += cost
        self._outstanding[name] = self._outstanding.get(name, 0) + 1
        self._effects.append(QueueMark(name))

    def _receive_clear(self) -> None:
        self.counters.clears += 1
        self._report("stream.received", {"event": "clear"})
        self._effects.append(ClearAudio())
        if self._options.mark_on_clear == "drop":
            # Which marks are lost is the playout's affair; none may count for ever.
            self._outstanding.clear()
            self._outstanding_bytes = sum(cost for _, cost in self._late_echoes)
        if self._options.send_clear_to_bot:
            self._send("clear", self._writer.clear(self._next_number()), {})

    def _receive_stop(self, reason: str) -> None:
        self._report(
            "stream.received", {"event": "stop", "reason": format_example(reason)}
        )
        if self._options.bot_stop == "ignore":
            self.note("stop.ignored", reason)
            return
        self.note("stop.ended", reason)
        self._enter(Phase.STOPPED)
        self._effects.append(EndByBot())

    # -- counting and telling

    def audio_ms(self, size_bytes: int) -> int:
        """Return how long ``size_bytes`` of the stream's audio last."""
        return size_bytes * 1000 // self._bytes_per_s

    def note(self, rule: str, example: Example) -> None:
        """Record a broken rule; the first break of each becomes an effect."""
        data = self._ledger.record(rule, example)
        if data is not None:
            self._effects.append(Report("note", data))

    def let_go(self) -> None:
        """The stream is over: part from those that call this one."""
        self.usual.let_go()
        del self._reader

    def take_notes(self) -> Sequence[Effect]:
        """Return the notes made since effects were last returned."""
        return self._take_effects()

    def stats(self) -> dict[str, JsonValue]:
        """Return the counters and how often each rule was broken."""
        self.usual.settle()
        counted, chunks = self.counters, self.chunks
        return {
            "media_to_bot": chunks.sent,
            "audio_to_bot_ms": chunks.sent_ms,
            "audio_to_bot_dropped_ms": chunks.skipped_ms,
            "media_from_bot": counted.media_from_bot,
            "audio_from_bot_ms": self.audio_ms(counted.audio_from_bot_bytes),
            "marks_received": counted.marks_received,
            "marks_echoed": counted.marks_echoed,
            "clears": counted.clears,
            "digits": counted.digits,
            "messages_not_reported": counted.unreported,
            "notes": self._ledger.counts(),
        }

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self.chunks.is_open = phase is Phase.TALKING
        self.usual.forget()

    def _may_echo(self) -> bool:
        """Whether one more echo may leave before the next chunk."""
        if self._echoes_after != self.chunks.sent:
            self._echoes_after = self.chunks.sent
            self._echoes_left = MARK_ECHOES_PER_CHUNK
        return self._echoes_left > 0

    def _echo(self, name: str, cost: int) -> None:
        self._outstanding_bytes -= cost
        self._echoes_left -= 1
        self.counters.marks_echoed += 1
        text = self._writer.mark(self._next_number(), name)
        self._send("mark", text, {"name": format_example(name)})

    def _strike_off(self, name: str) -> int:
        """Strike one mark of that name off; return the bytes that it counted for."""
        count = self._outstanding.pop(name, 0)
        if count > 1:
            self._outstanding[name] = count - 1
        return len(name) + MARK_OVERHEAD_BYTES if count else 0

    def _next_number(self) -> int:
        return self.chunks.next_number()

    def _send(self, event: str, text: bytes, data: Mapping[str, JsonValue]) -> None:
        self._effects.append(Send(text))
        self._report("stream.sent", {"event": event, **data})

    def _report(self, kind: str, data: Mapping[str, JsonValue]) -> None:
        if self._reports_left == 0:
            self.counters.unreported += 1
            return
        self._reports_left -= 1
        self._effects.append(Report(kind, data))

    def _take_effects(self) -> Sequence[Effect]:
        effects, self._effects = self._effects, []
        return effects
