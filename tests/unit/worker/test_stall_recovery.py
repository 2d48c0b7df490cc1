"""After a stall: a live conversation gets its delay back, a bot ahead loses nothing."""

from emulator.media.g711 import PCMU
from tests.support.media_rig import FakeBot, Peer, Rig

QUIET = b"\xff" * 160


def live_letters(count: int) -> list[bytes]:
    return [bytes([65 + n % 26]) * 160 for n in range(count)]


class Echo:
    """A caller and a bot that echoes each 20 ms frame one slot later."""

    def __init__(self, rig: Rig, peer: Peer, bot: FakeBot) -> None:
        self.rig, self.peer, self.bot = rig, peer, bot
        self.clock = 0
        self.heard: list[bytes] = []

    def turn(self, frames: list[bytes]) -> None:
        """20 ms each: the caller sends, the bot answers, the caller hears."""
        for frame in frames:
            self.peer.send(frame)
            self.rig.run(20)
            self.answer()

    def answer(self) -> None:
        for audio in self.bot.audio:
            self.bot.sink.bot_audio(audio)
        self.bot.audio.clear()
        self.heard += [packet.payload for packet in self.peer.receive()]

    def stall(self, frames: list[bytes]) -> None:
        """The worker stands still while the caller goes on talking."""
        for frame in frames:
            self.peer.send(frame)
        ticks = 4 * len(frames)
        self.rig.clock.now_s += 0.005 * ticks
        self.rig.engine.tick(ticks, self.rig.clock.now_s)
        self.answer()

    def queued_ms(self) -> int:
        leg = self.rig.engine.leg("L1")
        assert leg is not None
        return leg.playout.queued_bytes // 8

    def playout_stats(self) -> dict[str, int]:
        leg = self.rig.engine.leg("L1")
        assert leg is not None
        stats = leg.stats()["playout"]
        assert isinstance(stats, dict)
        return {name: value for name, value in stats.items() if isinstance(value, int)}


def start_echo(rig: Rig) -> Echo:
    peer = rig.talking_leg()
    echo = Echo(rig, peer, rig.open_bot())
    echo.turn(live_letters(100))
    return echo


def test_a_live_echo_is_back_to_its_delay_within_a_second() -> None:
    with Rig() as rig:
        echo = start_echo(rig)
        before = echo.queued_ms()
        echo.stall(live_letters(10))
        echo.turn(live_letters(3))
        assert echo.queued_ms() > before + 100
        echo.turn(live_letters(47))
        assert abs(echo.queued_ms() - before) <= 10
        stats = echo.playout_stats()
        assert stats["stalls"] == 1
        assert 180 <= stats["stalled_ms"] <= 200
        assert 0 < stats["stall_discarded_ms"] <= 200
        echo.turn(live_letters(5))
        (note,) = rig.happened("note")
        assert "stood still" in str(note["text"])


def test_a_message_that_once_came_early_leaves_no_delay_after_a_stall() -> None:
    with Rig() as rig:
        echo = start_echo(rig)
        before = echo.queued_ms()
        # Two messages in one slot, none in the next: at most a frame more waited.
        echo.peer.send(live_letters(1)[0])
        rig.run(5)
        echo.answer()
        echo.peer.send(live_letters(1)[0])
        rig.run(15)
        echo.answer()
        rig.run(20)
        echo.turn(live_letters(20))
        assert echo.queued_ms() == before
        echo.stall(live_letters(10))
        echo.turn(live_letters(50))
        assert abs(echo.queued_ms() - before) <= 10
        assert echo.playout_stats()["stall_discarded_ms"] <= 200


def test_silence_goes_first() -> None:
    with Rig() as rig:
        echo = start_echo(rig)
        words = [frame for letter in live_letters(5) for frame in (letter, QUIET)]
        echo.heard.clear()
        echo.stall(words)
        echo.turn([QUIET] * 60)
        for frame in live_letters(5):
            assert frame in echo.heard


def test_a_bot_that_sends_ahead_loses_nothing() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot()
        letters = "".join(chr(65 + n % 26) for n in range(150))
        for letter in letters:
            bot.sink.bot_audio(PCMU.decode(letter.encode() * 160))
        rig.run(1000)
        rig.clock.now_s += 0.2
        rig.engine.tick(40, rig.clock.now_s)
        rig.run(2000)
        assert rig.heard(peer).strip(".") == letters


def test_a_bot_that_begins_a_long_answer_after_the_stall_loses_nothing() -> None:
    with Rig() as rig:
        echo = start_echo(rig)
        echo.heard.clear()
        rig.clock.now_s += 0.2
        letters = "".join(chr(65 + n % 26) for n in range(50))
        for letter in letters:
            echo.bot.sink.bot_audio(PCMU.decode(letter.encode() * 160))
        rig.engine.tick(40, rig.clock.now_s)
        rig.run(1500)
        assert letters in rig.heard(echo.peer)


def test_ticks_that_were_left_out_are_no_stall() -> None:
    with Rig() as rig:
        rig.talking_leg()
        for _ in range(50):
            wanted = rig.engine.tick(4, rig.clock.now_s)
            rig.clock.now_s += 0.005 * wanted
        assert rig.engine.stalls == 0
