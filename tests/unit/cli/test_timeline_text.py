from __future__ import annotations

import asyncio

import httpx

from emulator.cli.timeline import follow, format_entry


def test_a_sip_message_is_its_first_line_and_the_peer() -> None:
    entry = {
        "offset_ms": 12.5,
        "kind": "sip.received",
        "data": {
            "summary": "INVITE sip:0801@127.0.0.1",
            "remote": "udp:127.0.0.1:5070",
            "text": "INVITE …",
            "retransmission": True,
        },
    }
    assert format_entry(entry) == (
        "   +0.013  sip.received          "
        "INVITE sip:0801@127.0.0.1  udp:127.0.0.1:5070 (again)"
    )


def test_other_events_show_their_fields() -> None:
    entry = {
        "offset_ms": 1000,
        "kind": "applet.left",
        "data": {"applet": "greet", "exit": "next", "why": "played it all", "x": None},
    }
    assert format_entry(entry).endswith('applet=greet exit=next why="played it all"')


def test_no_word_of_a_peer_steers_the_terminal() -> None:
    entry = {"offset_ms": 0, "kind": "note", "data": {"text": "\x1b[2Jgone\u202e"}}
    assert format_entry(entry).endswith("?[2Jgone?")


def test_a_long_value_is_cut() -> None:
    entry = {"offset_ms": 0, "kind": "digit", "data": {"digit": "5" * 500}}
    assert len(format_entry(entry)) < 260


def test_following_asks_again_with_the_last_number_until_the_call_is_over() -> None:
    pages = [([1, 2], False), ([], False), ([3], True)]
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params["after"])
        numbers, complete = pages[len(asked) - 1]
        entries = [{"number": n} for n in numbers]
        return httpx.Response(200, json={"entries": entries, "complete": complete})

    async def scenario() -> list[int]:
        transport = httpx.MockTransport(answer)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://x"
        ) as client:
            return [entry["number"] async for entry in follow(client, "sid")]

    assert asyncio.run(scenario()) == [1, 2, 3]
    assert asked == ["0", "2", "2"]
