"""Rules for the stream URL of an applet (streaming spec §1.1, §1.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit

STREAM_SCHEMES = ("ws", "wss")
RESOLVER_SCHEMES = ("http", "https")
BAD_PORT = (
    "the port is no number up to 65535; / ? # and @ in a password must be "
    "percent-encoded"
)
SAMPLE_RATE = "sample-rate"
SAMPLE_RATES_HZ = (8000, 16000, 24000)
DEFAULT_SAMPLE_RATE_HZ = 8000


@dataclass(frozen=True, slots=True)
class CustomParameterLimits:
    """How many custom parameters a flow may declare (streaming spec §1.4).

    The newer form of the applet takes 25 of 800 characters together, the older one 3
    of 256; what only the newer takes is not portable.
    """

    count: int = 25
    chars: int = 800
    portable_count: int = 3
    portable_chars: int = 256


@dataclass(frozen=True, slots=True)
class StreamQuery:
    """What the query of a stream URL says.

    Attributes:
        sample_rate: The text behind ``sample-rate=``; None without one.
        text: The other pairs as they stand in the URL.
        parameters: The same, percent-decoded.
    """

    sample_rate: str | None
    text: str
    parameters: Mapping[str, str]


def check_url(
    value: str, schemes: tuple[str, ...] = STREAM_SCHEMES + RESOLVER_SCHEMES
) -> str:
    """Return ``value`` when it can be dialled or asked.

    Raises:
        ValueError: In plain words.
    """
    parts = _split(value.strip())
    if parts.scheme not in schemes:
        found = f", not {parts.scheme}://" if parts.scheme else ""
        known = " or ".join(f"{scheme}://" for scheme in schemes[:2])
        raise ValueError(f"must begin with {known}{found}")
    if not parts.hostname:
        raise ValueError("names no host")
    if parts.fragment:
        raise ValueError("must have no #fragment (RFC 6455 §3)")
    return value


def _split(value: str) -> SplitResult:
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in value):
        raise ValueError("holds a control character")
    # Python's own words quote the URL, where a password may stand.
    try:
        parts = urlsplit(value)
    except ValueError:
        raise ValueError("is no URL: the host cannot be read") from None
    try:
        _ = parts.port
    except ValueError:
        raise ValueError(f"is no URL: {BAD_PORT}") from None
    return parts


def is_resolver(url: str) -> bool:
    """Tell whether the URL must be asked for the one to dial (a dynamic URL)."""
    return urlsplit(url.strip()).scheme in RESOLVER_SCHEMES


def has_blank(url: str) -> bool:
    """Tell whether a blank stands in the URL: the platform hangs such calls up."""
    return any(char.isspace() for char in url)


def without_blanks(url: str) -> str:
    """Return the URL with its blanks encoded; those around it are dropped."""
    return "".join(quote(c) if c.isspace() else c for c in url.strip())


def parse_query(url: str) -> StreamQuery:
    """Return what the query of a checked stream URL says."""
    pairs = [piece for piece in urlsplit(url).query.split("&") if piece]
    rates = [p.partition("=")[2] for p in pairs if p.partition("=")[0] == SAMPLE_RATE]
    text = "&".join(p for p in pairs if p.partition("=")[0] != SAMPLE_RATE)
    # Of a name that is repeated, the first value counts.
    parameters = dict(reversed(parse_qsl(text, keep_blank_values=True)))
    return StreamQuery(rates[-1] if rates else None, text, parameters)


def sample_rate_hz(url: str) -> int:
    """Return the rate that the URL asks for; 8000 for none and for unknown ones."""
    asked = parse_query(url).sample_rate
    rates = {str(rate): rate for rate in SAMPLE_RATES_HZ}
    return rates.get(asked or "", DEFAULT_SAMPLE_RATE_HZ)


def sample_rate_traps(url: str) -> Iterator[str]:
    """Yield what a user should know about the URL's sample rate."""
    query = parse_query(url)
    if "sample_rate" in query.parameters:
        yield "the name is 'sample-rate'; 'sample_rate' is a custom parameter here"
    if query.sample_rate is None:
        yield "no sample-rate in the URL: 8000 Hz is used; add ?sample-rate=8000"
    elif query.sample_rate not in {str(rate) for rate in SAMPLE_RATES_HZ}:
        known = ", ".join(map(str, SAMPLE_RATES_HZ))
        yield f"sample-rate {query.sample_rate!r} is none of {known}: 8000 is used"


def count_parameters(url: str, more: Mapping[str, str]) -> tuple[int, int]:
    """Return how many custom parameters there are, and their length in a query.

    ``sample-rate`` counts in neither (streaming spec §1.4).
    """
    query = parse_query(url)
    pairs = [query.text] if query.text else []
    pairs += [f"{quote(name)}={quote(value)}" for name, value in more.items()]
    return len(query.parameters.keys() | more.keys()), len("&".join(pairs))
