"""A flow's graph, ready to be drawn: nodes in layers, and the ways between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from emulator.flow.applet import Applet
from emulator.flow.model import Flow
from emulator.flow.parameters import mask_userinfo

MAX_SUMMARY_CHARS = 40
_SUMMARIES = ("text", "file", "audio_url", "url", "dial", "numbers_url", "to")


@dataclass(frozen=True, slots=True)
class Node:
    """One applet: its name, its type and what it says, dials or asks."""

    name: str
    type: str
    summary: str


@dataclass(frozen=True, slots=True)
class Way:
    """An exit that leads somewhere; exits to the same node share one way."""

    source: str
    target: str
    label: str


@dataclass(frozen=True, slots=True)
class Picture:
    """Layers from the start downwards; nodes that nothing leads to come last."""

    title: str
    layers: Sequence[Sequence[Node]]
    ways: Sequence[Way]

    def nodes(self) -> Iterator[Node]:
        for layer in self.layers:
            yield from layer


def picture_of(flow: Flow) -> Picture:
    """Return what is to be drawn."""
    layers = [
        [_node(name, flow.applets[name]) for name in names] for names in _layers(flow)
    ]
    names = [node.name for layer in layers for node in layer]
    ways = [way for name in names for way in _ways(name, flow.applets[name])]
    return Picture(f"{flow.flow} (app {flow.app_id})", layers, ways)


def _layers(flow: Flow) -> Iterator[list[str]]:
    """Yield the nodes by their longest way from the start, loops left aside."""
    order = _downwards(flow)
    place = {name: index for index, name in enumerate(order)}
    depth = dict.fromkeys(order, 0)
    for name in order:
        for target in _targets(flow, name):
            if place[target] > place[name]:
                depth[target] = max(depth[target], depth[name] + 1)
    for layer in range(max(depth.values()) + 1):
        yield [name for name in order if depth[name] == layer]
    if lost := [name for name in flow.applets if name not in depth]:
        yield lost


def _downwards(flow: Flow) -> list[str]:
    """Return what the start reaches, each before all it leads to, but for loops."""
    finished: list[str] = []
    seen = {flow.start}
    path = [(flow.start, iter(reversed(_targets(flow, flow.start))))]
    while path:
        name, targets = path[-1]
        target = next((t for t in targets if t not in seen), None)
        if target is None:
            finished.append(name)
            path.pop()
        else:
            seen.add(target)
            path.append((target, iter(reversed(_targets(flow, target)))))
    return finished[::-1]


def _targets(flow: Flow, name: str) -> list[str]:
    targets = (exit_.target for exit_ in flow.applets[name].exits())
    return [target for target in dict.fromkeys(targets) if target is not None]


def _ways(name: str, applet: Applet) -> Iterator[Way]:
    labels: dict[str, list[str]] = {}
    for exit_ in applet.exits():
        if exit_.target is not None:
            labels.setdefault(exit_.target, []).append(exit_.path[-1])
    for target, exits in labels.items():
        label = ", ".join(dict.fromkeys(exits))
        yield Way(name, target, "" if label == "next" else label)


def _node(name: str, applet: Applet) -> Node:
    fields: dict[str, Any] = dict(vars(applet))
    if prompt := fields.get("prompt"):
        fields |= vars(prompt)
    found = next((fields[key] for key in _SUMMARIES if fields.get(key)), "")
    text = ", ".join(found) if isinstance(found, list) else str(found)
    if "://" in text:
        text = mask_userinfo(text)
    if len(text) > MAX_SUMMARY_CHARS:
        text = f"{text[: MAX_SUMMARY_CHARS - 1]}…"
    return Node(name, applet.type, " ".join(text.split()))
