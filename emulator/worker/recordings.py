"""Recording legs: taps gather audio, one writer outside the tick makes files of it.

    Leg -> RecordingTap -> (once a second, all of them) -> writer thread -> files
                                                           RecordingEnded <--+

Nothing here waits for a disk. What a disk cannot keep up with is dropped beyond a
bound, and becomes silence of the same length in the file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from emulator.events import JsonValue
from emulator.media.g711 import BYTES_PER_MS, SAMPLE_RATE_HZ, Law
from emulator.worker.leg import Leg
from emulator.worker.messages import Happened, RecordingEnded, StartRecording
from emulator.worker.recording_file import RecordingFile, Stretch
from emulator.worker.recording_tap import RecordingTap
from emulator.worker.surroundings import Surroundings

# Audio of one recording that may wait for the disk: 160 kB.
MAX_WAITING_MS = 10_000
# How long the last write may take: of a leg that is removed (its call waits for it),
# and of one that lives on.
REMOVAL_LIMIT_S = 0.5
STOP_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class _Job:
    """What the writer is given of one recording."""

    file: RecordingFile
    stretches: list[Stretch]
    is_last: bool

    def write(self) -> str | None:
        """Write; return what went wrong."""
        try:
            self.file.write(self.stretches, is_last=self.is_last)
        except (OSError, ValueError, ImportError) as error:
            return str(error)
        return None


@dataclass(slots=True, eq=False)
class _Recording:
    """One recording from its start to its report.

    Attributes:
        waiting: For the writer, at most ``MAX_WAITING_MS`` of audio.
        ends_by_s: Set once nothing more is gathered: when the writer is given up.
    """

    command: StartRecording
    leg: Leg
    tap: RecordingTap
    file: RecordingFile
    waiting: list[Stretch] = field(default_factory=list)
    waiting_bytes: int = 0
    gathered_bytes: int = 0
    dropped_bytes: int = 0
    ends_by_s: float | None = None

    @property
    def max_bytes(self) -> int:
        """What it may hold of each side."""
        return int(self.command.max_s * SAMPLE_RATE_HZ)

    def gather(self) -> bool:
        """Take what the tap has; return whether this was the first to be dropped."""
        was_complete = not self.dropped_bytes
        for stretch in self.tap.take():
            stretch = stretch.cut_to(self.max_bytes - self.gathered_bytes)
            size = len(stretch.ours)
            self.gathered_bytes += size
            if self.waiting_bytes + size <= MAX_WAITING_MS * BYTES_PER_MS:
                self.waiting_bytes += size
                self.waiting.append(stretch)
            else:
                self._drop(stretch.law, size)
        return was_complete and bool(self.dropped_bytes)

    def _drop(self, law: Law, size: int) -> None:
        """Leave a hole at the end of what waits."""
        self.dropped_bytes += size
        if self.waiting and self.waiting[-1].gap_bytes:
            size += self.waiting.pop().gap_bytes
        self.waiting.append(Stretch(law, gap_bytes=size))

    def job(self) -> _Job:
        """Return what waits, for the writer."""
        stretches, self.waiting = self.waiting, []
        self.waiting_bytes = 0
        return _Job(self.file, stretches, is_last=self.ends_by_s is not None)

    def outcome(self, error: str | None) -> RecordingEnded:
        """Return the report."""
        return RecordingEnded(
            leg_id=self.command.leg_id,
            recording_id=self.command.recording_id,
            path=self.command.path,
            duration_ms=self.file.duration_ms,
            size_bytes=self.file.size_bytes,
            error=error,
            dropped_ms=self.dropped_bytes // BYTES_PER_MS,
        )


class Recordings:
    """The recordings of one engine.

    Args:
        on_ended: Called with the leg after a recording of it was reported.
    """

    def __init__(self, around: Surroundings, on_ended: Callable[[Leg], None]) -> None:
        self._around = around
        self._on_ended = on_ended
        self._recordings: dict[str, _Recording] = {}
        self._at_work: list[tuple[_Recording, _Job]] = []

    def are_of(self, leg: Leg) -> bool:
        """Tell whether a recording of ``leg`` is not reported yet."""
        return any(recording.leg is leg for recording in self._recordings.values())

    def start(self, command: StartRecording, leg: Leg | None) -> None:
        """Begin to record; the file is opened by the writer."""
        recording_id = command.recording_id
        refusal = None
        if leg is None:
            refusal = f"no leg {command.leg_id}"
        elif recording_id in self._recordings:
            refusal = f"recording {recording_id} is running already"
        if leg is None or refusal is not None:
            refused = RecordingEnded(
                command.leg_id, recording_id, command.path, 0, 0, refusal
            )
            self._around.report(refused)
            return
        tap = RecordingTap(command.hide_digits, leg)
        leg.audience.tap(tap)
        file = RecordingFile(command)
        self._recordings[recording_id] = _Recording(command, leg, tap, file)

    def stop(self, recording_id: str) -> None:
        """End a recording; one that is not there has been reported."""
        if recording := self._recordings.get(recording_id):
            recording.leg.audience.untap(recording.tap)
            self._end(recording, STOP_LIMIT_S)

    def stop_all(self, leg: Leg) -> None:
        """End the recordings of a leg that goes; its call does not wait long."""
        for recording in list(self._recordings.values()):
            if recording.leg is leg:
                self._end(recording, REMOVAL_LIMIT_S)

    def check(self, now_s: float) -> None:
        """Hand over what was gathered; called once a second."""
        for recording in list(self._recordings.values()):
            if recording.ends_by_s is None:
                self._gather(recording)
            elif now_s >= recording.ends_by_s:
                self._finish(recording, "the disk did not take the rest in time")
        self._hand_over()

    def _gather(self, recording: _Recording) -> None:
        if recording.gather():
            text = (
                f"recording {recording.command.recording_id}: the disk does not keep "
                f"up; audio beyond {MAX_WAITING_MS} ms is dropped, silence in its place"
            )
            self._note(recording, text)
        if recording.gathered_bytes >= recording.max_bytes:
            self.stop(recording.command.recording_id)

    def _end(self, recording: _Recording, limit_s: float) -> None:
        """Gather no more; the writer has so long for the rest."""
        ends_by_s = self._around.clock.monotonic_s() + limit_s
        if recording.ends_by_s is not None:
            recording.ends_by_s = min(recording.ends_by_s, ends_by_s)
            return
        recording.ends_by_s = ends_by_s
        recording.tap.complete()
        recording.gather()
        self._hand_over()

    def _hand_over(self) -> None:
        """Give the writer all that waits, unless it is still at work."""
        if self._at_work:
            return
        self._at_work = [
            (recording, recording.job())
            for recording in self._recordings.values()
            if recording.waiting or recording.ends_by_s is not None
        ]
        if self._at_work:
            jobs = [job for _, job in self._at_work]
            self._around.background.run(
                lambda: [job.write() for job in jobs], self._written
            )

    def _written(self, errors: list[str | None] | Exception) -> None:
        """Take the writer's answer: one error or None per job."""
        work, self._at_work = self._at_work, []
        if isinstance(errors, Exception):
            errors = [f"{type(errors).__name__}: {errors}"] * len(work)
        for (recording, job), error in zip(work, errors, strict=True):
            if error is not None or job.is_last or not self._is_known(recording):
                self._finish(recording, error)
        if any(r.ends_by_s is not None for r in self._recordings.values()):
            self._hand_over()

    def _finish(self, recording: _Recording, error: str | None) -> None:
        """Report a recording, unless that is done; close what the writer left open."""
        if not any(other is recording for other, _ in self._at_work):
            recording.file.close()
        if not self._is_known(recording):
            return
        del self._recordings[recording.command.recording_id]
        recording.leg.audience.untap(recording.tap)
        self._around.report(recording.outcome(error))
        self._on_ended(recording.leg)

    def _is_known(self, recording: _Recording) -> bool:
        """Tell whether it is not reported yet; another may have its id by now."""
        return self._recordings.get(recording.command.recording_id) is recording

    def _note(self, recording: _Recording, text: str) -> None:
        now_s = self._around.clock.monotonic_s()
        data: dict[str, JsonValue] = {"text": text}
        self._around.report(Happened(recording.leg.leg_id, "note", now_s, data))
