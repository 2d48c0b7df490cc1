"""The cache against renderers that work, crash, hang and talk nonsense."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from emulator.speech.cache import Rendering, SpeechCache

# A renderer that writes the text itself, and does as the text says.
ACTOR = """
import json, os, sys, time
with open(sys.argv[1], "a") as log:
    log.write("start\\n")
for job in json.load(sys.stdin)["jobs"]:
    if job["text"] == "crash":
        os.abort()
    if job["text"] == "exit":
        sys.exit(7)
    if job["text"] == "hang":
        time.sleep(60)
    error = "refused" if job["text"] == "refuse" else None
    if not error:
        open(job["path"], "w").write(job["text"])
    print("library noise")
    print(json.dumps({"path": job["path"], "error": error}), flush=True)
"""


@pytest.fixture
def starts(tmp_path: Path) -> Path:
    log = tmp_path / "starts"
    log.touch()
    return log


def cache(
    tmp_path: Path, starts: Path, voice: str = "en", limit_s: float = 30.0
) -> SpeechCache:
    renderer = (sys.executable, "-S", "-c", ACTOR, str(starts))
    return SpeechCache(
        tmp_path / "speech", voice, renderer=renderer, start_s=limit_s, text_s=0.0
    )


def render(cache: SpeechCache, *texts: str) -> Mapping[str, Rendering]:
    return asyncio.run(cache.render(texts))


def test_all_missing_texts_are_rendered_by_one_child(
    tmp_path: Path, starts: Path
) -> None:
    speech = cache(tmp_path, starts)
    renderings = render(speech, "one", "two", "one")
    assert {t: r.path and r.path.read_text() for t, r in renderings.items()} == {
        "one": "one",
        "two": "two",
    }
    assert starts.read_text() == "start\n"


def test_a_cached_text_needs_no_child(tmp_path: Path, starts: Path) -> None:
    render(cache(tmp_path, starts), "one")
    assert render(cache(tmp_path, starts), "one")["one"].path
    assert starts.read_text() == "start\n"


def test_each_voice_and_text_has_a_file_of_its_own(
    tmp_path: Path, starts: Path
) -> None:
    en, hi = cache(tmp_path, starts), cache(tmp_path, starts, voice="hi")
    paths = {en.path_for("one"), en.path_for("two"), hi.path_for("one")}
    assert len(paths) == 3
    assert all(len(path.name) < 50 for path in paths)


def test_looking_up_renders_nothing(tmp_path: Path, starts: Path) -> None:
    speech = cache(tmp_path, starts)
    assert speech.lookup("one") == Rendering(None, "it has not been rendered yet")
    assert starts.read_text() == ""


def test_a_refused_text_leaves_the_others(tmp_path: Path, starts: Path) -> None:
    renderings = render(cache(tmp_path, starts), "refuse", "one")
    assert renderings["refuse"] == Rendering(None, "refused")
    assert renderings["one"].path


@pytest.mark.parametrize(
    ("text", "limit_s", "error"),
    [
        ("crash", 30.0, "the speech renderer crashed (signal 6)"),
        ("exit", 30.0, "the speech renderer ended with status 7"),
        # The time for a busy machine to start the child is in it.
        ("hang", 5.0, "the speech renderer took more than 5 s"),
    ],
)
def test_a_text_that_ends_the_child_is_left_out(
    tmp_path: Path, starts: Path, text: str, limit_s: float, error: str
) -> None:
    speech = cache(tmp_path, starts, limit_s=limit_s)
    renderings = render(speech, "one", text, "two")
    assert renderings[text] == Rendering(None, error)
    assert renderings["one"].path and renderings["two"].path


def test_after_three_deaths_the_rest_is_given_up(tmp_path: Path, starts: Path) -> None:
    broken = SpeechCache(
        tmp_path / "speech",
        "en",
        renderer=(sys.executable, "-S", "-c", "raise SystemExit(1)"),
    )
    renderings = render(broken, "a", "b", "c", "d")
    death = "the speech renderer ended with status 1"
    assert [r.error for r in renderings.values()] == [death] * 3 + [
        f"given up: {death}"
    ]


def test_a_renderer_that_does_not_start_is_an_error_not_an_exception(
    tmp_path: Path,
) -> None:
    speech = SpeechCache(tmp_path / "speech", "en", renderer=("/no/such/program",))
    error = render(speech, "one")["one"].error
    assert error and error.startswith("the speech renderer does not start: ")


def test_a_directory_that_cannot_be_made_is_an_error(
    tmp_path: Path, starts: Path
) -> None:
    (tmp_path / "speech").write_text("a file")
    assert "exists" in (render(cache(tmp_path, starts), "one")["one"].error or "")


def test_a_text_beyond_the_limit_never_reaches_the_child(
    tmp_path: Path, starts: Path
) -> None:
    rendering = render(cache(tmp_path, starts), "x" * 1001)["x" * 1001]
    assert rendering == Rendering(None, "longer than 1000 characters")
    assert starts.read_text() == ""


def test_a_cancelled_rendering_leaves_no_child(tmp_path: Path, starts: Path) -> None:
    async def scenario() -> None:
        speech = cache(tmp_path, starts)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(speech.render(["hang"]), 0.2)

    # A child left behind would be a ResourceWarning, and so a failure.
    asyncio.run(scenario())


def test_the_oldest_files_go_when_the_cache_is_full(
    tmp_path: Path, starts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speech = cache(tmp_path, starts)
    first = render(speech, "one")["one"].path
    assert first
    os.utime(first, ns=(1, 1))
    monkeypatch.setattr("emulator.speech.cache.MAX_CACHE_BYTES", first.stat().st_size)
    second = render(speech, "two")["two"].path
    assert second and second.is_file() and not first.is_file()
