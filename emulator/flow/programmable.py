"""Asking a customer's URL what to do: the rule that Connect and Gather share.

GET of the primary URL with everything a Passthru tells and ``Exotel-Version: 1.0``;
HTTP 200, ``application/json`` and a body of the right shape within 5 s, or the fallback
URL is asked in the same way (streaming spec §4.5.2, §4.7).
"""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any, ClassVar, TypeVar, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from emulator.documents import complaints_of
from emulator.flow.applet import carry_out
from emulator.flow.context import CallState
from emulator.flow.parameters import add_query, passthru_parameters
from emulator.flow.ports import Fetch, FetchResult, TellTime, Verb
from emulator.text import printable

TIMEOUT_S = 5.0
HEADERS = (("Exotel-Version", "1.0"),)

M = TypeVar("M", bound="Answer")


class Answer(BaseModel):
    """A JSON answer; what it does not know is ignored, as the platform does.

    Two things are mended before it is checked: ``null`` is a field left out, and what
    no timeline, SIP header or query can carry is replaced in every text. A field that
    may be left out and cannot be used is left out, with a note.

    Attributes:
        ESSENTIAL: Fields with a default without which the answer makes no sense.
    """

    model_config = ConfigDict(
        frozen=True, extra="ignore", defer_build=True, coerce_numbers_to_str=True
    )

    ESSENTIAL: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _mend(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        return {name: _fit(value) for name, value in data.items() if value is not None}

    @field_validator("*", mode="wrap")
    @classmethod
    def _spare(
        cls, value: object, check: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> object:
        """Leave out what cannot be used; the context takes the note."""
        try:
            return check(value)
        except ValidationError as error:
            name = info.field_name or ""
            field = cls.model_fields[name]
            if field.is_required() or name in cls.ESSENTIAL:
                raise
            complaint = complaints_of(cls, error, value)[0]
            cast(list[str], info.context).append(f"{name} is left out: {complaint}")
            return field.default


def _fit(value: object) -> object:
    if isinstance(value, str):
        return printable(value, keep="\n\t", max_chars=len(value))
    if isinstance(value, list):
        return [_fit(item) if isinstance(item, str) else item for item in value]
    return value


class AnswerError(Exception):
    """No URL gave a usable answer; the text says what each one gave."""


def ask(
    purpose: str, urls: tuple[str | None, ...], call: CallState, model: type[M]
) -> Generator[Verb[Any], Any, M]:
    """Return the first usable answer of ``urls``; None among them is passed over.

    Raises:
        AnswerError: There is none.
    """
    reasons = []
    for url in urls:
        if url is None:
            continue
        try:
            answer, notes = read_answer((yield from fetch(purpose, url, call)), model)
        except AnswerError as error:
            reasons.append(str(error))
        else:
            for note in notes:
                call.note(note)
            return answer
    raise AnswerError("; then ".join(reasons))


def fetch(
    purpose: str, url: str, call: CallState
) -> Generator[Verb[Any], Any, FetchResult]:
    """Ask one URL."""
    now = (yield from carry_out(TellTime())).now
    asked = add_query(url, passthru_parameters(call, now))
    return (yield from carry_out(Fetch(purpose, asked, TIMEOUT_S, headers=HEADERS)))


def check_answer(answer: FetchResult, content_type: str) -> str:
    """Return the body of an answer with status 200 and ``content_type``.

    Raises:
        AnswerError: It is another one.
    """
    if answer.status != 200:
        raise AnswerError(f"the URL gave {answer.status or answer.error}")
    if answer.is_cut:
        raise AnswerError("the URL gave too long a body")
    found = answer.content_type.partition(";")[0].strip().lower()
    if found != content_type:
        raise AnswerError(f"the URL gave {found or 'no content type'}")
    return answer.body


def read_answer(answer: FetchResult, model: type[M]) -> tuple[M, list[str]]:
    """Return the JSON answer as ``model``, and notes on what could not be used.

    Raises:
        AnswerError: It is no such answer; says what is wrong first.
    """
    body = check_answer(answer, "application/json")
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise AnswerError("the URL gave no valid JSON") from None
    notes: list[str] = []
    try:
        return model.model_validate(data, context=notes), notes
    except ValidationError as error:
        raise AnswerError(str(complaints_of(model, error, data)[0])) from None
