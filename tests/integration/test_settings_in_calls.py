"""Settings over which the references disagree, where only a whole call shows them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import Emulator, echo_bot, emulator, run
from tests.support.webhooks import Reply, webhook_server

# Whole processes, in real time.
pytestmark = pytest.mark.slow

DIRECT = "08010000001"
FLOW = """\
flow: direct
app_id: "1"
start: {start}
applets:
  bot: {{type: voicebot, url: "${{BOT_URL}}", next: bye}}
  tell: {{type: passthru, url: "${{TELL_URL:-http://127.0.0.1:1/}}",
          on_ok: bye, on_other: bot}}
  bye: {{type: hangup}}
"""


@contextlib.contextmanager
def emulating(
    directory: Path, settings: str, start: str = "bot", **env: str
) -> Iterator[Emulator]:
    """Run an emulator with these settings, an echo bot, and a flow that begins so."""
    directory.mkdir(exist_ok=True)
    flows = directory / "flows"
    flows.mkdir()
    (flows / "direct.yaml").write_text(FLOW.format(start=start))
    config = (
        f"calls: {{ring_ms: 0}}\n{settings}\n"
        f'numbers: [{{number: "{DIRECT}", flow: direct}}]\n'
    )
    with echo_bot(directory) as (_, port):
        env = {
            "BOT_URL": f"ws://127.0.0.1:{port}/media",
            "EXOTEL_EMULATOR_FLOW__DIRECTORY": str(flows),
            **env,
        }
        with emulator(directory, config=config, env=env) as running:
            yield running


def call(running: Emulator, cwd: Path, *arguments: str) -> list[dict[str, Any]]:
    run(
        sys.executable, "-m", "emulator", "call", DIRECT,
        "--target", f"127.0.0.1:{running.sip_port}", *(arguments or ("--seconds", "2")),
        cwd=cwd,
    )  # fmt: skip
    return running.timeline(running.finished_call()["sid"])


def of(story: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [entry["data"] for entry in story if entry["kind"] == kind]


@pytest.mark.parametrize(("codec", "size"), [("pcm_s16le", 320), ("mulaw", 160)])
def test_the_codec_of_applets_is_a_setting(
    tmp_path: Path, codec: str, size: int
) -> None:
    with emulating(tmp_path, f"stream: {{codec: {codec}}}") as running:
        story = call(running, tmp_path)
    assert of(story, "stream.media_to_bot")[0]["audio_bytes"] == size


def test_prefixed_sids_are_those_of_the_samples(tmp_path: Path) -> None:
    with emulating(tmp_path, "stream: {sid_style: prefixed}") as running:
        story = call(running, tmp_path)
        assert running.calls()[0]["sid"].startswith("CA")
    body = next(e["start"] for e in of(story, "stream.sent") if e["event"] == "start")
    assert body["stream_sid"].startswith("MZ")
    assert len(body["stream_sid"]) == len(body["call_sid"]) == 34


@pytest.mark.parametrize(("timeout_s", "way"), [(10.0, "bye"), (0.3, "bot")])
def test_a_passthru_waits_as_long_as_its_setting(
    tmp_path: Path, timeout_s: float, way: str
) -> None:
    with webhook_server() as server:
        server.on("/slow", Reply(200, delay_s=1))
        url = f"{server.url}/slow"
        settings = f"passthru: {{timeout_s: {timeout_s}}}"
        with emulating(tmp_path, settings, "tell", TELL_URL=url) as running:
            story = call(running, tmp_path, "--seconds", "5")
    assert of(story, "applet.left")[0]["next"] == way


@pytest.mark.parametrize("drops", [False, True])
def test_a_voicebot_without_a_greeting_is_dropped_by_setting(
    tmp_path: Path, drops: bool
) -> None:
    settings = (
        f"quirks: {{no_greeting_disconnect: {str(drops).lower()}, "
        "no_greeting_disconnect_s: 0.5}"
    )
    with emulating(tmp_path, settings) as running:
        story = call(running, tmp_path, "--seconds", "3")
    ended = of(story, "call.ended")[0]
    assert ("no_greeting_disconnect" in ended["reason"]) is drops
    assert ended["by"] == ("platform" if drops else "caller")
