"""Checks on the graph of a flow: targets, reachability, traps between applets."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Set

from emulator.documents import Document, did_you_mean
from emulator.errors import Problem
from emulator.flow.applet import Applet, Exit
from emulator.flow.applets.greeting import Greeting
from emulator.flow.applets.hangup import HangupApplet
from emulator.flow.applets.passthru import Passthru
from emulator.flow.applets.voicebot import Voicebot
from emulator.flow.streaming import BotApplet


def target_problems(
    document: Document, start: str, exits: Mapping[str, Iterable[Exit]]
) -> Iterator[Problem]:
    """Yield every exit, and the start, that leads to no node.

    Args:
        exits: Of every node, as far as its applet could be read.
    """
    if start and start not in exits:
        yield document.problem(("start",), _no_node(start, exits))
    for node, ways in exits.items():
        for way in ways:
            if way.target is not None and way.target not in exits:
                path = ("applets", node, *way.path)
                yield document.problem(path, _no_node(way.target, exits))


def _no_node(name: str, nodes: Collection[str]) -> str:
    return f"there is no applet {name!r}{did_you_mean(name, nodes)}"


def graph_warnings(
    document: Document, start: str, applets: Mapping[str, Applet], *, has_webhooks: bool
) -> Iterator[Problem]:
    """Yield traps of a graph whose targets all exist.

    Args:
        has_webhooks: A Passthru can be carried out, and so be recommended.
    """
    reached = _reachable(start, applets, through=applets.keys())
    for node in applets:
        if node not in reached:
            message = "no applet leads here"
            yield document.problem(("applets", node), message, at_key=True)
    yield from _silent_bots(document, start, applets)
    if has_webhooks:
        yield from _untold_streams(document, applets)


def _silent_bots(
    document: Document, start: str, applets: Mapping[str, Applet]
) -> Iterator[Problem]:
    """Yield the Voicebots that may come before any Greeting (streaming spec §7, 1)."""
    quiet = {n for n, a in applets.items() if not isinstance(a, (Greeting, Voicebot))}
    for node in sorted(_reachable(start, applets, through=quiet)):
        if isinstance(applets[node], Voicebot):
            message = (
                "no Greeting before this Voicebot: "
                "the platform drops such SIP calls after about 20 s"
            )
            yield document.problem(("applets", node), message, at_key=True)


def _untold_streams(
    document: Document, applets: Mapping[str, Applet]
) -> Iterator[Problem]:
    """Yield the streams whose outcome decides nothing, though the flow goes on."""
    for node, applet in applets.items():
        if not isinstance(applet, BotApplet) or applet.url is None:
            continue
        behind = applets.get(applet.target("next") or "")
        if behind is not None and not isinstance(behind, (Passthru, HangupApplet)):
            message = "no Passthru right behind this stream: nobody hears how it went"
            yield document.problem(("applets", node), message, at_key=True)


def _reachable(
    start: str, applets: Mapping[str, Applet], *, through: Set[str]
) -> set[str]:
    """Return the nodes that can be entered, leaving only those in ``through``."""
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        node = waiting.pop()
        if node in reached:
            continue
        reached.add(node)
        if node in through:
            waiting += [e.target for e in applets[node].exits() if e.target is not None]
    return reached
