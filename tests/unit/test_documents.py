"""YAML without traps, problems with places, models in plain words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, model_validator

from emulator.documents import Document, load_document, reading, validate
from emulator.errors import ConfigError


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Sip(Model):
    host: str = "127.0.0.1"
    port: int = Field(default=5060, ge=1, le=65535)
    mode: Literal["abrupt", "normal"] = "abrupt"
    strict: bool = False


class User(Model):
    name: str = Field(min_length=1)
    number: str = Field(pattern="^[0-9]+$")


class Circle(Model):
    type: Literal["circle"]
    radius: float


class Square(Model):
    type: Literal["square"]
    side: float


class Settings(Model):
    sip: Sip = Sip()
    users: tuple[User, ...] = ()
    shapes: dict[str, Annotated[Circle | Square, Field(discriminator="type")]] = {}


class Window(Model):
    opens: int
    closes: int

    @model_validator(mode="after")
    def ordered(self) -> Window:
        if self.opens >= self.closes:
            raise ValueError("opens must be earlier than closes")
        return self


def load(text: str, **env: str) -> Document:
    return load_document("f.yaml", text, env)


def problems(text: str, model: type[BaseModel] = Settings, **env: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        validate(load(text, **env), model)
    return [str(p).removeprefix("f.yaml:") for p in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("0", 0),
        ("-3", -3),
        ("1.5", 1.5),
        ("-0.25", -0.25),
        ("2.0e3", 2000.0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
    ],
)
def test_plain_numbers_and_words_are_resolved(text: str, value: object) -> None:
    found = load(f"a: {text}").data["a"]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "010",
        "08010000001",
        "+919900000001",
        "yes",
        "no",
        "on",
        "off",
        "12:30",
        "1_000",
        "0x10",
        "0o7",
        "1e3",
        ".5",
        ".inf",
        "2025-06-24",
        "123456789012345678901",
        "=",
        "<<",
    ],
)
def test_traps_of_yaml_stay_text(text: str) -> None:
    assert load(f"a: {text}").data == {"a": text}


def test_keys_are_always_text() -> None:
    assert load("1: one\ntrue: yes\n~: x\n").data == {
        "1": "one",
        "true": "yes",
        "~": "x",
    }


def test_marks_are_those_of_scalars_and_of_the_keys_of_collections() -> None:
    document = load("sip:\n  port: 5060\nusers:\n  - name: a\n")
    assert document.marks["sip",] == (1, 1)
    assert document.marks["sip", "port"] == (2, 9)
    assert document.key_marks["sip", "port"] == (2, 3)
    assert document.marks["users", 0] == (4, 5)
    assert document.marks["users", 0, "name"] == (4, 11)


def test_a_problem_falls_back_to_the_nearest_known_ancestor() -> None:
    document = load("a:\n  b: 1\n")
    problem = document.problem(("a", "c", 0, "d"), "wrong")
    assert str(problem) == "f.yaml:1:1: a.c[0].d: wrong"


def test_anchors_and_aliases_are_followed() -> None:
    assert load("a: &x [1, 2]\nb: *x\n").data == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize(
    ("text", "report"),
    [
        ("a: b: c", "1:5: a ': ' is not allowed here; quote the text"),
        ("a:\n\tb: 1", "2:1: a tab is not allowed here; indent with spaces"),
        ('a: "x', "1:6: the closing quote is missing"),
        ("a: [1, 2", "1:9: a comma or a closing bracket is missing"),
        (
            "a: {b: ${X}}",
            (
                "1:9: a comma or a closing bracket is missing "
                "(text with ${…} inside {…} or […] needs quotes)"
            ),
        ),
        ("- a\nb: 1", "2:1: the indentation does not match the lines above"),
        ("a: @x", "1:4: this character may not start a value; quote the text"),
        ("a: *x", "1:4: this alias has no anchor before it"),
        ("a: 1\n---\nb: 2", "2:1: only one document per file; remove the '---'"),
        ("a: 1\nb: \x00", "2:4: a control character is not allowed in a file"),
        ("a: !foo x", "1:4: a: the tag '!foo' is not supported"),
        ("a: !!int x", "1:4: a: 'x' is no int"),
        ("? [a]\n: b", "1:3: a key must be plain text"),
        ("a: 1\nb: 2\na: 3", "3:1: a: given twice; the first one is in line 1"),
    ],
)
def test_what_is_no_yaml_is_said_in_plain_words(text: str, report: str) -> None:
    assert problems(text) == [report]


def test_a_document_is_bounded_in_size_depth_and_values() -> None:
    assert problems("x" * (reading.MAX_DOCUMENT_CHARS + 1)) == [
        "1:1: longer than 256 kB"
    ]
    assert problems("[" * 5000)[0].endswith("nested deeper than 40 levels")
    assert problems("a: &a [1, *a]")[0].endswith("aliases make the document too large")
    laughs = "a0: &a0 [x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)
    )
    assert problems(laughs)[0].endswith("aliases make the document too large")


def test_variables_are_expanded_in_text_values() -> None:
    text = 'a: ${URL:-ws://x}/b\nb: "${URL}"\nc: $${URL}\nd: ${EMPTY}\ne: ${EMPTY:-z}'
    assert load(text, URL="ws://y", EMPTY="").data == {
        "a": "ws://y/b",
        "b": "ws://y",
        "c": "${URL}",
        "d": "",
        "e": "z",
    }
    assert load("a: ${URL:-ws://x}/b").data == {"a": "ws://x/b"}


def test_an_expanded_value_stays_text_and_is_not_expanded_again() -> None:
    assert load("a: ${A}\nb: ${B}", A="010", B="${A}").data == {"a": "010", "b": "${A}"}


def test_unset_and_malformed_variables_are_all_reported() -> None:
    assert problems("a: ${X}\nb:\n  - ${Y}\nc: ${2}\nd: ${Z") == [
        "1:4: a: the variable X is not set and has no default",
        "3:5: b[0]: the variable Y is not set and has no default",
        "4:4: c: write ${NAME} or ${NAME:-default}; $${ is a literal ${",
        "5:4: d: write ${NAME} or ${NAME:-default}; $${ is a literal ${",
    ]


def test_a_valid_document_becomes_the_model() -> None:
    settings = validate(
        load("sip: {port: '${P:-5070}'}\nusers:\n- {name: a, number: 010}"), Settings
    )
    assert settings.sip.port == 5070
    assert settings.users == (User(name="a", number="010"),)


def test_a_part_of_a_document_can_be_validated_alone() -> None:
    document = load("users:\n  - {name: a, number: 010}\n  - {name: b, numbr: 1}\n")
    assert validate(document, User, path=("users", 0)).name == "a"
    with pytest.raises(ConfigError) as caught:
        validate(document, User, path=("users", 1))
    assert [str(p) for p in caught.value.problems] == [
        "f.yaml:3:5: users[1].number: required, but missing",
        "f.yaml:3:15: users[1].numbr: unknown field (did you mean 'number'?)",
    ]


def test_merged_data_is_judged_with_the_places_of_the_file() -> None:
    document = load("sip:\n  host: a\n")
    with pytest.raises(ConfigError) as caught:
        validate(document, Settings, data={"sip": {"host": "a", "port": "many"}})
    assert [str(p) for p in caught.value.problems] == [
        "f.yaml:1:1: sip.port: must be a whole number"
    ]


def test_every_problem_is_reported_in_the_order_of_the_file() -> None:
    text = """\
