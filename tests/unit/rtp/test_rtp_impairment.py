"""A bad network: as bad as asked, and the same every time."""

from emulator.ids import IdSource
from emulator.rtp.impairment import MAX_HELD_PACKETS, Damage, Impairment


def through(damage: Damage, count: int = 1000, seed: int = 1) -> list[int]:
    """Send numbered packets every 20 ms; return the numbers in order of arrival."""
    path = Impairment(damage, IdSource(seed))
    arrived = []
    for tick in range(4 * count + 200):
        if tick % 4 == 0 and tick < 4 * count:
            path.push((tick // 4).to_bytes(4, "big"), tick * 0.005)
        while (datagram := path.pop(tick * 0.005)) is not None:
            arrived.append(int.from_bytes(datagram, "big"))
    return arrived


def test_no_damage_changes_nothing() -> None:
    assert through(Damage()) == list(range(1000))


def test_loss_is_about_as_asked() -> None:
    arrived = through(Damage(loss=0.05))
    assert 930 <= len(arrived) <= 970
    assert arrived == sorted(set(arrived))


def test_duplicates_are_about_as_asked() -> None:
    arrived = through(Damage(duplicate=0.1))
    assert sorted(set(arrived)) == list(range(1000))
    assert 1070 <= len(arrived) <= 1130


def test_jitter_delays_and_keeps_the_order() -> None:
    assert through(Damage(delay_ms=40, jitter_ms=50)) == list(range(1000))


def test_reordered_packets_come_after_their_successors() -> None:
    arrived = through(Damage(reorder=0.1))
    assert arrived != sorted(arrived)
    assert sorted(arrived) == list(range(1000))


def test_the_same_seed_gives_the_same_damage() -> None:
    damage = Damage(loss=0.1, duplicate=0.1, reorder=0.1, jitter_ms=30)
    assert through(damage, seed=7) == through(damage, seed=7)
    assert through(damage, seed=7) != through(damage, seed=8)


def test_what_is_held_is_bounded() -> None:
    path = Impairment(Damage(delay_ms=1e9), IdSource(1))
    for _ in range(MAX_HELD_PACKETS + 5):
        path.push(b"x", 0.0)
    assert path.lost == 5
