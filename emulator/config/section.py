"""What every section of the settings shares."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Port = Annotated[int, Field(ge=1, le=65535)]
# Tests and demos let the system choose; a phone wants a fixed port.
ListenPort = Annotated[int, Field(ge=0, le=65535)]
Network = str


class Section(BaseModel):
    """A frozen part of the tree that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")
