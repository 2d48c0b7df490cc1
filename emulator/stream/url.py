"""The URL of a bot: what is dialled, what is proved, and what ``start`` will say.

Implements streaming spec §1.1, §1.3 and §1.4 for ``ws://`` and ``wss://``. Resolving
``http(s)://`` to one of those is not done here.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from emulator.errors import ConfigError
from emulator.stream_options import StreamOptions
from emulator.stream_query import (
    SAMPLE_RATE_ALIAS,
    parameter_text,
    sample_rate_names,
)
from emulator.text import mask_query

DEFAULT_PORTS = {"ws": 80, "wss": 443}
SAMPLE_RATES_HZ = (8000, 16000, 24000)
# The older limits; past them another account may refuse (streaming spec §1.4).
PORTABLE_PARAMS = 3
PORTABLE_CHARS = 256
# A URL is typed by a person; this only bounds what is parsed.
MAX_URL_CHARS = 8192


class StreamUrlError(ConfigError):
    """A bot's URL cannot be dialled; the text names the part that is wrong."""


@dataclass(frozen=True, slots=True)
class BotUrl:
    """A bot's URL, taken apart.

    Attributes:
        dial_url: What is dialled: the query kept, userinfo and fragment gone.
        masked_url: For reports: as given, with ``***`` for userinfo and for secrets of
            the query.
        is_secure: True for ``wss``.
        host, port: Where to connect; ``host`` without brackets.
        authorization: The value of the Authorization header, or None.
        sample_rate_hz: As the query asks, or None when it does not.
        custom_parameters: The query's pairs, decoded, in their order.
        parameter_chars: Their length as they stand in the query.
        notes: (rule, example) of everything that another account may refuse.
    """

    dial_url: str
    masked_url: str
    is_secure: bool
    host: str
    port: int
    authorization: str | None
    sample_rate_hz: int | None
    custom_parameters: Mapping[str, str]
    parameter_chars: int
    notes: tuple[tuple[str, str], ...] = ()


def parse_bot_url(url: str, options: StreamOptions) -> BotUrl:
    """Take ``url`` apart.

    Raises:
        StreamUrlError: It is no ``ws`` or ``wss`` URL that could be dialled.
    """
    parts, host, port = _split(url)
    host_port = parts.netloc.rpartition("@")[2]
    tail = f"{parts.path}?{parts.query}" if parts.query else parts.path
    rate_hz, parameters, notes = _read_query(parts.query, options)
    mask = "***@" if "@" in parts.netloc else ""
    return BotUrl(
        dial_url=f"{parts.scheme}://{host_port}{tail}",
        masked_url=mask_query(f"{parts.scheme}://{mask}{host_port}{tail}"),
        is_secure=parts.scheme == "wss",
        host=host,
        port=port,
        authorization=_authorization(parts.netloc),
        sample_rate_hz=rate_hz,
        custom_parameters=parameters,
        parameter_chars=len(parameter_text(parts.query, _not_listed(options))),
        notes=tuple(notes),
    )


def _split(url: str) -> tuple[SplitResult, str, int]:
    if len(url) > MAX_URL_CHARS:
        raise StreamUrlError(f"the URL has more than {MAX_URL_CHARS} characters")
    if any(char.isspace() or not char.isprintable() for char in url):
        raise StreamUrlError("the URL holds a blank; real calls fail on it")
    # Python's own words quote the URL, where a password may stand.
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode("ascii")
    except ValueError:
        raise StreamUrlError("the host in the URL cannot be read") from None
    try:
        port = parts.port
    except ValueError:
        raise StreamUrlError("the port in the URL is no number up to 65535") from None
    if parts.scheme not in DEFAULT_PORTS:
        raise StreamUrlError("the URL does not start with ws:// or wss://")
    if not host:
        raise StreamUrlError("the URL names no host")
    return parts, host, DEFAULT_PORTS[parts.scheme] if port is None else port


def _authorization(netloc: str) -> str | None:
    """Return Basic credentials from userinfo, percent-decoded first (§1.3)."""
    userinfo, at, _ = netloc.rpartition("@")
    if not at:
        return None
    user, _, password = userinfo.partition(":")
    credentials = f"{unquote(user)}:{unquote(password)}".encode()
    return "Basic " + base64.b64encode(credentials).decode("ascii")


def _read_query(
    query: str, options: StreamOptions
) -> tuple[int | None, dict[str, str], list[tuple[str, str]]]:
    """Return sample rate, custom parameters and notes of a query."""
    rate_hz: int | None = None
    parameters: dict[str, str] = {}
    notes: list[tuple[str, str]] = []
    rate_names = _rate_names(options)
    not_listed = _not_listed(options)
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in rate_names:
            rate_hz = _sample_rate(value, notes)
        elif name == SAMPLE_RATE_ALIAS:
            notes.append(("url.sample_rate_name", f"{name}={value}"))
        if name in not_listed:
            continue
        if name in parameters:
            notes.append(("url.params_repeated", f"{name}={value}"))
        else:
            parameters[name] = value
    return rate_hz, parameters, notes


def _rate_names(options: StreamOptions) -> tuple[str, ...]:
    return sample_rate_names(accepts_underscore=options.accept_sample_rate_underscore)


def _not_listed(options: StreamOptions) -> tuple[str, ...]:
    return () if options.sample_rate_in_custom_params else _rate_names(options)


def _sample_rate(value: str, notes: list[tuple[str, str]]) -> int:
    if value in map(str, SAMPLE_RATES_HZ):
        return int(value)
    notes.append(("url.sample_rate", f"sample-rate={value}"))
    return SAMPLE_RATES_HZ[0]


def merge_parameters(
    url: BotUrl, given: Mapping[str, str], options: StreamOptions
) -> tuple[dict[str, str], tuple[tuple[str, str], ...]]:
    """Join the URL's parameters with those of applet and SIP headers, which win.

    The limits are held against the URL's alone: the applet's are checked where the URL
    becomes known, and a caller's headers must not fail a call.

    Returns:
        The parameters as ``start`` shall carry them, and notes.

    Raises:
        StreamUrlError: The URL has more than the options allow.
    """
    count, chars = len(url.custom_parameters), url.parameter_chars
    _check_limits(count, chars, options)
    return {**url.custom_parameters, **given}, tuple(_portability(count, chars))


def _check_limits(count: int, chars: int, options: StreamOptions) -> None:
    if count > options.custom_params_max:
        raise StreamUrlError(
            f"{count} custom parameters; stream.custom_params.max allows "
            f"{options.custom_params_max}"
        )
    if chars > options.custom_params_max_chars:
        raise StreamUrlError(
            f"custom parameters of {chars} characters; "
            f"stream.custom_params.max_chars allows {options.custom_params_max_chars}"
        )


def _portability(count: int, chars: int) -> Iterable[tuple[str, str]]:
    if count > PORTABLE_PARAMS:
        yield "url.params_many", f"{count} parameters"
    if chars > PORTABLE_CHARS:
        yield "url.params_long", f"{chars} characters"
