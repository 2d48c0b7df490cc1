"""What one entry of the settings says against another: nothing may be there twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address

from emulator.config.telephone import canonical
from emulator.config.tree import Settings

SettingPath = tuple[str | int, ...]
_Found = tuple[SettingPath, str, str]


def contradictions(settings: Settings) -> Iterator[tuple[SettingPath, str]]:
    """Yield the place and the explanation of every entry that repeats another."""
    yield from _unheard_media(settings)
    yield from _workers_without_ports(settings)
    yield from _repeated(
        (("numbers", i, "number"), entry.number, canonical(entry.number))
        for i, entry in enumerate(settings.numbers)
    )
    yield from _repeated(
        (("users", i, "name"), entry.name, entry.name)
        for i, entry in enumerate(settings.users)
    )
    yield from _repeated(_people(settings))
    yield from _repeated(
        (("trunks", i, "sid"), entry.sid, entry.sid)
        for i, entry in enumerate(settings.trunks)
    )
    yield from _repeated(
        (("trunks", i, "name"), entry.name, entry.name)
        for i, entry in enumerate(settings.trunks)
    )


def _unheard_media(settings: Settings) -> Iterator[tuple[SettingPath, str]]:
    """Yield when SDP, which names the address of SIP, would name one without RTP."""
    sip, media = settings.sip.bind, settings.media.bind
    if settings.sip.advertise_address or sip == media:
        return
    try:
        ours, theirs = ip_address(sip), ip_address(media)
    except ValueError:
        # A name; whoever binds it will say.
        return
    if ours.version != theirs.version:
        why = (
            f"{media} has no RTP for calls to sip.bind {sip}, which SDP names: bind "
            "both to one family, or set sip.advertise_address"
        )
        yield ("media", "bind"), why


def _workers_without_ports(settings: Settings) -> Iterator[tuple[SettingPath, str]]:
    """Yield when the ports are too few for each worker to have a pair."""
    low, high = settings.media.rtp_range
    pairs, workers = (high - low - low % 2 + 1) // 2, settings.media.workers
    if pairs < workers:
        why = (
            f"{low}-{high} has {pairs} pairs of an even port and the next: too few for "
            f"media.workers: {workers}, each of which needs one"
        )
        yield ("media", "rtp_range"), why


def _people(settings: Settings) -> Iterator[_Found]:
    """Yield the numbers of people; a simulated one may not have a user's."""
    for i, user in enumerate(settings.users):
        if user.number:
            yield ("users", i, "number"), user.number, canonical(user.number)
    for i, one in enumerate(settings.subscribers):
        yield ("subscribers", i, "number"), one.number, canonical(one.number)


def _repeated(entries: Iterable[_Found]) -> Iterator[tuple[SettingPath, str]]:
    """Compare entries (place, as written, as compared)."""
    first: dict[str, tuple[SettingPath, str]] = {}
    for path, written, key in entries:
        if key not in first:
            first[key] = (path, written)
            continue
        where, other = first[key]
        spelt = "" if other == written else f", spelt {other!r} there"
        yield path, f"{written!r} is that of {where[0]}[{where[1]}] already{spelt}"
