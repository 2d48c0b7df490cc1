"""Names that settings had, or have in the references: what they are called here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pydantic import BaseModel

from emulator.errors import Problem

# Of the references and of earlier versions (decisions: two profiles, and knobs).
_OTHER_NAMES = {
    "stream.custom_params_max": "stream.custom_params.max",
    "stream.custom_params_max_chars": "stream.custom_params.max_chars",
    "stream.custom_params_limit": "stream.custom_params.max",
    "stream.media_format_encoding": "stream.media_format.encoding",
    "stream.media_format_bit_rate": "stream.media_format.bit_rate",
    "stream.encoding": "stream.codec",
    "passthru.passthru_method": "passthru.method",
    "passthru.passthru_timeout_s": "passthru.timeout_s",
    "passthru.passthru_after_hangup": "passthru.after_hangup",
    "media.rtp_port_min": "media.rtp_range",
    "media.rtp_port_max": "media.rtp_range",
    "rtp": "media.rtp_range",
    "sip.extra_tcp_ports": "sip.ports.tcp",
    "sip.extra_tls_ports": "sip.ports.tls",
}
_UNKNOWN = "unknown field"


def with_known_name(problem: Problem, tree: type[BaseModel]) -> Problem:
    """Name the setting that was meant, where it stands in another section."""
    if not problem.message.startswith(_UNKNOWN):
        return problem
    meant = _OTHER_NAMES.get(problem.path) or _elsewhere(problem.path, tree)
    if meant is None:
        return problem
    return replace(problem, message=f"{_UNKNOWN} (did you mean {meant!r}?)")


def _elsewhere(path: str, tree: type[BaseModel]) -> str | None:
    """Return the one setting that ends like ``path``, but is in another section."""
    ending = f".{path.rpartition('.')[2]}"
    found = [known for known in _paths(tree, "") if known.endswith(ending)]
    return found[0] if len(found) == 1 else None


def _paths(model: type[BaseModel], before: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        path = f"{before}{field.alias or name}"
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _paths(inner, f"{path}.")
        else:
            yield path
