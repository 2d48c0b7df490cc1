"""A leg through a bad network, both ways, until it is healed."""

import pytest

from emulator.worker.messages import Impair, LegRemoved, RemoveLeg
from tests.support.media_rig import Rig

LOUD = b"\x20" * 160


def test_inbound_loss_is_counted_and_the_call_lives() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot()
        rig.engine.handle(Impair("L1", seed=3, inbound={"loss": 0.2}))
        rig.run_talking(peer, [LOUD] * 200)
        # What was lost is silence of its length: the bot's time goes on.
        assert 190 <= len(bot.audio) <= 201
        rig.engine.handle(RemoveLeg("L1"))
        received = rig.of(LegRemoved)[0].stats["received"]
        assert isinstance(received, dict)
        assert 20 <= int(received["lost"]) <= 60


def test_outbound_loss_is_seen_by_the_peer_until_it_is_healed() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        rig.engine.handle(Impair("L1", seed=3, outbound={"loss": 0.5}))
        rig.run(2000)
        assert 30 <= len(peer.receive()) <= 70
        rig.engine.handle(Impair("L1"))
        rig.run(2000)
        assert len(peer.receive()) == 100
        (told,) = rig.happened("fault.acted")
        assert told.keys() == {"fault", "to_caller"}
        counts = told["to_caller"]
        assert isinstance(counts, dict) and 30 <= int(counts["lost"]) <= 70


@pytest.mark.parametrize("loss", [0.0, 0.01, 0.03, 0.05])
@pytest.mark.parametrize("jitter_ms", [0.0, 20.0, 50.0])
def test_a_call_lives_through_loss_and_jitter(loss: float, jitter_ms: float) -> None:
    damage = {"loss": loss, "jitter_ms": jitter_ms}
    with Rig() as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot()
        rig.engine.handle(Impair("L1", seed=5, inbound=damage, outbound=damage))
        for _ in range(100):
            rig.run_talking(peer, [LOUD])
            for audio in bot.audio:
                bot.sink.bot_audio(audio)
            bot.audio.clear()
        heard = [packet.payload for packet in peer.receive()]
        assert sum(payload == LOUD for payload in heard) >= 80


def test_a_leg_that_is_gone_cannot_be_impaired() -> None:
    with Rig() as rig:
        rig.engine.handle(Impair("L1", inbound={"loss": 1.0}))
        assert rig.reports == []
