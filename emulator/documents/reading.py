"""YAML text to a document, without YAML's traps; ``${VAR}`` is expanded on the way."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from emulator.documents.document import (
    Document,
    Path,
    format_path,
    quoted,
    unusable,
)
from emulator.errors import Problem

# A flow or settings file has a few kB; the parser takes about a second per 200 kB.
MAX_DOCUMENT_CHARS = 256 * 1024
# Values after aliases are followed: what a "billion laughs" document would multiply.
MAX_VALUES = 50_000
# Nesting; the parser recurses.
MAX_DEPTH = 40


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


class _ShallowComposer(Composer):
    """Composes nodes only; values are made by ``_Builder``."""

    # Of the parser that a loader is made of.
    peek_event: Callable[[], Any]

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            message = f"nested deeper than {MAX_DEPTH} levels"
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(None, None, message, mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Loader(_ShallowComposer, Reader, Scanner, Parser, _Resolver):
    """The parser whose messages and marks we report."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        _ShallowComposer.__init__(self)
        _Resolver.__init__(self)


_loaders: Sequence[Callable[[str], Composer]] = [_Loader]
if yaml.__with_libyaml__:
    from yaml._yaml import CParser

    class _FastLoader(_ShallowComposer, CParser, _Resolver):
        """libyaml: the same nodes in an eighth of the time, but other messages."""

        def __init__(self, text: str) -> None:
            CParser.__init__(self, text)
            _ShallowComposer.__init__(self)
            _Resolver.__init__(self)

    # What the first one refuses is parsed again, for the message.
    _loaders = [_FastLoader, _Loader]


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
    *fast, exact = _loaders
    for loader in fast:
        with suppress(yaml.YAMLError, UnicodeEncodeError):
            return loader(text).get_single_node()
    try:
        return exact(text).get_single_node()
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
            self._report(node, path, f"{quoted(node.value)} is no {kind}")
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
