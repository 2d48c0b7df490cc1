"""What of a bot URL's query are custom parameters: one reading for load and dial."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import unquote_plus

SAMPLE_RATE, SAMPLE_RATE_ALIAS = "sample-rate", "sample_rate"


def sample_rate_names(*, accepts_underscore: bool) -> tuple[str, ...]:
    """Return the names under which a query asks for a rate (streaming spec §1.4)."""
    return (SAMPLE_RATE, SAMPLE_RATE_ALIAS) if accepts_underscore else (SAMPLE_RATE,)


def parameter_text(query: str, left_out: Collection[str]) -> str:
    """Return the pairs of ``query`` as they stand there, without those ``left_out``.

    Its length is what the limits are about: they speak of the text behind the ``?``.
    """
    pieces = (piece for piece in query.split("&") if piece)
    return "&".join(p for p in pieces if _name(p) not in left_out)


def _name(piece: str) -> str:
    return unquote_plus(piece.partition("=")[0])
