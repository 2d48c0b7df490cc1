"""A recording whose worker died: its file is told as it is."""

from pathlib import Path

import pytest

from emulator.calls.recordings import _as_on_disk
from emulator.worker.messages import RecordingEnded, StartRecording


@pytest.mark.parametrize(
    ("format_name", "channels", "duration_ms"),
    [("raw", "dual", 100), ("mp3", "dual", 3200), ("mp3_hq", "single", 800)],
)
def test_the_file_tells_its_length_and_size(
    tmp_path: Path, format_name: str, channels: str, duration_ms: int
) -> None:
    path = tmp_path / "S1"
    path.write_bytes(bytes(3200))
    command = StartRecording(
        "L1", "S1", str(path), format=format_name, channels=channels
    )
    lost = RecordingEnded("", "S1", "", 0, 0, "the worker died")
    told = _as_on_disk(lost, command)
    assert (told.size_bytes, told.duration_ms) == (3200, duration_ms)
    assert told.error == "the worker died"
