"""Recordings that flows ask for: started on a leg, kept, and known by their URL.

recording = services.recordings.start(leg, stream_sid, wanted)
...                            # the URL is known from the start
recording.stop()               # or the leg ends, and the recording with it
await recording.ended()        # only who needs its length waits
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path
from typing import Literal
from weakref import WeakValueDictionary

from emulator.calls.kept_files import BYTES_PER_MB, KeptFiles
from emulator.calls.leg import Leg, LegListener
from emulator.config import RecordingSettings
from emulator.flow.ports import Recording
from emulator.worker.messages import MAX_RECORDING_S, RecordingEnded, StartRecording

# Under this path of the HTTP listener, as on the platform.
URL_PATH = "/exotelrecordings"
EXTENSIONS = {"mp3": "mp3", "mp3_hq": "mp3", "wav": "wav", "raw": "raw"}
_FILE_NAME = re.compile(r"[0-9A-Za-z]{1,64}\.(?:mp3|wav|raw)", re.ASCII)


class LegRecording:
    """A recording that was started.

    Attributes:
        url: Where it is fetched, while it lasts too.
    """

    def __init__(self, leg: Leg, sid: str, url: str) -> None:
        self.url = url
        self._leg = leg
        self._sid = sid
        self._ended: asyncio.Future[RecordingEnded]
        self._ended = asyncio.get_running_loop().create_future()

    def stop(self) -> None:
        """End it; the call goes on."""
        self._leg.stop_recording(self._sid)

    async def ended(self) -> RecordingEnded:
        """Wait until the file is complete; ``error`` tells when there is none."""
        return await asyncio.shield(self._ended)

    def take_end(self, report: RecordingEnded) -> None:
        """Hear of the end; called once, by the leg."""
        self._leg.listener.record(
            "recording.ended",
            recording_sid=report.recording_id,
            duration_ms=report.duration_ms,
            size_bytes=report.size_bytes,
            dropped_ms=report.dropped_ms,
            error=report.error,
        )
        if not self._ended.done():
            self._ended.set_result(report)


class Recordings:
    """The recordings of one account.

    Args:
        own_url: Of the emulator's HTTP listener, without a path.
    """

    def __init__(
        self,
        data_dir: Path,
        account_sid: str,
        settings: RecordingSettings,
        own_url: str,
    ) -> None:
        self._account_sid = account_sid
        base_url = (settings.base_url or own_url + URL_PATH).rstrip("/")
        self._url = f"{base_url}/{account_sid}"
        # Of recordings that were not fetched yet, as long as their calls are there.
        self._listeners: WeakValueDictionary[str, LegListener] = WeakValueDictionary()
        folder = data_dir.absolute() / "recordings" / account_sid
        self._files = KeptFiles(folder, settings.keep_mb * BYTES_PER_MB)

    def start(
        self,
        leg: Leg,
        sid: str,
        wanted: Recording,
        *,
        parties: Literal["both", "caller"] = "both",
        max_s: float = MAX_RECORDING_S,
    ) -> LegRecording:
        """Record ``leg`` from now on.

        What goes wrong, a full disk for one, is on the timeline and in ``ended``; it
        never raises and never ends a call.

        Args:
            sid: Names the file: the StreamSID of a stream, the call's of a Connect.
        """
        name = f"{sid}.{EXTENSIONS[wanted.format]}"
        command = StartRecording(
            leg_id=leg.leg_id,
            recording_id=sid,
            path=str(self._files.folder / name),
            format=wanted.format,
            channels=wanted.channels,
            parties=parties,
            hide_digits=wanted.encrypt_dtmf,
            max_s=max_s,
        )
        recording = LegRecording(leg, sid, f"{self._url}/{name}")
        self._listeners[sid] = leg.listener
        leg.listener.record(
            "recording.started",
            recording_sid=sid,
            format=wanted.format,
            channels=wanted.channels,
            parties=parties,
            url=recording.url,
        )
        self._begin(leg, command, recording)
        return recording

    def _begin(
        self, leg: Leg, command: StartRecording, recording: LegRecording
    ) -> None:
        def take_end(report: RecordingEnded) -> None:
            recording.take_end(_as_on_disk(report, command))
            self._files.grew()

        problem = self._files.make_folder()
        if problem is None:
            leg.start_recording(command, take_end)
        else:
            recording.take_end(
                RecordingEnded(
                    leg.leg_id, command.recording_id, command.path, 0, 0, problem
                )
            )

    def note_open_fetch(self, sid: str) -> None:
        """Note, once, that a recording was fetched without credentials."""
        if listener := self._listeners.pop(sid, None):
            text = (
                f"recording {sid} was fetched without credentials: accepted here, but "
                "the platform asks for API key and token (recordings.auth)"
            )
            listener.record("note", text=text)

    def find(self, account_sid: str, name: str) -> Path | None:
        """Return the file that a URL names; nothing outside the account's folder."""
        if account_sid != self._account_sid or not _FILE_NAME.fullmatch(name):
            return None
        path = self._files.folder / name
        return path if path.is_file() else None


def _as_on_disk(report: RecordingEnded, command: StartRecording) -> RecordingEnded:
    """Give the figures of the file where its worker died and cannot tell them."""
    path = Path(command.path)
    if report.path or not path.is_file():
        return report
    size_bytes = path.stat().st_size
    n_channels = 2 if command.channels == "dual" else 1
    # Every format has a constant rate: of MP3 8 kbps in all, of HQ 32 per channel.
    bytes_per_ms = {"mp3": 1, "mp3_hq": 4 * n_channels}
    rate = bytes_per_ms.get(command.format, 16 * n_channels)
    return replace(report, size_bytes=size_bytes, duration_ms=size_bytes // rate)
