"""Rules for the stream URL of an applet (streaming spec §1.1, §1.4)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit

from emulator.stream_query import (
    SAMPLE_RATE_ALIAS,
    parameter_text,
    sample_rate_names,
)

STREAM_SCHEMES = ("ws", "wss")
RESOLVER_SCHEMES = ("http", "https")
BAD_PORT = (
    "the port is no number up to 65535; / ? # and @ in a password must be "
    "percent-encoded"
)
SAMPLE_RATES_HZ = (8000, 16000, 24000)
DEFAULT_SAMPLE_RATE_HZ = 8000
# Control characters, lone surrogates, and what stands for one that has been replaced.
_UNUSABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\N{REPLACEMENT CHARACTER}]")


@dataclass(frozen=True, slots=True)
class StreamUrlRules:
    """What stream URLs may hold, and how many custom parameters (streaming spec §1.4).

    The newer form of the applet takes 25 of 800 characters together, the older one 3
    of 256; what only the newer takes is not portable.
    """

    count: int = 25
    chars: int = 800
    portable_count: int = 3
    portable_chars: int = 256
    accepts_underscore: bool = False

    @property
    def rate_names(self) -> tuple[str, ...]:
        """The names under which a query asks for a sample rate."""
        return sample_rate_names(accepts_underscore=self.accepts_underscore)

    def overrun(self, count: int, chars: int) -> str | None:
        """Return what is wrong with so many parameters, or None."""
        if count <= self.count and chars <= self.chars:
            return None
        return (
            f"{spell_parameters(count, chars)}: at most {self.count} and {self.chars}"
        )


def spell_parameters(count: int, chars: int) -> str:
    """Return both measures in words."""
    return f"{count} custom parameter{'s' * (count != 1)}, {chars} characters"


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


_RULES = StreamUrlRules()


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
    if _UNUSABLE.search(value):
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


def parse_query(url: str, rules: StreamUrlRules = _RULES) -> StreamQuery:
    """Return what the query of a checked stream URL says."""
    query = urlsplit(url).query
    pairs = parse_qsl(query, keep_blank_values=True)
    rates = [value for name, value in pairs if name in rules.rate_names]
    text = parameter_text(query, rules.rate_names)
    # Of a name that is repeated, the first value counts.
    parameters = dict(reversed(parse_qsl(text, keep_blank_values=True)))
    return StreamQuery(rates[-1] if rates else None, text, parameters)


def sample_rate_hz(
    url: str, otherwise_hz: int | None = None, rules: StreamUrlRules = _RULES
) -> int:
    """Return the rate that the URL asks for: 8000 when there is no such rate.

    Args:
        otherwise_hz: The applet's own, for a URL that asks for none.
    """
    asked = parse_query(url, rules).sample_rate
    if asked is None:
        return otherwise_hz or DEFAULT_SAMPLE_RATE_HZ
    rates = {str(rate): rate for rate in SAMPLE_RATES_HZ}
    return rates.get(asked, DEFAULT_SAMPLE_RATE_HZ)


def sample_rate_traps(
    url: str, applets_hz: int | None = None, rules: StreamUrlRules = _RULES
) -> Iterator[str]:
    """Yield what a user should know about the sample rate of URL and applet."""
    query = parse_query(url, rules)
    if SAMPLE_RATE_ALIAS in query.parameters:
        yield "the name is 'sample-rate'; 'sample_rate' is a custom parameter here"
    if applets_hz is not None:
        used_hz = sample_rate_hz(url, applets_hz, rules)
        if used_hz != applets_hz:
            yield f"the URL's sample-rate wins: {used_hz}, not {applets_hz}"
    elif query.sample_rate is None:
        yield "no sample-rate in the URL: 8000 Hz is used; add ?sample-rate=8000"
    if query.sample_rate not in {None, *map(str, SAMPLE_RATES_HZ)}:
        known = ", ".join(map(str, SAMPLE_RATES_HZ))
        yield f"sample-rate {query.sample_rate!r} is none of {known}: 8000 is used"


def count_parameters(
    url: str, more: Mapping[str, str], rules: StreamUrlRules = _RULES
) -> tuple[int, int]:
    """Return how many custom parameters there are, and their length in a query.

    ``sample-rate`` counts in neither (streaming spec §1.4).
    """
    query = parse_query(url, rules)
    pairs = [query.text] if query.text else []
    pairs += [f"{quote(name)}={quote(value)}" for name, value in more.items()]
    return len(query.parameters.keys() | more.keys()), len("&".join(pairs))