sip:
  hots: a
  port: 99999
  mode: abrubt
  strict: perhaps
user: []
users:
  - {name: "", number: 9900000001}
  - {name: b, number: "12a"}
shapes:
  a: {type: circel}
  b: {type: square, sied: 2}
  c: {side: 2}
  d:
  e: 5
"""
    assert problems(text) == [
        "2:3: sip.hots: unknown field (did you mean 'host'?)",
        "3:9: sip.port: must be at most 65535, not 99999",
        "4:9: sip.mode: 'abrubt' is none of abrupt, normal (did you mean 'abrupt'?)",
        "5:11: sip.strict: must be true or false",
        "6:1: user: unknown field (did you mean 'users'?)",
        "8:12: users[0].name: must not be empty",
        '8:24: users[0].number: must be text: write it in quotes, "9900000001"',
        "9:23: users[1].number: does not match the pattern ^[0-9]+$",
        (
            "11:13: shapes.a.type: 'circel' is none of circle, square"
            " (did you mean 'circle'?)"
        ),
        "12:3: shapes.b.side: required, but missing",
        "12:21: shapes.b.sied: unknown field (did you mean 'side'?)",
        "13:3: shapes.c: needs 'type'",
        "14:5: shapes.d: has no value",
        "15:6: shapes.e: must be a mapping (name: value), not 5",
    ]


def test_a_models_own_rule_is_reported_where_the_model_begins() -> None:
    assert problems("opens: 5\ncloses: 3", Window) == [
        "1:1: opens must be earlier than closes"
    ]


class Music(Model):
    music: Literal["default", "none"] | Circle = "default"


def test_a_union_complains_once() -> None:
    assert problems("music: defualt", Music) == [
        "1:8: music: 'defualt' is none of default, none (did you mean 'default'?)"
    ]
    assert problems("music: {type: circle, radios: 1}", Music)[-1] == (
        "1:23: music.radios: unknown field (did you mean 'radius'?)"
    )


def test_an_empty_document_is_no_model() -> None:
    assert problems("# nothing") == ["1:1: there is nothing here"]


@given(st.text(max_size=200), st.dictionaries(st.text(max_size=3), st.text(max_size=5)))
def test_any_text_gives_a_document_or_a_config_error(
    text: str, env: dict[str, str]
) -> None:
    try:
        load_document("f", text, env)
    except ConfigError as error:
        assert error.problems


_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text("ab: #'1\n"),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc"), inner),
    max_leaves=10,
)


@given(_VALUES)
def test_json_is_read_as_what_it_says(value: Any) -> None:
    assert load(json.dumps(value)).data == value


ROOT = Path(__file__).resolve().parents[2]
YAML_FILES = [
    *sorted((ROOT / "flows").glob("*.yaml")),
    *sorted((ROOT / "config").glob("*.yaml")),
]


@pytest.mark.parametrize("file", YAML_FILES, ids=str)
def test_both_yaml_parsers_read_the_same_at_the_same_places(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = file.read_text(encoding="utf-8")
    env = dict.fromkeys(re.findall(r"\$\{(\w+)", text), "x")
    either = reading.parse_document(str(file), text, env)
    monkeypatch.setattr(reading, "_loaders", reading._loaders[-1:])
    assert reading.parse_document(str(file), text, env) == either
