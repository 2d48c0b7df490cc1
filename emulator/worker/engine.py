"""The seam of the media plane: legs, prompts and streams, on a given clock.

Commands go in by ``handle``, time by ``tick``, reports come out through a callback. The
engine knows no event loop: it is hosted in a worker process, in the command line's
caller, and in tests.

Legs are sent to in *phases*: a wheel of 24 slots of 5 ms, where a leg of 20 ms packets
has every fourth slot, so that legs share the work of a tick evenly and each keeps its
own absolute schedule.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from emulator.errors import TransportError
from emulator.events import JsonValue
from emulator.media.prompts import PromptCache
from emulator.rtp.ports import RtpPorts
from emulator.worker.bridge import BridgedLegs
from emulator.worker.impaired import ImpairedPath
from emulator.worker.joint import Joint, unopened_stream
from emulator.worker.leg import Leg
from emulator.worker.messages import (
    AddLeg,
    Bridge,
    CloseStream,
    Command,
    Happened,
    Impair,
    InjectDigit,
    LegAdded,
    LegFailed,
    LegRemoved,
    OpenStream,
    Play,
    PlayEnded,
    RemoveLeg,
    SendDigits,
    StartLeg,
    StartRecording,
    StopPlay,
    StopRecording,
    UpdateLeg,
)
from emulator.worker.poller import make_poller
from emulator.worker.recordings import Recordings
from emulator.worker.surroundings import EngineOptions, Surroundings
from emulator.worker.ticker import TICK_MS
from emulator.worker.udp import MAX_DATAGRAM_BYTES

# 120 ms: the shortest wheel that 10, 20, 30, 40 and 60 ms divide.
WHEEL_SLOTS = 24
# After a longer stall the packets of the time before are given up: nobody waits 1 s.
MAX_TICKS_AT_ONCE = 200
# Reading passes over all sockets after a stall; one pass reads one datagram a leg.
MAX_PASSES = 16
# Legs whose huge messages get a slice converted in one tick: some 0.4 ms of work.
MAX_SLICES_PER_TICK = 8
CHECK_INTERVAL_S = 1.0
# 20 ms late: less is scheduling noise, which one frame of prebuffer hides.
STALL_TICKS = 4
# Up to so many legs a wake-up per packet costs less than one every 5 ms.
FEW_LEGS = 4
# Legs share a slot, and its wake-up, until it is this full.
_SLOT_BLOCK = 4
# A stream that does not end by itself; its own deadlines are shorter.
CLOSING_LIMIT_S = 5.0

# Reads one datagram of a socket: buffer, a view of it, and the time.
_Read = Callable[[bytearray, memoryview, float], None]


class _Closing:
    """A leg that is gone but for its streams' last words."""

    def __init__(self, leg: Leg, deadline_s: float) -> None:
        self.leg = leg
        self.deadline_s = deadline_s


