"""What was said in a call, both ways, kept as long as the call is remembered.

A capture is a WAV with what the caller said left and what the caller heard right,
written by the media worker like any recording. It is on for so many calls at once that
a person or a test looks at; the thousands of a load test pay nothing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from emulator.calls.kept_files import BYTES_PER_MB, KeptFiles
from emulator.calls.leg import Leg
from emulator.config import MediaSettings
from emulator.worker.messages import RecordingEnded, StartRecording


@dataclass(frozen=True, slots=True)
class Captured:
    """The audio of a call, or why there is none.

    Attributes:
        path: A WAV of two channels; it grows while the call is up.
        reason: One line for people, with the setting that decides.
    """

    path: Path | None
    reason: str = ""


class Captures:
    """The captures of one emulator."""

    def __init__(self, data_dir: Path, settings: MediaSettings) -> None:
        self._settings = settings
        self._home = data_dir.absolute() / "captures"
        keep_bytes = settings.capture_keep_mb * BYTES_PER_MB
        self._files = KeptFiles(self._home / str(os.getpid()), keep_bytes)
        self._running: set[str] = set()
        # The calls that may have a file.
        self._begun: set[str] = set()
        # Why a call has no audio, or none in full.
        self._reasons: dict[str, str] = {}

    def begin(self, leg: Leg, call_sid: str) -> None:
        """Capture a call that is answered, unless enough are captured already."""
        at_once = self._settings.capture_calls
        if len(self._running) >= at_once:
            self._reasons[call_sid] = (
                f"{at_once} calls were being captured already (media.capture_calls)"
                if at_once
                else "calls are not captured (media.capture_calls is 0)"
            )
            return
        if problem := self._files.make_folder():
            self._reasons[call_sid] = problem
            return
        self._running.add(call_sid)
        self._begun.add(call_sid)
        command = StartRecording(
            leg_id=leg.leg_id,
            recording_id=f"{call_sid}.capture",
            path=self._file(call_sid),
            format="wav",
            channels="dual",
            max_s=self._settings.capture_max_s,
        )
        leg.start_recording(command, lambda report: self._ended(call_sid, report))

    def _ended(self, call_sid: str, report: RecordingEnded) -> None:
        self._running.discard(call_sid)
        if report.error:
            self._reasons[call_sid] = f"its audio was not kept: {report.error}"
        self._files.grew()

    def find(self, call_sid: str) -> Captured:
        """Return what is there of a call that is remembered."""
        path = self._path(call_sid)
        # A file without its header yet is none.
        if path.is_file() and path.stat().st_size:
            return Captured(path)
        if reason := self._reasons.get(call_sid):
            return Captured(None, reason)
        if call_sid in self._running:
            return Captured(None, "its first second is not over yet")
        return Captured(
            None,
            "it was not answered, or its audio went when newer calls filled "
            f"{self._settings.capture_keep_mb} MB (media.capture_keep_mb)",
        )

    def forget(self, call_sid: str) -> None:
        """Remove what is kept of a call."""
        self._reasons.pop(call_sid, None)
        if call_sid in self._begun:
            self._begun.discard(call_sid)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._file(call_sid))

    def clean(self) -> None:
        """Remove what emulators left behind that are not there any more.

        Each keeps its captures in a folder that is named after its process.
        """
        if self._home.is_dir():
            for folder in self._home.iterdir():
                if folder.name == str(os.getpid()) or not _is_running(folder.name):
                    shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Remove all: the calls are forgotten with the process."""
        shutil.rmtree(self._files.folder, ignore_errors=True)

    def _path(self, call_sid: str) -> Path:
        return Path(self._file(call_sid))

    def _file(self, call_sid: str) -> str:
        """Return the path as text: ``Path`` is dear, and every call has one."""
        return f"{self._files.folder}{os.sep}{call_sid}.wav"


def _is_running(pid: str) -> bool:
    if not pid.isdecimal():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
