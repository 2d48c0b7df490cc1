"""The client of webhooks is made once, and before it is needed."""

from __future__ import annotations

import asyncio

import pytest

from emulator.calls import webhooks as module
from emulator.calls.webhooks import Webhooks
from emulator.config import Settings
from emulator.flow.model import Flow

BYE = {"type": "hangup"}


def test_a_client_that_was_prepared_is_the_one_that_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[object] = []

    def make(settings: object) -> object:
        made.append(settings)
        return original(settings)  # type: ignore[arg-type]

    original = module._client
    monkeypatch.setattr(module, "_client", make)

    async def scenario() -> None:
        webhooks = Webhooks(Settings().webhooks)
        webhooks.prepare()
        webhooks.prepare()
        await webhooks.close()
        webhooks.prepare()

    asyncio.run(scenario())
    assert len(made) == 1


@pytest.mark.parametrize(
    ("applet", "asks"),
    [
        ({"type": "greeting", "text": "Hello.", "next": "bye"}, False),
        ({"type": "greeting", "audio_url": "http://h/a.wav", "next": "bye"}, True),
        ({"type": "passthru", "url": "http://h/", "on_ok": "bye"}, True),
        ({"type": "voicebot", "url": "ws://h/", "next": "bye"}, False),
        ({"type": "voicebot", "url": "http://h/", "next": "bye"}, True),
    ],
)
def test_a_flow_tells_whether_it_asks_servers(
    applet: dict[str, str], asks: bool
) -> None:
    flow = {
        "flow": "f",
        "app_id": "1",
        "start": "a",
        "applets": {"a": applet, "bye": BYE},
    }
    assert Flow.model_validate(flow).asks_servers() is asks
