"""Damaged and invented files give a report, never an exception."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from emulator.flow.drawing import draw_mermaid, draw_svg, draw_tree
from emulator.flow.fields import FlowPlace
from emulator.flow.loader import LoadRules, read_flow
from emulator.flow.model import APPLETS
from emulator.flow.picture import picture_of
from emulator.flow.ports import Capability

DATA = Path(__file__).parents[2] / "data/flows"
TEXTS = [path.read_text() for path in sorted(DATA.glob("*/*.yaml"))]
RULES = LoadRules(frozenset(Capability))
PLACE = FlowPlace("", lambda _: True)


def check(text: str) -> None:
    reading = read_flow("f.yaml", text, RULES, PLACE)
    assert (reading.flow is None) == bool(reading.problems)
    for problem in (*reading.problems, *reading.warnings):
        assert problem.line >= 1 and problem.column >= 1 and problem.message
    if reading.flow:
        picture = picture_of(reading.flow)
        assert draw_tree(picture) and draw_mermaid(picture) and draw_svg(picture)


@given(
    st.sampled_from(TEXTS),
    st.integers(0, 2000),
    st.integers(0, 30),
    st.sampled_from(["", " ", "\n", ":", "- ", "7", '"', "{", "}", "next", "é", "\t"]),
)
def test_a_damaged_file_gives_a_report(text: str, at: int, cut: int, put: str) -> None:
    at %= len(text) + 1
    check(text[:at] + put + text[at + cut :])


FIELDS = sorted({name for kind in APPLETS.values() for name in kind.model_fields})
SCALARS = st.one_of(
    st.sampled_from(["a", "b", "user:alice", "ws://b/m", "http://h/", "mon", "1", "#"]),
    st.integers(-1, 300),
    st.none(),
    st.booleans(),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["a", "text", "1", "mon"]), inner, max_size=2),
    ),
    max_leaves=4,
)
MADE_UP = st.builds(
    lambda kind, fields: {**fields, "type": kind},
    st.sampled_from([*APPLETS, "greting"]),
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=5),
)


@given(st.dictionaries(st.sampled_from(["a", "b", "", "c d"]), MADE_UP | VALUES))
def test_an_invented_file_gives_a_report(applets: dict[str, Any]) -> None:
    flow = {"flow": "x", "app_id": "1", "start": "a", "applets": applets}
    check(json.dumps(flow))
