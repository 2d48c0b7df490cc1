"""``flow check`` judges by the settings in force, or by a profile that it is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulator.cli.commands.flow import check
from emulator.errors import ConfigError, ExitStatus

FOUR_PARAMETERS = """\
flow: a
app_id: "1"
start: bot
applets:
  bot:
    type: voicebot
    url: "ws://127.0.0.1:5001/?sample-rate=8000&a=1&b=2&c=3&d=4"
"""
TOO_MANY = "4 custom parameters, 15 characters: at most"
PORTABLE = "4 custom parameters, 15 characters: some accounts take at most 3 and 256"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory of work with one flow, four parameters strong."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flows").mkdir()
    (tmp_path / "config").mkdir()
    (tmp_path / "flows" / "a.yaml").write_text(FOUR_PARAMETERS)
    return tmp_path


@pytest.mark.parametrize(
    ("settings", "profile", "status", "words"),
    [
        ("", None, ExitStatus.OK, (PORTABLE, "(profile observed)")),
        (
            "profile: documented",
            None,
            ExitStatus.USAGE,
            (f"{TOO_MANY} 3 and 256", "(profile documented)"),
        ),
        ("", "documented", ExitStatus.USAGE, (f"{TOO_MANY} 3 and 256",)),
        ("profile: documented", "observed", ExitStatus.OK, (PORTABLE,)),
        (
            "stream: {custom_params: {max: 2}}",
            "observed",
            ExitStatus.USAGE,
            (f"{TOO_MANY} 2 and 800",),
        ),
    ],
)
def test_limits_are_those_of_settings_and_profile(
    place: Path,
    capsys: pytest.CaptureFixture[str],
    settings: str,
    profile: str | None,
    status: ExitStatus,
    words: tuple[str, ...],
) -> None:
    (place / "config" / "emulator.yaml").write_text(settings)
    assert check([], None, profile) is status
    said = capsys.readouterr().out
    assert all(word in said for word in words), said


def test_the_settings_may_be_another_file(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = place / "other.yaml"
    other.write_text("profile: documented\nflow: {directory: flows}\n")
    assert check([Path("flows/a.yaml")], other, None) is ExitStatus.USAGE
    assert TOO_MANY in capsys.readouterr().out


def test_without_a_path_the_settings_directory_is_checked(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "flows").rename(place / "mine")
    (place / "config" / "emulator.yaml").write_text("flow: {directory: mine}")
    assert check([], None, None) is ExitStatus.OK
    assert "mine/a.yaml:" in capsys.readouterr().out


def test_an_unknown_profile_is_the_options_fault(place: Path) -> None:
    with pytest.raises(ConfigError, match="--profile: profile: 'fast' is none of"):
        check([], None, "fast")
