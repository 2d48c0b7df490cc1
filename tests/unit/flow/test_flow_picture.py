"""Pictures of flows: tree, Mermaid, SVG; and the schema for editors."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from emulator.flow.drawing import draw_mermaid, draw_svg, draw_tree
from emulator.flow.model import APPLETS, Flow
from emulator.flow.picture import picture_of
from emulator.flow.schema import flow_schema

FLOW = Flow.model_validate(
    {
        "flow": "handover",
        "app_id": "1005",
        "start": "greet",
        "applets": {
            "greet": {
                "type": "greeting",
                "text": 'Say "hi" <now> & again, ' * 3,
                "next": "bot",
            },
            "bot": {
                "type": "voicebot",
                "url": "wss://key:secret@b.example/m",
                "next": "decide",
            },
            "decide": {
                "type": "passthru",
                "url": "http://127.0.0.1:5003/d",
                "on_ok": "bye",
                "on_other": "agent",
            },
            "agent": {
                "type": "connect",
                "dial": ["user:alice", "sip:pbx"],
                "after_conversation": "bye",
                "no_answer": "greet",
            },
            "bye": {"type": "hangup"},
            "lost": {"type": "sms", "text": "Nobody.", "next": "bye"},
        },
    }
)


def test_layers_follow_the_longest_way_down() -> None:
    layers = [[n.name for n in layer] for layer in picture_of(FLOW).layers]
    assert layers == [["greet"], ["bot"], ["decide"], ["agent"], ["bye"], ["lost"]]


def test_the_tree_unfolds_each_node_once() -> None:
    assert draw_tree(picture_of(FLOW)) == (
        "handover (app 1005)\n"
        'greet (greeting)  Say "hi" <now> & again, Say "hi" <now> …\n'
        "└─ bot (voicebot)  wss://***@b.example/m\n"
        "   └─ decide (passthru)  http://127.0.0.1:5003/d\n"
        "      ├─ on_ok: bye (hangup)\n"
        "      └─ on_other: agent (connect)  user:alice, sip:pbx\n"
        "         ├─ no_answer: greet ↑\n"
        "         └─ after_conversation: bye ↑\n"
        "lost (sms)  Nobody.\n"
        "└─ bye ↑"
    )


def test_mermaid_has_every_node_and_way() -> None:
    lines = draw_mermaid(picture_of(FLOW)).splitlines()
    assert lines[0] == "flowchart TD"
    assert lines[1].startswith(
        '  n0["greet<br/>greeting<br/>Say #34;hi#34; #60;now#62;'
    )
    assert '  n2 -->|"on_other"| n3' in lines
    assert "  n0 --> n1" in lines
    assert len(lines) == 1 + 6 + 7


def test_the_svg_is_xml_and_holds_no_secret() -> None:
    text = draw_svg(picture_of(FLOW))
    root = ET.fromstring(text)
    names = {e.text for e in root.iter("{http://www.w3.org/2000/svg}tspan")}
    assert set(FLOW.applets) <= names
    assert "secret" not in text
    assert len(list(root.iter("{http://www.w3.org/2000/svg}rect"))) == 6


def test_a_loop_alone_can_be_drawn() -> None:
    loop = Flow.model_validate(
        {
            "flow": "loop",
            "app_id": "1",
            "start": "a",
            "applets": {"a": {"type": "greeting", "text": "...", "next": "a"}},
        }
    )
    assert draw_tree(picture_of(loop)) == "loop (app 1)\na (greeting)  ...\n└─ a ↑"
    ET.fromstring(draw_svg(picture_of(loop)))


def test_the_schema_describes_every_applet() -> None:
    schema = flow_schema()
    assert schema["required"] == ["flow", "app_id", "start", "applets"]
    union = schema["properties"]["applets"]["additionalProperties"]
    mapping = union["discriminator"]["mapping"]
    assert mapping.keys() == APPLETS.keys()
    for name, reference in mapping.items():
        described = schema["$defs"][reference.rpartition("/")[2]]
        assert described["additionalProperties"] is False, name
        assert described["description"] != "", name
        assert described["properties"]["type"]["const"] == name


def test_the_schema_knows_fields_by_their_names_in_the_file() -> None:
    passthru = flow_schema()["$defs"]["Passthru"]["properties"]
    assert "async" in passthru and "is_async" not in passthru
    assert flow_schema()["properties"]["app_id"]["pattern"] == "^[0-9]{1,20}$"
