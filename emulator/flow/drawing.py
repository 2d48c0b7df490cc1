"""A flow as text for the terminal, as Mermaid, and as SVG."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from emulator.flow.picture import Node, Picture, Way

# --- terminal --------------------------------------------------------------------


def draw_tree(picture: Picture) -> str:
    """Return the graph as a tree; a node is unfolded where it comes first."""
    nodes = {node.name: node for node in picture.nodes()}
    ways: dict[str, list[Way]] = {name: [] for name in nodes}
    for way in picture.ways:
        ways[way.source].append(way)
    lines = [picture.title]
    seen: set[str] = set()
    for name in nodes:
        if name not in seen:
            lines += _branch(name, "", "", nodes, ways, seen)
    return "\n".join(lines)


def _branch(
    name: str,
    indent: str,
    label: str,
    nodes: Mapping[str, Node],
    ways: Mapping[str, list[Way]],
    seen: set[str],
) -> Iterator[str]:
    """Yield the lines of a node and what lies behind it, without recursion."""
    waiting = [(name, indent, label, "")]
    while waiting:
        name, indent, label, hook = waiting.pop()
        node = nodes[name]
        prefix = f"{indent}{hook}{f'{label}: ' if label else ''}"
        if name in seen:
            yield f"{prefix}{name} ↑"
            continue
        seen.add(name)
        summary = f"  {node.summary}" if node.summary else ""
        yield f"{prefix}{name} ({node.type}){summary}"
        # A single way goes straight down; several are indented.
        inner = indent + {"├─ ": "│  ", "└─ ": "   "}.get(hook, "")
        behind = ways[name]
        for index in reversed(range(len(behind))):
            way = behind[index]
            hook_ = "└─ " if index == len(behind) - 1 else "├─ "
            waiting.append((way.target, inner, way.label, hook_))


# --- Mermaid -----------------------------------------------------------------------


def draw_mermaid(picture: Picture) -> str:
    """Return a Mermaid flowchart."""
    ids = {node.name: f"n{i}" for i, node in enumerate(picture.nodes())}
    lines = ["flowchart TD"]
    for node in picture.nodes():
        parts = [node.name, node.type, node.summary]
        text = "<br/>".join(_entities(part) for part in parts if part)
        lines.append(f'  {ids[node.name]}["{text}"]')
    for way in picture.ways:
        label = f'|"{_entities(way.label)}"|' if way.label else ""
        lines.append(f"  {ids[way.source]} -->{label} {ids[way.target]}")
    return "\n".join(lines)


def _entities(text: str) -> str:
    """Return ``text`` with everything but plain characters as Mermaid entities."""
    return "".join(c if c.isalnum() or c in " .,_-/:" else f"#{ord(c)};" for c in text)


# --- SVG -----------------------------------------------------------------------------

_CHAR_PX = 7.2
_BOX_HEIGHT_PX = 54
_GAP_X_PX = 36
_GAP_Y_PX = 62
_MARGIN_PX = 24

_STYLE = (
    "text{font:12px ui-monospace,monospace;fill:#1b1f24}"
    ".name{font-weight:bold}.dim{fill:#59636e}"
    "rect{fill:#f6f8fa;stroke:#8c959f}"
    "path{fill:none;stroke:#59636e}marker path{fill:#59636e}"
)
_TIP = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8"'
    ' markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>'
)


@dataclass(frozen=True, slots=True)
class _Box:
    node: Node
    x: float
    y: float
    width: float

    @property
    def middle(self) -> float:
        return self.x + self.width / 2

    @property
    def bottom(self) -> float:
        return self.y + _BOX_HEIGHT_PX


def draw_svg(picture: Picture) -> str:
    """Return a picture that stands alone: no script, no outside font or image."""
    boxes = {box.node.name: box for box in _boxes(picture)}
    right = max(box.x + box.width for box in boxes.values())
    loops = sum(boxes[w.target].y <= boxes[w.source].y for w in picture.ways)
    width = right + _MARGIN_PX + 16 * loops + (120 if loops else 0)
    height = max(box.bottom for box in boxes.values()) + _MARGIN_PX
    size = f'width="{width:.0f}" height="{height:.0f}"'
    box = f'viewBox="0 0 {width:.0f} {height:.0f}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} {size} role="img">',
        f"<title>{html.escape(picture.title)}</title>",
        f"<style>{_STYLE}</style>",
        _TIP,
        *_arrows(picture, boxes, right),
        *(_draw_box(box) for box in boxes.values()),
        "</svg>",
    ]
    return "\n".join(part for part in parts if part)


def _boxes(picture: Picture) -> Iterator[_Box]:
    """Yield the boxes, each layer centred under the widest one."""
    widths = [[_width(node) for node in layer] for layer in picture.layers]
    totals = [sum(row) + _GAP_X_PX * (len(row) - 1) for row in widths]
    for depth, (layer, row) in enumerate(zip(picture.layers, widths, strict=True)):
        x = _MARGIN_PX + (max(totals) - totals[depth]) / 2
        y = _MARGIN_PX + depth * (_BOX_HEIGHT_PX + _GAP_Y_PX)
        for node, width in zip(layer, row, strict=True):
            yield _Box(node, x, y, width)
            x += width + _GAP_X_PX


def _width(node: Node) -> float:
    chars = max(len(node.name) + len(node.type) + 3, len(node.summary), 12)
    return chars * _CHAR_PX + 20


def _draw_box(box: _Box) -> str:
    name, kind, summary = (
        html.escape(text) for text in (box.node.name, box.node.type, box.node.summary)
    )
    x = box.x + 10
    return (
        f'<rect x="{box.x:.0f}" y="{box.y:.0f}" width="{box.width:.0f}"'
        f' height="{_BOX_HEIGHT_PX}" rx="6"/>'
        f'<text x="{x:.0f}" y="{box.y + 22:.0f}"><tspan class="name">{name}</tspan>'
        f' <tspan class="dim">{kind}</tspan></text>'
        f'<text class="dim" x="{x:.0f}" y="{box.y + 42:.0f}">{summary}</text>'
    )


def _arrows(picture: Picture, boxes: Mapping[str, _Box], right: float) -> Iterator[str]:
    loops = 0
    leaving: dict[str, int] = {}
    for way in picture.ways:
        source, target = boxes[way.source], boxes[way.target]
        count = sum(other.source == way.source for other in picture.ways)
        nth = leaving[way.source] = leaving.get(way.source, 0) + 1
        x = source.x + source.width * nth / (count + 1)
        if target.y > source.y:
            # Labels of neighbouring ways would lie on one another.
            y = source.bottom + 14 + 13 * ((nth - 1) % 3)
            yield from _arrow_down(x, source, target)
            yield _label(way.label, x + 4, y)
        else:
            loops += 1
            yield from _arrow_back(way.label, source, target, right + 16 * loops)


def _arrow_down(x: float, source: _Box, target: _Box) -> Iterator[str]:
    y1, y2 = source.bottom, target.y
    bend = (y2 - y1) / 2
    yield (
        f'<path d="M{x:.0f} {y1:.0f}C{x:.0f} {y1 + bend:.0f} {target.middle:.0f}'
        f' {y2 - bend:.0f} {target.middle:.0f} {y2:.0f}" marker-end="url(#tip)"/>'
    )


def _arrow_back(label: str, source: _Box, target: _Box, x: float) -> Iterator[str]:
    y1, y2 = source.y + _BOX_HEIGHT_PX * 0.7, target.y + _BOX_HEIGHT_PX * 0.3
    start, end = source.x + source.width, target.x + target.width
    yield (
        f'<path d="M{start:.0f} {y1:.0f}H{x:.0f}V{y2:.0f}H{end:.0f}"'
        ' marker-end="url(#tip)"/>'
    )
    yield _label(label, x + 4, (y1 + y2) / 2)


def _label(label: str, x: float, y: float) -> str:
    if not label:
        return ""
    return f'<text class="dim" x="{x:.0f}" y="{y:.0f}">{html.escape(label)}</text>'
