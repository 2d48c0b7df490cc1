"""A folder of audio that may hold so many bytes: the oldest files go first."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

logger = logging.getLogger("emulator.calls")

BYTES_PER_MB = 1_000_000
# To list the folder after each of 200 calls a second was a fifth of their cost.
SWEEP_DELAY_S = 1.0


class KeptFiles:
    """Looks after one folder; the folder is made when it is needed."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self._max_bytes = max_bytes
        self._sweep: asyncio.TimerHandle | None = None

    def make_folder(self) -> str | None:
        """Make the folder; return why that is not possible."""
        if os.path.isdir(self.folder):
            return None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            return f"{self.folder}: {error.strerror}"
        return None

    def grew(self) -> None:
        """Look soon, in a thread, whether something has to go; a file was added."""
        if self._sweep is None:
            loop = asyncio.get_running_loop()
            self._sweep = loop.call_later(SWEEP_DELAY_S, self._start_sweep)

    def _start_sweep(self) -> None:
        self._sweep = None
        asyncio.get_running_loop().run_in_executor(None, self.sweep)

    def sweep(self) -> None:
        """Remove the files that were written to longest ago, until the rest fits."""
        left_bytes = 0
        for path, status in self._newest_first():
            left_bytes += status.st_size
            if left_bytes > self._max_bytes:
                logger.info("%s goes: the newer ones fill their space", path)
                path.unlink(missing_ok=True)

    def _newest_first(self) -> list[tuple[Path, os.stat_result]]:
        try:
            with os.scandir(self.folder) as entries:
                found = [
                    (Path(entry.path), entry.stat())
                    for entry in entries
                    if entry.is_file(follow_symlinks=False)
                ]
        except OSError:
            return []
        return sorted(found, key=lambda file: file[1].st_mtime_ns, reverse=True)
