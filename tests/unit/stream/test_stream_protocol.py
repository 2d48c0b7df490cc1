"""The conversation: order, counters, marks, clears and ends."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from emulator.stream.interface import StreamRequest
from emulator.stream.protocol import (
    MARK_ECHOES_PER_CHUNK,
    MAX_REPORTED_MESSAGES,
    ClearAudio,
    Effect,
    EndByBot,
    Phase,
    QueueMark,
    Report,
    Send,
    StreamProtocol,
)
from emulator.stream_options import profile_options

SID = "5" * 32


def protocol(
    rate_hz: int = 8000, codec: str = "pcm_s16le", two_way: bool = True, **knobs: Any
) -> StreamProtocol:
    request = StreamRequest(
        SID, "c" * 32, "acme1", "ws://b/", "1", "2", codec=codec, two_way=two_way
    )
    return StreamProtocol(request, profile_options("observed", **knobs), {}, rate_hz)


def talking(**knobs: Any) -> StreamProtocol:
    machine = protocol(**knobs)
    machine.open()
    return machine


def sent(effects: Iterable[Effect]) -> list[dict[str, Any]]:
    return [json.loads(effect.text) for effect in effects if isinstance(effect, Send)]


def reports(effects: Iterable[Effect], kind: str) -> list[dict[str, Any]]:
    return [
        dict(effect.data)
        for effect in effects
        if isinstance(effect, Report) and effect.kind == kind
    ]


def message(event: str, **body: Any) -> bytes:
    return json.dumps({"event": event, "stream_sid": SID, **body}).encode()


def mark(name: str) -> bytes:
    return message("mark", mark={"name": name})


def media(size: int = 3200) -> bytes:
    return message("media", media={"payload": "AAAA" * (size // 3)})


def receive(machine: StreamProtocol, text: bytes) -> list[Effect]:
    return list(machine.receive(text)[1])


def test_connected_comes_first_and_start_second() -> None:
    messages = sent(protocol().open())
    assert [m["event"] for m in messages] == ["connected", "start"]
    assert messages[1]["sequence_number"] == "1"


def test_start_is_reported_with_its_whole_body() -> None:
    (_, start) = reports(protocol().open(), "stream.sent")
    assert start["event"] == "start"
    assert start["start"]["media_format"]["sample_rate"] == "8000"


def test_sequence_numbers_count_all_and_chunks_only_media() -> None:
    machine = talking()
    first = json.loads(machine.chunks.write(bytes(320)))
    (dtmf,) = sent(machine.digit("5", 100))
    second = json.loads(machine.chunks.write(bytes(320)))
    (stop,) = sent(machine.stop("stopped"))
    assert (first["sequence_number"], first["media"]["chunk"]) == ("2", "1")
    assert dtmf["sequence_number"] == "3"
    assert (second["sequence_number"], second["media"]["chunk"]) == ("4", "2")
    assert stop["sequence_number"] == "5"


def test_timestamps_are_the_media_time_of_the_chunk() -> None:
    machine = talking()
    stamps = [
        json.loads(machine.chunks.write(b""))["media"]["timestamp"] for _ in range(3)
    ]
    assert stamps == ["0", "20", "40"]


def test_timestamps_may_begin_elsewhere_and_step_by_the_chunk() -> None:
    machine = talking(media_chunk_ms=100, timestamp_origin=20)
    stamps = [
        json.loads(machine.chunks.write(b""))["media"]["timestamp"] for _ in range(3)
    ]
    assert stamps == ["20", "120", "220"]


def test_chunks_have_the_documented_sizes() -> None:
    sizes = [
        protocol(rate_hz, media_chunk_ms=ms).chunk_bytes
        for ms in (20, 100)
        for rate_hz in (8000, 16000, 24000)
    ]
    assert sizes == [320, 640, 960, 1600, 3200, 4800]
    assert protocol(codec="mulaw").chunk_bytes == 160


def test_a_dropped_chunk_leaves_a_gap_in_chunk_and_timestamp_only() -> None:
    machine = talking()
    machine.chunks.write(bytes(320))
    machine.skip_media()
    third = json.loads(machine.chunks.write(bytes(320)))
    assert third["sequence_number"] == "3"
    assert third["media"]["chunk"] == "3"
    assert third["media"]["timestamp"] == "40"
    assert machine.stats()["audio_to_bot_dropped_ms"] == 20


def test_the_first_audio_of_the_bot_is_reported_once() -> None:
    machine = talking()
    first = receive(machine, media())
    assert reports(first, "stream.media_from_bot") == [{"audio_ms": 199}]
    assert receive(machine, media()) == []


def test_audio_is_returned_as_bytes() -> None:
    machine = talking()
    audio, _ = machine.receive(media(3840))
    assert audio == bytes(3840)


def test_a_mark_is_queued_and_echoed_when_it_was_played() -> None:
    machine = talking()
    effects = receive(machine, mark("hello"))
    assert QueueMark("hello") in effects
    assert sent(effects) == []
    (echo,) = sent(machine.mark_played("hello"))
    assert echo["mark"] == {"name": "hello"}


def test_what_a_bot_writes_is_told_shortened_and_echoed_whole() -> None:
    machine, name = talking(), "x" * 500_000
    effects = receive(machine, mark(name))
    effects += machine.mark_played(name)
    effects += receive(machine, message("stop", stop={"reason": name}))
    assert sent(effects)[0]["mark"]["name"] == name
    for effect in effects:
        if isinstance(effect, Report):
            assert len(str(effect.data)) < 1000


def test_each_of_several_marks_of_one_name_is_echoed() -> None:
    machine = talking()
    receive(machine, mark("x"))
    receive(machine, mark("x"))
    echoes = [len(sent(machine.mark_played("x"))) for _ in range(2)]
    assert echoes == [1, 1]


def test_a_clear_that_drops_marks_makes_room_and_spares_the_one_that_plays() -> None:
    machine = talking(mark_on_clear="drop")
    for _ in range(300):
        receive(machine, mark("x" * 10_000))
        receive(machine, message("clear"))
    assert "mark.overflow" not in dict(machine.stats()["notes"])  # type: ignore[arg-type]
    assert len(sent(machine.mark_played("x" * 10_000))) == 1


def test_an_echo_loop_is_spread_over_the_chunks_and_loses_nothing() -> None:
    machine = talking()
    count = 3 * MARK_ECHOES_PER_CHUNK
    echoed: list[str] = []
    for number in range(count):
        receive(machine, mark(str(number)))
        effects = list(machine.mark_played(str(number)))
        echoed += [m["mark"]["name"] for m in sent(effects)]
    assert len(echoed) == MARK_ECHOES_PER_CHUNK
    while machine.chunks.is_followed:
        machine.chunks.write(bytes(320))
        late = [m["mark"]["name"] for m in sent(machine.after_chunk(320))]
        assert len(late) <= MARK_ECHOES_PER_CHUNK
        echoed += late
    assert echoed == [str(number) for number in range(count)]


def test_outstanding_marks_are_bounded_and_the_rest_noted() -> None:
    machine = talking()
    effects: list[Effect] = []
    for number in range(200):
        effects += receive(machine, mark(f"{number:06d}" + "x" * 10_000))
    queued = [effect for effect in effects if isinstance(effect, QueueMark)]
    assert 0 < len(queued) < 200
    assert [n["rule"] for n in reports(effects, "note")] == ["mark.overflow"]


def test_echoed_marks_make_room_for_new_ones() -> None:
    machine = talking()
    for _ in range(300):
        receive(machine, mark("x" * 10_000))
        machine.mark_played("x" * 10_000)
        machine.chunks.write(b"")
    assert "mark.overflow" not in dict(machine.stats()["notes"])  # type: ignore[arg-type]


def test_a_mark_storm_is_counted_and_not_told_one_by_one() -> None:
    machine = talking()
    told = 0
    for number in range(MAX_REPORTED_MESSAGES):
        told += len(reports(receive(machine, mark(str(number))), "stream.received"))
    assert told < MAX_REPORTED_MESSAGES
    assert machine.stats()["messages_not_reported"] == MAX_REPORTED_MESSAGES - told
    assert reports(machine.stop("stopped"), "stream.sent") == [
        {"event": "stop", "reason": "stopped"}
    ]


def test_clear_is_handed_on_and_not_answered() -> None:
    effects = receive(talking(), message("clear"))
    assert ClearAudio() in effects
    assert sent(effects) == []


def test_clear_is_answered_by_knob() -> None:
    effects = receive(talking(send_clear_to_bot=True), message("clear"))
    assert [m["event"] for m in sent(effects)] == ["clear"]


def test_a_stop_of_the_bot_ends_the_stream_with_a_note() -> None:
    machine = talking()
    effects = receive(machine, message("stop"))
    assert EndByBot() in effects
    assert [n["rule"] for n in reports(effects, "note")] == ["stop.ended"]
    assert machine.phase is Phase.STOPPED


def test_a_stop_of_the_bot_is_ignored_by_knob() -> None:
    machine = talking(bot_stop="ignore")
    effects = receive(machine, message("stop"))
    assert EndByBot() not in effects
    assert machine.phase is Phase.TALKING


def test_digits_go_to_two_way_streams_only() -> None:
    assert talking(two_way=False).digit("1", 100) == ()


def test_nothing_is_said_before_the_stream_opens_or_after_it_stopped() -> None:
    machine = protocol()
    assert machine.digit("1", 100) == ()
    assert machine.stop("stopped") == ()
    machine.open()
    machine.stop("stopped")
    assert machine.digit("1", 100) == ()
    assert machine.stop("stopped") == ()
    assert machine.mark_played("x") == ()
    assert machine.after_chunk(320) == ()
    assert machine.receive(media()) == (b"", ())


def test_a_broken_rule_is_noted_once_and_counted() -> None:
    machine = talking()
    first, second = receive(machine, b"hello"), receive(machine, b"again")
    (note,) = reports(first, "note")
    assert (note["rule"], note["example"]) == ("message.json", "hello")
    assert note["text"] and note["cites"]
    assert second == []
    assert machine.stats()["notes"] == {"message.json": 2}


def test_a_binary_message_is_noted_with_its_first_bytes() -> None:
    (note,) = reports(talking().receive_binary(b"\x00\xff"), "note")
    assert (note["rule"], note["example"]) == ("message.binary", "00 ff")
