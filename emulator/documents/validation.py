"""A document's data to models; pydantic's errors in plain words, with their places."""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from emulator.documents.document import (
    Document,
    Path,
    did_you_mean,
    format_path,
    quoted,
    unusable,
)

M = TypeVar("M", bound=BaseModel)


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
        complaints = complaints_of(model, error, value)
    problems = [
        document.problem((*path, *c.path), c.message, at_key=c.is_about_key)
        for c in complaints
    ]
    raise unusable(document.file, problems)


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that is wrong with data, in our words.

    ``is_about_key``: the field is wrong, not its value.
    """

    path: Path
    message: str
    is_about_key: bool = False

    def __str__(self) -> str:
        path = format_path(self.path)
        return f"{path}: {self.message}" if path else self.message


def complaints_of(
    model: type[BaseModel], error: ValidationError, data: Any
) -> list[Complaint]:
    """Return pydantic's errors about ``data`` in plain words."""
    details = error.errors(include_url=False)
    paths = [_data_path(data, detail["loc"], keep_last=False) for detail in details]
    strange = {path for path, d in zip(paths, details, strict=True) if _is_of_key(d)}
    found = []
    for detail, path in zip(details, paths, strict=True):
        if detail["type"] in _SHAPES and paths.count(path) > 1:
            # Another member of a union says more than "this is no mapping".
            continue
        if path in strange and not _is_of_key(detail):
            # Nobody knows what the value of an unknown key should be.
            continue
        found.append(_complaint(model, detail, data))
    return found


def _is_of_key(detail: ErrorDetails) -> bool:
    return detail["loc"][-1:] == ("[key]",)


def _complaint(
    model: type[BaseModel], detail: Mapping[str, Any], data: Any
) -> Complaint:
    kind, loc = detail["type"], detail["loc"]
    named = kind in {"missing", "extra_forbidden"}
    path = _data_path(data, loc, keep_last=named)
    if kind == "extra_forbidden":
        guess = did_you_mean(str(loc[-1]), _fields_at(model, loc))
        return Complaint(path, f"unknown field{guess}", is_about_key=True)
    if kind == "union_tag_invalid":
        path = (*path, detail["ctx"]["discriminator"].strip("'"))
    return Complaint(path, _explain(detail))


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
_SHAPES = frozenset({"model_type", "model_attributes_type", "dict_type"})
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
    return f"{words}, not {quoted(given)}" if shown else words


def _explain_choice(context: Mapping[str, Any], given: Any) -> str:
    expected = str(context.get("expected", context.get("expected_tags", "")))
    given = context.get("tag", given)
    choices = _CHOICE.findall(expected) or [expected]
    guess = did_you_mean(str(given), choices)
    return f"{quoted(given)} is none of {', '.join(choices)}{guess}"
