"""What the timeline shows of answers that hold credentials."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from emulator.calls.webhooks import Webhooks
from emulator.config import Settings
from emulator.flow.ports import Fetch
from tests.support.webhooks import Reply, webhook_server


class Journal:
    """Keeps what is recorded."""

    def __init__(self) -> None:
        self.entries: dict[str, Mapping[str, Any]] = {}

    def record(
        self,
        kind: str,
        data: Mapping[str, Any] | None = None,
        /,
        *,
        at_s: float | None = None,
        **more: Any,
    ) -> None:
        self.entries[kind] = more


def shown(body: str) -> str:
    """Return what the timeline shows of an answer."""
    journal = Journal()

    async def scenario(url: str) -> None:
        webhooks = Webhooks(Settings().webhooks)
        await webhooks.fetch(Fetch("stream", url, 5.0), journal)
        await webhooks.close()

    with webhook_server() as server:
        server.on("/where", Reply(200, body=body))
        asyncio.run(scenario(f"{server.url}/where"))
    return str(journal.entries["webhook.answered"]["body"])


@pytest.mark.parametrize(
    "url",
    [
        "ws://u2:S3CRET@bot.example/m",
        r"ws:\/\/u2:S3CRET@bot.example/m",
        r"ws:\u002f\u002Fu2:S3CRET\u0040bot.example/m",
        r"ws\u003a//u2:S3CRET@bot.example/m",
        r"ws://u2:\u00533CRET@bot.example/m",
        r"ws://u2:\"S3CRET@bot.example/m",
        r"ws://u2:\u0022S3CRET@bot.example/m",
        "ws://u2:S3C/RET@bot.example/m",
        "ws://u2:S3C?RET@bot.example/m",
        "ws://u2:S3C@RET@bot.example/m",
        "ws://u2:S3C RET@bot.example/m",
    ],
)
def test_no_spelling_of_a_password_is_shown(url: str) -> None:
    text = shown('{"url": "' + url + '", "more": 1}')
    assert "S3C" not in text and "RET" not in text
    assert text.startswith('{"url": "ws') and text.endswith(
        'bot.example/m", "more": 1}'
    )


def test_a_body_without_credentials_is_shown_as_it_is() -> None:
    body = r'{"url": "ws:\/\/bot.example/m?a=\u0041", "mail": "a@b"}'
    assert shown(body) == body
