"""YAML documents with positions, and models validated against them.

Everything that a person writes for the emulator (settings, flows) is read here, so that
every problem of a file is reported at once, with its place and in plain words.

The YAML is a subset without traps: only plain decimal integers, floats, ``true``,
``false`` and ``null`` are resolved, so ``010``, ``yes``, ``+91…`` and ``12:30`` stay
text; keys are always text; tags are refused. ``${VAR}`` and ``${VAR:-default}`` are
expanded in text values, and ``$${`` is a literal ``${``. An expanded value stays text.

Pure: the text and the environment are arguments.
"""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    Literal,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

import yaml
from pydantic import BaseModel, ValidationError
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from emulator.errors import ConfigError, Problem

Path: TypeAlias = tuple[str | int, ...]
M = TypeVar("M", bound=BaseModel)

# A flow or settings file has a few kB; the parser takes about a second per 200 kB.
MAX_DOCUMENT_CHARS = 256 * 1024
# Values after aliases are followed: what a "billion laughs" document would multiply.
MAX_VALUES = 50_000
# Nesting; the parser recurses.
MAX_DEPTH = 40
# Values are quoted in messages up to this length.
MAX_QUOTED_CHARS = 40


@dataclass(frozen=True)
class Document:
    """A parsed file.

    Attributes:
        data: Plain dicts, lists, str, int, float, bool and None.
        marks: Line and column, from 1, of what is at a path: of a scalar itself, and
            of the key (or list item) that holds a mapping or list.
        key_marks: Line and column, from 1, of the key that ends a path.
    """

    file: str
    data: Any
    marks: Mapping[Path, tuple[int, int]]
    key_marks: Mapping[Path, tuple[int, int]]

    def problem(self, path: Path, message: str, *, at_key: bool = False) -> Problem:
        """Return a problem at ``path``, or at its nearest ancestor in the file."""
        line, column = self._position(path, self.key_marks if at_key else self.marks)
        return Problem(self.file, line, column, format_path(path), message)

    def _position(
        self, path: Path, marks: Mapping[Path, tuple[int, int]]
    ) -> tuple[int, int]:
        if path in marks:
            return marks[path]
        for end in range(len(path) - 1, -1, -1):
            if path[:end] in self.marks:
                return self.marks[path[:end]]
        return (1, 1)


def format_path(path: Path) -> str:
    """Return ``applets.agent.dial[1]`` for ``("applets", "agent", "dial", 1)``."""
    text = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path)
    return text.removeprefix(".")


