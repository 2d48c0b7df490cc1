"""The joint of one leg and one bot: caller audio to chunks, bot audio to playout.

    RTP in  -> hear()      -> chunk -> codec, rate -> BotStream.send_audio
    RTP out <- Playout     <- codec, rate <- slices <- bot_audio()

A one-way stream has both parties in one channel (streaming spec §3): what the leg's
peer is sent, slot by slot, with what it says at that time.

A bot's messages, marks and clears keep their order. Messages of ordinary size are
converted as they come; a huge one waits in slices, so that it stalls no other call.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from emulator.events import JsonValue
from emulator.media.g711 import (
    BYTES_PER_MS,
    PCM_SAMPLE_BYTES,
    PCMU,
    SAMPLE_RATE_HZ,
    Buffer,
    Law,
    mix,
    transcode,
)
from emulator.media.inlet import Inlet, VoiceCounters
from emulator.media.playout import Playout
from emulator.media.resample import Resampler, load_library
from emulator.worker.clear_times import ClearTimes
from emulator.worker.messages import Happened, OpenStream, StreamEnded, field_names
from emulator.worker.surroundings import (
    BotStream,
    EngineOptions,
    StreamOutcome,
    Surroundings,
)

# Bytes of bot audio that are converted in one go; some 50 µs of work.
SLICE_BYTES = 16_384
# The platform plays 20 ms packets: a message's short tail costs its whole slot
# (streaming spec §2.5).
SLOT_BYTES = 20 * BYTES_PER_MS
# Marks that one bot may have waiting; far beyond one per message of a long reply.
MAX_WAITING_MARKS = 1000


@dataclass(slots=True)
class _Audio:
    """The unconverted rest of one message."""

    message: int
    rest: memoryview
    converted_bytes: int = 0


@dataclass(slots=True)
class _Mark:
    """A place behind unconverted audio; ``name`` is None when it is our own."""

    name: str | None
    reached: Callable[[], None]


class Joint:
    """Joins a leg to a bot; the stream's sink.

    Args:
        on_backlog: Called when slices wait, so that ``convert_slice`` is called once
            per tick until it returns False.
        on_ended: Called once, after ``StreamEnded`` was reported.
    """

    __slots__ = (
        "_around", "_bytes_per_sample", "_caller", "_chunk_bytes", "_clears", "_down",
        "_draining", "_dropped_bytes", "_gap_ms", "_has_ended", "_heard", "_is_dialled",
        "_is_mulaw", "_is_open", "_law", "_max_bytes", "_message", "_on_backlog",
        "_on_ended", "_options", "_pending", "_pending_bytes", "_playout", "_rate_hz",
        "_stream", "_underruns", "_up", "_waiting_marks", "request",
    )  # fmt: skip

    def __init__(
        self,
        request: OpenStream,
        playout: Playout,
        law: Law,
        around: Surroundings,
        on_backlog: Callable[[Joint], None],
        on_ended: Callable[[Joint], None],
    ) -> None:
        self.request = request
        self._playout = playout
        self._law = law
        self._around = around
        self._options = stream_side_options(around.options, request.options)
        self._on_backlog = on_backlog
        self._on_ended = on_ended
        self._stream: BotStream | None = None
        self._is_mulaw = request.codec == "mulaw"
        self._bytes_per_sample = 1 if self._is_mulaw else PCM_SAMPLE_BYTES
        self._max_bytes = int(self._options.max_queued_s * SAMPLE_RATE_HZ)
        self._is_dialled = self._is_open = self._has_ended = False
        # How it ended, while what the bot left behind is still being heard.
        self._draining: StreamOutcome | None = None
        self._rate_hz = request.sample_rate_hz
        # None: the stream has the caller alone, in the pace of the network.
        self._caller: Inlet | None = None
        if not request.two_way and self._options.one_way_audio == "mixed":
            self._caller = Inlet(law, law, VoiceCounters())
        self._heard = bytearray()
        self._chunk_bytes = 0
        self._up: Resampler | None = None
        self._down: Resampler | None = None
        self._message = 0
        self._pending: deque[_Audio | _Mark] = deque()
        self._pending_bytes = 0
        self._waiting_marks = 0
        self._dropped_bytes = 0
        self._clears = ClearTimes(around.clock, partial(_tell_cleared, around, request))
        # Of the leg, when the stream began: what came before is not the bot's.
        self._underruns, self._gap_ms = playout.underruns, playout.gap_ms

    def start(self) -> None:
        """Dial the bot, once the converters for its rate can be had."""
        self._stream = self._around.dial(self.request, self)
        self._rate_hz = self._stream.sample_rate_hz
        # In bytes of the leg: one per sample at 8 kHz.
        samples = self._stream.chunk_bytes // self._bytes_per_sample
        self._chunk_bytes = samples * SAMPLE_RATE_HZ // self._rate_hz
        if self._rate_hz == SAMPLE_RATE_HZ:
            self._dial()
        else:
            self._around.background.run(load_library, self._library_loaded)

    def _library_loaded(self, result: object) -> None:
        if isinstance(result, Exception):
            self.fail("failed", f"no resampler: {result}")
        elif not self._has_ended:
            self._up = Resampler(SAMPLE_RATE_HZ, self._rate_hz)
            self._down = Resampler(self._rate_hz, SAMPLE_RATE_HZ)
            self._dial()

    def _dial(self) -> None:
        assert self._stream is not None
        self._is_dialled = True
        self._stream.start()

    def close(self, reason: str) -> None:
        """End the stream from our side; ``stream_ended`` follows."""
        if self._draining is not None:
            self._finish(self._draining, was_open=True)
        elif self._stream is not None and self._is_dialled:
            self._stream.close(reason)
        else:
            self.fail("cancelled", None)

    def use_law(self, law: Law) -> None:
        """The leg's codec has changed; what is queued is the playout's affair."""
        if law is not self._law:
            self._heard[:] = transcode(self._heard, self._law, law)
            self._law = law
            if self._caller is not None:
                self._caller.use_source(law)
                self._caller.use_target(law)

    # -- caller to bot ------------------------------------------------------------

    @property
    def is_mixed(self) -> bool:
        """The stream has both parties: ``said`` sets its pace."""
        return self._caller is not None

    def hear(self, audio: Buffer) -> None:
        """Take caller audio in the leg's codec, in order and without gaps."""
        if not self._is_open:
            return
        if self._caller is not None:
            self._caller.push(audio)
            return
        heard, chunk_bytes = self._heard, self._chunk_bytes
        if len(audio) == chunk_bytes and not heard:
            self._ship(audio)
            return
        heard += audio
        if len(heard) >= chunk_bytes:
            self._ship_full_chunks()

    def said(self, frame: bytes) -> None:
        """Take what the caller was sent in this slot, for a mixed stream."""
        if not self._is_open or self._caller is None:
            return
        voice = self._caller.take(len(frame))
        self._heard += frame if voice is None else mix(frame, voice, self._law)
        self._ship_full_chunks()

    def _ship_full_chunks(self) -> None:
        heard, chunk_bytes = self._heard, self._chunk_bytes
        while len(heard) >= chunk_bytes:
            self._ship(heard[:chunk_bytes])
            del heard[:chunk_bytes]

    def press(self, digit: str, duration_ms: int) -> None:
        """Tell the bot of a key; a one-way stream carries none (streaming spec §3)."""
        if self._is_open and self._stream is not None and self.request.two_way:
            self._stream.send_digit(digit, duration_ms)

    def _ship(self, audio: Buffer) -> None:
        assert self._stream is not None
        if self._is_mulaw:
            self._stream.send_audio(transcode(audio, self._law, PCMU))
            return
        pcm = self._law.decode(audio)
        if self._up is not None:
            pcm = self._up.convert(pcm)
        self._stream.send_audio(pcm)

    # -- bot to caller ------------------------------------------------------------

    def stream_opened(self) -> None:
        """The handshake is done: caller audio may flow."""
        self._is_open = True

    def bot_audio(self, pcm: bytes | memoryview) -> None:
        """Take one message's audio, in the stream's codec and rate."""
        if not self.request.two_way or self._has_ended:
            return
        self._message += 1
        if not self._pending and len(pcm) <= SLICE_BYTES:
            audio = self._convert(pcm)
            if len(audio) % SLOT_BYTES:
                audio = _padded(audio, len(audio), self._law)
            if audio:
                self._playout.add(audio, self, self._message)
        else:
            self._convert_later(pcm)
        # Stream bytes are at least as many as the leg bytes that they will make.
        if self._playout.queued_bytes + self._pending_bytes > self._max_bytes:
            self._trim()

    def _convert_later(self, pcm: bytes | memoryview) -> None:
        """Keep a message for ``convert_slice``; its first slice is due now."""
        is_first = not self._pending
        # A short message takes a slot in the end: so it counts as one while it waits,
        # or a flood of tiny ones would be no limit's affair.
        slot_bytes = SLOT_BYTES * self._bytes_per_sample * self._rate_hz
        slot_bytes //= SAMPLE_RATE_HZ
        if 0 < len(pcm) < slot_bytes:
            quiet = b"\xff" if self._is_mulaw else b"\0"
            pcm = bytes(pcm).ljust(slot_bytes, quiet)
        # The message outlives this call: keep its bytes.
        self._pending.append(_Audio(self._message, memoryview(bytes(pcm))))
        self._pending_bytes += len(pcm)
        if is_first:
            self.convert_slice()
        self._on_backlog(self)

    def bot_mark(self, name: str) -> None:
        """Echo ``name`` when all audio before it has been played."""
        if self._waiting_marks >= MAX_WAITING_MARKS:
            self._note(f"more than {MAX_WAITING_MARKS} marks wait: {name!r} is ignored")
            return
        self._waiting_marks += 1
        self._mark(_Mark(name, partial(self._mark_reached, name)))

    def bot_clear(self) -> None:
        """Drop what waits, as the setting says (streaming spec §2.7)."""
        keeps_message = self._options.clear_granularity == "message"
        drops_marks = self._options.mark_on_clear == "drop"
        was_heard = self._playout.is_playing
        playing = self._playout.playing_message(self) if keeps_message else None
        cleared = self._playout.clear(
            self, keep_message=keeps_message, drop_marks=drops_marks
        )
        cleared += self._clear_pending(playing, drops_marks)
        self._waiting_marks = self._playout.count_marks(self) + sum(
            map(_is_bots_mark, self._pending)
        )
        if self._down is not None and playing is None:
            self._down.reset()
        if (was_heard or cleared) and self._clears.begin(cleared):
            self._mark(_Mark(None, self._clears.silent))

    def convert_slice(self) -> bool:
        """Convert one slice of what waits; return whether there is more."""
        pending = self._pending
        while pending and isinstance(mark := pending[0], _Mark):
            pending.popleft()
            self._queue_mark(mark)
        if not pending:
            return False
        item = pending[0]
        assert isinstance(item, _Audio)
        part, item.rest = item.rest[:SLICE_BYTES], item.rest[SLICE_BYTES:]
        self._pending_bytes -= len(part)
        audio = self._convert(part)
        item.converted_bytes += len(audio)
        if not item.rest:
            pending.popleft()
            audio = _padded(audio, item.converted_bytes, self._law)
        self._queue(audio, item.message)
        return True

    # -- end ----------------------------------------------------------------------

    def stream_happened(
        self, kind: str, at_s: float, data: Mapping[str, JsonValue]
    ) -> None:
        """Pass a timeline entry of the stream on; a call may have several streams."""
        data = {"stream_sid": self.request.stream_sid, **data}
        self._around.report(Happened(self.request.leg_id, kind, at_s, data))

    def stream_ended(self, ended: StreamOutcome) -> None:
        """The conversation is over: what is queued drains first, or is cut."""
        is_left = self._is_open and ended.disconnected_by == "bot"
        if is_left and self.request.two_way and self._options.on_bot_close == "drain":
            self._is_open, self._draining = False, ended
            self._mark(_Mark("", partial(self._finish, ended, was_open=True)))
        else:
            self._finish(ended, was_open=self._is_open)

    def _finish(self, ended: StreamOutcome, *, was_open: bool) -> None:
        """Take no more part in the leg, and report."""
        self._draining = None
        cut_ms = self._leave()
        stats = {**self._stats(), "cut_ms": cut_ms}
        if self.request.two_way and was_open:
            self._happened("stream.playout", stats)
        if cut_ms and ended.disconnected_by == "bot":
            self._note(f"the bot closed: {cut_ms} ms of its audio were queued, and cut")
        self._around.report(
            StreamEnded(
                stream_sid=self.request.stream_sid,
                status=ended.status,
                disconnected_by=ended.disconnected_by,
                error=ended.error,
                duration_s=ended.duration_s,
                close_code=ended.close_code,
                close_reason=ended.close_reason,
                closed_first=ended.closed_first,
                stats={**ended.stats, **stats},
                leg_id=self.request.leg_id,
            )
        )
        self._stream = None  # It holds this joint.
        self._on_ended(self)

    def fail(self, status: str, error: str | None) -> None:
        """End a stream that was never dialled, or that does not end by itself."""
        if not self._has_ended:
            self._leave()
            self._around.report(unopened_stream(self.request, status, error))
            self._on_ended(self)

    def _leave(self) -> int:
        """Take no more part in the leg; return the ms of audio that are cut."""
        self._is_open, self._has_ended = False, True
        self._playout.remove(self._clears)
        unconverted_bytes = self._leg_bytes(self._pending_bytes)
        self._pending.clear()
        self._pending_bytes = 0
        return (self._playout.remove(self) + unconverted_bytes) // BYTES_PER_MS

    # -- details ------------------------------------------------------------------

    def _convert(self, audio: bytes | memoryview) -> bytes:
        if self._is_mulaw:
            return transcode(audio, PCMU, self._law)
        pcm = self._down.convert(audio) if self._down is not None else audio
        return self._law.encode(pcm)

    def _queue(self, audio: bytes, message: int) -> None:
        if audio:
            self._playout.add(audio, self, message)

    def _mark(self, mark: _Mark) -> None:
        """Put a mark behind all that waits."""
        if self._pending:
            self._pending.append(mark)
        else:
            self._queue_mark(mark)

    def _queue_mark(self, mark: _Mark) -> None:
        # A bot's clear drops its own marks at most.
        owner = self if mark.name is not None else self._clears
        self._playout.mark(owner, mark.reached)

    def _mark_reached(self, name: str) -> None:
        self._waiting_marks -= 1
        if self._is_open and self._stream is not None:
            self._stream.mark_played(name)

    def _clear_pending(self, playing: int | None, drops_marks: bool) -> int:
        """Drop unconverted audio; return how many leg bytes it would have made."""
        kept: deque[_Audio | _Mark] = deque()
        dropped = 0
        for item in self._pending:
            if isinstance(item, _Audio) and item.message != playing:
                dropped += len(item.rest)
            elif not (_is_bots_mark(item) and drops_marks and dropped):
                kept.append(item)
        self._pending = kept
        self._pending_bytes -= dropped
        return self._leg_bytes(dropped)

    def _leg_bytes(self, stream_bytes: int) -> int:
        samples = stream_bytes // self._bytes_per_sample
        return samples * SAMPLE_RATE_HZ // self._rate_hz

    def _trim(self) -> None:
        """Keep at most ``max_queued_s`` waiting: the oldest goes, with a note."""
        allowed = self._max_bytes
        pending = self._leg_bytes(self._pending_bytes)
        if self._playout.queued_bytes + pending <= allowed:
            return
        first = not self._dropped_bytes
        # What plays while the next slices are made: without it, a hole is heard.
        reserve = min(SLICE_BYTES, allowed)
        kept = max(reserve, allowed - pending)
        self._dropped_bytes += self._playout.trim(self, kept)
        left = allowed - min(self._playout.queued_bytes, reserve)
        while self._leg_bytes(self._pending_bytes) > left:
            self._drop_oldest_pending()
        if first:
            self._note(
                f"more than {self._options.max_queued_s:g} s of bot audio wait "
                "(stream.max_queued_s): the oldest is dropped"
            )

    def _drop_oldest_pending(self) -> None:
        item = self._pending.popleft()
        if isinstance(item, _Mark):
            self._queue_mark(item)
        else:
            self._pending_bytes -= len(item.rest)
            dropped = self._leg_bytes(len(item.rest))
            self._dropped_bytes += dropped
            self._playout.dropped_bytes += dropped

    def _note(self, text: str) -> None:
        self._happened("note", {"text": text})

    def _happened(self, kind: str, data: Mapping[str, JsonValue]) -> None:
        self.stream_happened(kind, self._around.clock.monotonic_s(), data)

    def _stats(self) -> dict[str, JsonValue]:
        return {
            "messages_from_bot": self._message,
            "underruns": self._playout.underruns - self._underruns,
            "gap_ms": self._playout.gap_ms - self._gap_ms,
            **self._clears.stats(),
            "dropped_ms": self._dropped_bytes // BYTES_PER_MS,
        }