class Engine:
    """Legs and streams of one worker.

    Args:
        wake: Called when there is work again: ``tick`` must be called within 5 ms, and
            then when it wants to be.
    """

    def __init__(
        self, ports: RtpPorts, around: Surroundings, wake: Callable[[], None]
    ) -> None:
        self._ports = ports
        self._around = around
        self._wake = wake
        self._cache = PromptCache()
        self._poller = make_poller()
        self._legs: dict[str, Leg] = {}
        self._readers: dict[int, _Read] = {}
        self._impaired: dict[str, ImpairedPath] = {}
        self._closing: dict[str, _Closing] = {}
        self._joints: dict[str, Joint] = {}
        self._bridges: dict[str, BridgedLegs] = {}
        self._wheel: list[list[Leg]] = [[] for _ in range(WHEEL_SLOTS)]
        self._slot = 0
        # In how many ticks the next one was wanted; more are a stall.
        self._wanted = 1
        self._next_check_s = 0.0
        self.stalls = 0
        self._backlog: deque[Joint] = deque()
        self._recordings = Recordings(around, on_ended=self._report_removed)
        self._buffer = bytearray(MAX_DATAGRAM_BYTES)
        self._view = memoryview(self._buffer)
        self._handlers: Mapping[type, Callable[..., None]] = {
            AddLeg: self._add_leg,
            UpdateLeg: self._update_leg,
            StartLeg: self._start_leg,
            RemoveLeg: self._remove_leg,
            Play: self._play,
            StopPlay: self._stop_play,
            SendDigits: self._send_digits,
            InjectDigit: self._inject_digit,
            Bridge: self._bridge,
            Impair: self._impair,
            OpenStream: self._open_stream,
            CloseStream: self._close_stream,
            StartRecording: self._start_recording,
            StopRecording: self._stop_recording,
        }

    @property
    def is_idle(self) -> bool:
        """No leg, and no stream that is still ending."""
        return not (self._legs or self._closing)

    def leg(self, leg_id: str) -> Leg | None:
        """Return a leg that is there."""
        return self._legs.get(leg_id)

    def handle(self, command: Command) -> None:
        """Carry out one command; those for legs that are gone are answered or ignored.

        ``Configure``, ``Ping`` and ``Drain`` are the host's affair.
        """
        self._handlers[type(command)](command)

    def remove_all(self, reason: str) -> None:
        """End every leg; ``is_idle`` tells when the last stream has ended."""
        for leg_id in list(self._legs):
            self._remove_leg(RemoveLeg(leg_id, reason))

    def close(self) -> None:
        """Release every socket; to be called last."""
        for leg in list(self._legs.values()):
            self._forget(leg)
        self._poller.close()

    def tick(self, ticks: int, now_s: float) -> int:
        """Send what is due, read what came, convert a little.

        Args:
            ticks: How many times 5 ms have passed since the last call.
            now_s: The time now.

        Returns:
            In how many ticks to call again; 0 when there is nothing to do. With few
            legs, slots without a packet may be left out while ``read`` is called
            whenever ``fileno`` is readable.
        """
        if ticks - self._wanted >= STALL_TICKS:
            self._note_stall(ticks - self._wanted, now_s)
        for _ in range(min(ticks, MAX_TICKS_AT_ONCE)):
            for leg in self._wheel[self._slot]:
                leg.send_slot(now_s)
            self._slot = (self._slot + 1) % WHEEL_SLOTS
        # One pass is enough for the packets of 20 ms, of which a leg has one.
        self.read(now_s, min(1 + ticks // STALL_TICKS, MAX_PASSES))
        for path in self._impaired.values():
            path.release(self._buffer, self._view, now_s)
        if self._backlog:
            self._convert_slices()
        if now_s >= self._next_check_s:
            self._check(now_s)
        self._wanted = self._ticks_to_next()
        return self._wanted

    def read(self, now_s: float, passes: int = 1) -> None:
        """Read what has come; after a stall, in several passes over all legs."""
        for _ in range(passes):
            if not self._read_once(now_s):
                break

    def fileno(self) -> int:
        """Return a descriptor that is readable when ``read`` has something to do."""
        return self._poller.fileno()

    # -- the parts of a tick ------------------------------------------------------

    def _note_stall(self, ticks: int, now_s: float) -> None:
        self.stalls += 1
        stall_ms = ticks * TICK_MS
        for leg in self._legs.values():
            leg.stalled(stall_ms, now_s)

    def _ticks_to_next(self) -> int:
        if self.is_idle:
            return 0
        if len(self._legs) > FEW_LEGS or self._backlog or self._impaired:
            return 1
        for ticks in range(1, WHEEL_SLOTS):
            if self._wheel[(self._slot + ticks - 1) % WHEEL_SLOTS]:
                return ticks
        return WHEEL_SLOTS

    def _read_once(self, now_s: float) -> bool:
        """Read one datagram of each socket that has one; return whether any had."""
        readers = self._readers
        buffer, view = self._buffer, self._view
        has_read = False
        for fd, _ in self._poller.ready():
            # A report during this pass may have removed the leg.
            if read := readers.get(fd):
                read(buffer, view, now_s)
                has_read = True
        return has_read

    def _convert_slices(self) -> None:
        for _ in range(min(len(self._backlog), MAX_SLICES_PER_TICK)):
            joint = self._backlog.popleft()
            if joint.convert_slice():
                self._backlog.append(joint)

    def _check(self, now_s: float) -> None:
        self._next_check_s = now_s + CHECK_INTERVAL_S
        for leg in list(self._legs.values()):
            leg.check(now_s)
        self._recordings.check(now_s)
        for closing in list(self._closing.values()):
            if now_s >= closing.deadline_s:
                for joint in closing.leg.audience.joints:
                    joint.fail("failed", "the stream did not end in time")

    # -- legs ---------------------------------------------------------------------

    def _add_leg(self, command: AddLeg) -> None:
        if command.leg_id in self._legs or command.leg_id in self._closing:
            self._around.report(LegFailed(command.leg_id, "the leg exists already"))
            return
        try:
            ports = self._ports.open()
        except TransportError as error:
            self._around.report(LegFailed(command.leg_id, str(error)))
            return
        leg = Leg(command.leg_id, ports, command.media, self._cache, self._around)
        self._legs[command.leg_id] = leg
        self._watch(ports.rtp, leg.read)
        self._watch(ports.rtcp, leg.reports.read)
        self._place(leg)
        self._around.report(LegAdded(command.leg_id, leg.socket.port))
        self._wake()

    def _update_leg(self, command: UpdateLeg) -> None:
        if leg := self._legs.get(command.leg_id):
            before_ms = leg.ptime_ms
            leg.update(command.media)
            if leg.ptime_ms != before_ms:
                self._displace(leg)
                self._place(leg)

    def _start_leg(self, command: StartLeg) -> None:
        if leg := self._legs.get(command.leg_id):
            leg.start()

    def _remove_leg(self, command: RemoveLeg) -> None:
        leg = self._legs.get(command.leg_id)
        if leg is None:
            return
        leg.plays.end_all()
        self._forget(leg)
        deadline_s = self._around.clock.monotonic_s() + CLOSING_LIMIT_S
        self._closing[leg.leg_id] = _Closing(leg, deadline_s)
        for joint in leg.audience.joints:
            joint.close(command.stop_reason)
        self._report_removed(leg)

    def _report_removed(self, leg: Leg) -> None:
        """Report a removed leg once its last stream and recording have ended."""
        is_done = not leg.audience.joints and not self._recordings.are_of(leg)
        if is_done and leg.leg_id in self._closing:
            del self._closing[leg.leg_id]
            self._around.report(LegRemoved(leg.leg_id, leg.stats()))

    def _forget(self, leg: Leg) -> None:
        """Give the port back; no packet comes or goes any more."""
        self._heal(leg)
        del self._legs[leg.leg_id]
        leg.audience.close_taps()
        self._recordings.stop_all(leg)
        leg.reports.close()
        for sock in leg.ports:
            del self._readers[sock.fileno()]
            self._poller.unregister(sock.fileno())
        self._displace(leg)
        self._ports.close(leg.ports)

    def _watch(self, sock: socket.socket, read: _Read) -> None:
        self._readers[sock.fileno()] = read
        self._poller.register(sock.fileno())

    def _place(self, leg: Leg) -> None:
        """Give the leg a phase of its packet duration: the fullest of the emptiest."""

        def crowd(slot: int) -> tuple[int, int]:
            legs = len(self._wheel[slot])
            return legs // _SLOT_BLOCK, -legs

        step = leg.ptime_ms // TICK_MS
        phase = min(range(step), key=crowd)
        for slot in range(phase, WHEEL_SLOTS, step):
            self._wheel[slot].append(leg)

    def _displace(self, leg: Leg) -> None:
        for legs in self._wheel:
            if leg in legs:
                legs.remove(leg)

    # -- prompts and digits -------------------------------------------------------

    def _play(self, command: Play) -> None:
        if leg := self._legs.get(command.leg_id):
            leg.plays.play(command)
        else:
            self._around.report(
                PlayEnded(command.leg_id, command.play_id, "leg_removed", 0)
            )

    def _stop_play(self, command: StopPlay) -> None:
        if leg := self._legs.get(command.leg_id):
            leg.plays.stop(command.play_id)

    def _send_digits(self, command: SendDigits) -> None:
        if leg := self._legs.get(command.leg_id):
            leg.send_digits(command)

    def _impair(self, command: Impair) -> None:
        leg = self._legs.get(command.leg_id)
        if leg is None:
            return
        self._heal(leg)
        if command.inbound is not None or command.outbound is not None:
            path = ImpairedPath(leg, command, self._around.clock)
            self._impaired[leg.leg_id] = path
            self._readers[leg.ports.rtp.fileno()] = path.read
            self._wake()

    def _heal(self, leg: Leg) -> None:
        if path := self._impaired.pop(leg.leg_id, None):
            path.heal()
            now_s = self._around.clock.monotonic_s()
            told = {"fault": "rtp", **path.counts()}
            self._around.report(Happened(leg.leg_id, "fault.acted", now_s, told))
            self._readers[leg.ports.rtp.fileno()] = leg.read

    def _inject_digit(self, command: InjectDigit) -> None:
        if leg := self._legs.get(command.leg_id):
            leg.inject_digit(command.digit, command.duration_ms)

    # -- bridges -----------------------------------------------------------------

    def _bridge(self, command: Bridge) -> None:
        leg = self._legs.get(command.leg_id)
        other = self._legs.get(command.other_leg_id or "")
        if leg is None:
            return
        if command.other_leg_id is None:
            self._part(leg, "by command")
        elif other is None or other is leg:
            text = f"no other leg {command.other_leg_id} here to bridge with"
            now_s = self._around.clock.monotonic_s()
            self._around.report(Happened(leg.leg_id, "note", now_s, {"text": text}))
        elif self._bridges.get(leg.leg_id, leg) is not self._bridges.get(other.leg_id):
            self._part(leg, "bridged with another leg")
            self._part(other, "bridged with another leg")
            pair = BridgedLegs(leg, other, self._around, self._parted)
            self._bridges[leg.leg_id] = self._bridges[other.leg_id] = pair

    def _part(self, leg: Leg, reason: str) -> None:
        if pair := self._bridges.get(leg.leg_id):
            pair.part(reason)

    def _parted(self, pair: BridgedLegs) -> None:
        for leg in pair.legs:
            del self._bridges[leg.leg_id]

    # -- streams ------------------------------------------------------------------

    def _open_stream(self, command: OpenStream) -> None:
        leg = self._legs.get(command.leg_id)
        if leg is None:
            self._around.report(
                unopened_stream(command, "cancelled", "the call has ended")
            )
            return
        joint = Joint(
            command,
            leg.playout,
            leg.law,
            self._around,
            on_backlog=self._add_backlog,
            on_ended=lambda ended: self._stream_ended(leg, ended),
        )
        leg.audience.join(joint)
        self._joints[command.stream_sid] = joint
        joint.start()

    def _close_stream(self, command: CloseStream) -> None:
        if joint := self._joints.get(command.stream_sid):
            joint.close(command.reason)

    def _stream_ended(self, leg: Leg, joint: Joint) -> None:
        leg.audience.part(joint)
        self._joints.pop(joint.request.stream_sid, None)
        self._report_removed(leg)

    def _add_backlog(self, joint: Joint) -> None:
        if joint not in self._backlog:
            self._backlog.append(joint)
            self._wake()

    # -- recordings ---------------------------------------------------------------

    def _start_recording(self, command: StartRecording) -> None:
        self._recordings.start(command, self._legs.get(command.leg_id))

    def _stop_recording(self, command: StopRecording) -> None:
        self._recordings.stop(command.recording_id)


def make_options(fields: Mapping[str, JsonValue]) -> EngineOptions:
    """Return the engine's options from those of ``Configure``."""
    values: dict[str, Any] = dict(fields)
    return replace(EngineOptions(), **values)