def did_you_mean(word: str, known: Collection[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the nearest known word, else nothing."""
    near = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def unusable(file: str, problems: Sequence[Problem]) -> ConfigError:
    """Return the error that lists ``problems`` in the order of the file."""
    ordered = tuple(sorted(problems, key=lambda p: (p.line, p.column)))
    count = "1 problem" if len(ordered) == 1 else f"{len(ordered)} problems"
    return ConfigError(f"{file} cannot be used: {count}", ordered)


# --- YAML to data ------------------------------------------------------------


class _Resolver(BaseResolver):
    """The few kinds of plain scalar that are not text."""


_TAG = "tag:yaml.org,2002:"
_SCALARS: Mapping[str, tuple[re.Pattern[str], Callable[[str], Any], str]] = {
    # A sign or a leading zero makes it a phone number or digits: text. So do more
    # digits than a 64-bit integer holds.
    "int": (re.compile(r"^(?:0|-?[1-9][0-9]{0,17})$"), int, "-0123456789"),
    "float": (
        re.compile(r"^-?(?:0|[1-9][0-9]{0,17})\.[0-9]{1,18}(?:[eE][-+]?[0-9]{1,3})?$"),
        float,
        "-0123456789",
    ),
    "bool": (
        re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"),
        lambda text: text.lower() == "true",
        "tTfF",
    ),
    "null": (re.compile(r"^(?:~|null|Null|NULL|)$"), lambda text: None, "~nN\0"),
}
for _name, (_pattern, _, _first) in _SCALARS.items():
    # The resolver looks an empty scalar up under "".
    _keys = ["" if char == "\0" else char for char in _first]
    _Resolver.add_implicit_resolver(_TAG + _name, _pattern, _keys)


class _Loader(Reader, Scanner, Parser, Composer, _Resolver):
    """Composes nodes only; values are made by ``_Builder``."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        _Resolver.__init__(self)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            message = f"nested deeper than {MAX_DEPTH} levels"
            raise yaml.MarkedYAMLError(None, None, message, self.get_mark())
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


# Our words for what the parser's messages mean to the person who wrote the file.
_SYNTAX: Sequence[tuple[str, str]] = (
    ("mapping values are not allowed", "a ': ' is not allowed here; quote the text"),
    ("cannot start any token", "this character may not start a value; quote the text"),
    ("could not find expected ':'", "expected 'name: value'"),
    ("expected <block end>", "the indentation does not match the lines above"),
    ("expected ',' or", "a comma or a closing bracket is missing"),
    ("while scanning a quoted scalar", "the closing quote is missing"),
    ("found unexpected end of stream", "the closing quote is missing"),
    ("expected a single document", "only one document per file; remove the '---'"),
    ("found undefined alias", "this alias has no anchor before it"),
    ("found duplicate anchor", "this anchor is defined twice"),
)


def _plain_words(error: yaml.MarkedYAMLError) -> str:
    found = f"{error.context} {error.problem}"
    if "'\\t'" in found:
        return "a tab is not allowed here; indent with spaces"
    for theirs, ours in _SYNTAX:
        if theirs in found:
            return ours
    return error.problem or "not valid YAML"


def _compose(file: str, text: str) -> yaml.Node | None:
    try:
        return _Loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        message = _plain_words(error)
        if "${" in "".join(text.splitlines()[line - 1 : line]):
            message += " (text with ${…} inside {…} or […] needs quotes)"
        problem = Problem(file, line, column, "", message)
    except ReaderError as error:
        before = text[: error.position]
        line = before.count("\n") + 1
        column = error.position - (before.rfind("\n") + 1) + 1
        problem = Problem(
            file, line, column, "", "a control character is not allowed in a file"
        )
    raise unusable(file, [problem]) from None


_VARIABLE = re.compile(r"\$(\$\{|\{(?P<body>[^}]*)(?P<end>\}?))")
_BODY = re.compile(r"^(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-.*)?$", re.DOTALL)


class _Builder:
    """Turns nodes into data, collecting marks and problems on the way."""

    def __init__(self, file: str, env: Mapping[str, str]) -> None:
        self.file = file
        self.marks: dict[Path, tuple[int, int]] = {}
        self.key_marks: dict[Path, tuple[int, int]] = {}
        self.problems: list[Problem] = []
        self._env = env
        self._values = 0

    def build(self, node: yaml.Node, path: Path) -> Any:
        self._values += 1
        if self._values > MAX_VALUES or len(path) > MAX_DEPTH:
            self._report(node, (), "aliases make the document too large")
            raise unusable(self.file, self.problems)
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            self.marks[path] = self.key_marks.get(path, _place(node))
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            self.marks[path] = self.key_marks.get(path, _place(node))
            return [self.build(n, (*path, i)) for i, n in enumerate(node.value)]
        self.marks[path] = _place(node)
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._report(key_node, path, "a key must be plain text")
                continue
            key = key_node.value
            if key in data:
                first = self.key_marks[*path, key][0]
                message = f"given twice; the first one is in line {first}"
                self._report(key_node, (*path, key), message)
                continue
            self.key_marks[*path, key] = _place(key_node)
            data[key] = self.build(value_node, (*path, key))
        return data

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        kind = node.tag.removeprefix(_TAG)
        if kind == "str":
            return self._expand(node, path)
        pattern, make, _ = _SCALARS.get(kind, (None, str, ""))
        if pattern is None or not isinstance(node.value, str):
            self._report(node, path, f"the tag {node.tag!r} is not supported")
            return None
        if not pattern.match(node.value):
            self._report(node, path, f"{_quoted(node.value)} is no {kind}")
            return None
        return make(node.value)

    def _expand(self, node: yaml.Node, path: Path) -> str:
        def value(found: re.Match[str]) -> str:
            if found[1] == "${":
                return "${"
            body = _BODY.match(found["body"])
            if not found["end"] or not body:
                message = "write ${NAME} or ${NAME:-default}; $${ is a literal ${"
                self._report(node, path, message)
                return ""
            name, default = body["name"], body["default"]
            # As in a shell: a default also takes the place of an empty value.
            if self._env.get(name) or (default is None and name in self._env):
                return self._env[name]
            if default is None:
                message = f"the variable {name} is not set and has no default"
                self._report(node, path, message)
                return ""
            return str(default).removeprefix(":-")

        text: str = node.value
        return _VARIABLE.sub(value, text) if "${" in text else text

    def _report(self, node: yaml.Node, path: Path, message: str) -> None:
        line, column = _place(node)
        problem = Problem(self.file, line, column, format_path(path), message)
        self.problems.append(problem)


def _place(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def parse_document(
    file: str, text: str, env: Mapping[str, str]
) -> tuple[Document, Sequence[Problem]]:
    """Parse ``text``, the content of ``file``, and expand variables from ``env``.

    What is wrong with single values (duplicate keys, unset variables, tags) is
    returned beside the document, so that it can be reported with all else.

    Raises:
        ConfigError: There is no document: a syntax error, or beyond the limits.
    """
    if len(text) > MAX_DOCUMENT_CHARS:
        message = f"longer than {MAX_DOCUMENT_CHARS // 1024} kB"
        raise unusable(file, [Problem(file, 1, 1, "", message)])
    node = _compose(file, text)
    builder = _Builder(file, env)
    data = None if node is None else builder.build(node, ())
    document = Document(file, data, builder.marks, builder.key_marks)
    return document, builder.problems


def load_document(file: str, text: str, env: Mapping[str, str]) -> Document:
    """Return the document of ``parse_document``, when nothing is wrong with it.

    Raises:
        ConfigError: Lists the problems with their places.
    """
    document, problems = parse_document(file, text, env)
    if problems:
        raise unusable(file, problems)
    return document


# --- data to models ----------------------------------------------------------


def validate(
    document: Document,
    model: type[M],
    data: Any = None,
    path: Path = (),
    context: Any = None,
) -> M:
    """Return the value at ``path`` of the document as ``model``.

    Args:
        data: Validated instead of the value at ``path``, when given: the document
            with something merged into it. Places still come from the document.
        context: Handed to the validators of the model.

    Raises:
        ConfigError: With every problem: place, path, and the nearest known word for
            an unknown field or choice.
    """
    value = _at(document.data, path) if data is None else data
    try:
        return model.model_validate(value, context=context)
    except ValidationError as error:
        problems = validation_problems(document, model, error, value, path)
    raise unusable(document.file, problems)


def validation_problems(
    document: Document,
    model: type[BaseModel],
    error: ValidationError,
    data: Any,
    path: Path = (),
) -> list[Problem]:
    """Return pydantic's errors about ``data``, found at ``path``, in our words."""
    problems = []
    for detail in error.errors(include_url=False):
        kind, loc = detail["type"], detail["loc"]
        named = kind in {"missing", "extra_forbidden"}
        at = (*path, *_data_path(data, loc, keep_last=named))
        if kind == "extra_forbidden":
            guess = did_you_mean(str(loc[-1]), _fields_at(model, loc))
            message = f"unknown field{guess}"
            problems.append(document.problem(at, message, at_key=True))
        else:
            if kind == "union_tag_invalid":
                at = (*at, detail["ctx"]["discriminator"].strip("'"))
            problems.append(document.problem(at, _explain(detail)))
    return problems


def _at(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data


def _holds(data: Any, part: str | int) -> bool:
    if isinstance(data, dict):
        return part in data
    return isinstance(data, list) and isinstance(part, int) and part < len(data)


def _data_path(data: Any, loc: Path, *, keep_last: bool) -> Path:
    """Return ``loc`` without pydantic's own words for union members."""
    path: list[str | int] = []
    for index, part in enumerate(loc):
        if _holds(data, part):
            data = data[part]
            path.append(part)
        elif keep_last and index == len(loc) - 1:
            path.append(part)
    return tuple(path)


def _inner(annotation: Any, part: str | int) -> list[Any]:
    """Return the annotations of what ``part`` names inside ``annotation``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields
        return [f.annotation for n, f in fields.items() if part in {n, f.alias}]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _inner(arguments[0], part)
    if origin in {Union, types.UnionType}:
        tagged = [member for member in arguments if _is_tagged(member, part)]
        return tagged or [a for member in arguments for a in _inner(member, part)]
    is_mapping = isinstance(origin, type) and issubclass(origin, Mapping)
    return list(arguments[-1:] if is_mapping else arguments[:1])


def _is_tagged(member: Any, part: str | int) -> bool:
    """Tell whether ``part`` is pydantic's name for this member of a union."""
    if not (isinstance(member, type) and issubclass(member, BaseModel)):
        return False
    annotations = [field.annotation for field in member.model_fields.values()]
    tags = [t for a in annotations if get_origin(a) is Literal for t in get_args(a)]
    return part == member.__name__ or part in tags


def _fields_at(model: type[BaseModel], loc: Path) -> list[str]:
    """Return the field names that are known where ``loc`` ends."""
    here: list[Any] = [model]
    for part in loc[:-1]:
        here = [inner for annotation in here for inner in _inner(annotation, part)]
    owners = [a for a in here if isinstance(a, type) and issubclass(a, BaseModel)]
    return [f.alias or n for o in owners for n, f in o.model_fields.items()]


_WORDS: Mapping[str, str] = {
    "missing": "required, but missing",
    "string_type": "must be text",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have {min_length} or more characters",
    "string_pattern_mismatch": "does not match the pattern {pattern}",
    "too_long": "must have at most {max_length} entries",
    "too_short": "must have {min_length} or more entries",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "model_type": "must be a mapping (name: value)",
    "model_attributes_type": "must be a mapping (name: value)",
    "dict_type": "must be a mapping (name: value)",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "set_type": "must be a list",
    "frozen_set_type": "must be a list",
    "union_tag_not_found": "needs {discriminator}",
    "value_error": "{error}",
    "assertion_error": "{error}",
}
_SHOWN_INPUT = (int, float, bool)
_CHOICE = re.compile(r"'([^']*)'")


def _explain(detail: Mapping[str, Any]) -> str:
    """Return what is wrong and what to write instead."""
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind in {"literal_error", "enum", "union_tag_invalid"}:
        return _explain_choice(context, given)
    if given is None and kind != "missing":
        return "has no value" if detail["loc"] else "there is nothing here"
    if kind == "string_type" and isinstance(given, _SHOWN_INPUT):
        text = str(given).lower() if isinstance(given, bool) else str(given)
        return f'must be text: write it in quotes, "{text}"'
    if context.get("min_length") == 1:
        return "must not be empty"
    words = _WORDS.get(kind, "").format_map(context)
    if not words:
        theirs = str(detail["msg"])
        return theirs[:1].lower() + theirs[1:]
    shown = isinstance(given, _SHOWN_INPUT) and kind not in {"missing", "value_error"}
    return f"{words}, not {_quoted(given)}" if shown else words


def _explain_choice(context: Mapping[str, Any], given: Any) -> str:
    expected = str(context.get("expected", context.get("expected_tags", "")))
    given = context.get("tag", given)
    choices = _CHOICE.findall(expected) or [expected]
    guess = did_you_mean(str(given), choices)
    return f"{_quoted(given)} is none of {', '.join(choices)}{guess}"


def _quoted(value: Any) -> str:
    """Return ``value`` as YAML would show it, cut to a readable length."""
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    if len(text) > MAX_QUOTED_CHARS:
        return text[: MAX_QUOTED_CHARS - 1] + "…"
    return text
