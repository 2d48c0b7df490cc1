"""YAML documents with positions, and models validated against them.

Everything that a person writes for the emulator (settings, flows) is read here, so that
every problem of a file is reported at once, with its place and in plain words.

The YAML is a subset without traps: only plain decimal integers, floats, ``true``,
``false`` and ``null`` are resolved, so ``010``, ``yes``, ``+91…`` and ``12:30`` stay
text; keys are always text; tags are refused. ``${VAR}`` and ``${VAR:-default}`` are
expanded in text values, and ``$${`` is a literal ``${``. An expanded value stays text.

Pure: the text and the environment are arguments.
"""

from emulator.documents.document import (
    Document,
    Path,
    did_you_mean,
    format_path,
    nearest,
    unusable,
)
from emulator.documents.reading import load_document, parse_document
from emulator.documents.validation import complaints_of, validate

__all__ = [
    "Document",
    "Path",
    "complaints_of",
    "did_you_mean",
    "format_path",
    "load_document",
    "nearest",
    "parse_document",
    "unusable",
    "validate",
]
