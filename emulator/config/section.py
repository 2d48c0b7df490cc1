"""What every section of the settings shares."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from emulator.config.telephone import is_number

Port = Annotated[int, Field(ge=1, le=65535)]
# Tests and demos let the system choose; a phone wants a fixed port.
ListenPort = Annotated[int, Field(ge=0, le=65535)]
Network = str


def _telephone_number(text: str) -> str:
    if not is_number(text):
        raise ValueError(
            f"{text!r} is no telephone number: 3 to 15 digits, perhaps after a +"
        )
    return text


TelephoneNumber = Annotated[str, AfterValidator(_telephone_number)]


class Section(BaseModel):
    """A frozen part of the tree that refuses unknown fields.

    Its validator is built at its first use alone: the tree's, which has all of them
    inside, is the one that a start needs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


def by_default() -> Any:
    """Return the default of a section: its fields' defaults, made by the tree."""
    return Field(default_factory=dict, validate_default=True)