def unopened_stream(request: OpenStream, status: str, error: str | None) -> StreamEnded:
    """Return the report of a stream that never was."""
    return StreamEnded(
        stream_sid=request.stream_sid,
        status=status,
        disconnected_by="user" if status == "cancelled" else "NA",
        error=error,
        duration_s=0.0,
        close_code=None,
        close_reason="",
        closed_first=None,
        leg_id=request.leg_id,
    )


def _tell_cleared(
    around: Surroundings, request: OpenStream, data: Mapping[str, JsonValue]
) -> None:
    data = {"stream_sid": request.stream_sid, **data}
    at_s = around.clock.monotonic_s()
    around.report(Happened(request.leg_id, "stream.cleared", at_s, data))


def stream_side_options(
    options: EngineOptions, stream: Mapping[str, JsonValue]
) -> EngineOptions:
    """Return ``options`` with those that the stream's command sets itself."""
    own: dict[str, Any] = {
        name: stream[name] for name in field_names(EngineOptions) if name in stream
    }
    return replace(options, **own)


def _is_bots_mark(item: _Audio | _Mark) -> bool:
    return isinstance(item, _Mark) and item.name is not None


def _padded(audio: bytes, message_bytes: int, law: Law) -> bytes:
    """Fill the last 20 ms slot of a message of ``message_bytes`` with silence."""
    missing = -message_bytes % SLOT_BYTES
    return audio + law.quiet(missing) if missing else audio
