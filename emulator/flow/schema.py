"""JSON Schema of flow files, for editors that complete and check YAML."""

from __future__ import annotations

from typing import Any

from emulator.flow.model import Flow

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def flow_schema() -> dict[str, Any]:
    """Return the schema; the descriptions are the docstrings of the models."""
    schema = Flow.model_json_schema()
    return {"$schema": DIALECT, **schema, "title": "Exotel emulator flow"}
