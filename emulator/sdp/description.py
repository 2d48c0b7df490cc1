"""Session descriptions: parse and format (RFC 8866).

The parser is liberal: line ends may lack CR, unknown lines are kept in order, and what
RFC 8866 demands but telephony ignores (``t=``, ``s=``) may be absent. Only the lines
that a negotiation needs are read; the rest goes out as it came in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from emulator.sdp.errors import SdpParseError

MAX_SDP_BYTES: Final = 16_384
# RFC 8866 sets no bound; a call has one or two, a video conference some ten.
MAX_MEDIA: Final = 32


@dataclass(frozen=True, slots=True)
class Origin:
    """The ``o=`` line. ``version`` grows with every change (RFC 3264 §8)."""

    session_id: str
    version: int
    address: str
    user: str = "-"

    def __str__(self) -> str:
        family = family_of(self.address)
        return (
            f"{self.user} {self.session_id} {self.version} IN {family} {self.address}"
        )


@dataclass(frozen=True, slots=True)
class Media:
    """One ``m=`` section.

    Attributes:
        kind: ``audio``, ``video`` ...
        port: 0 refuses or ends the stream.
        protocol: ``RTP/AVP``, ``RTP/SAVP`` ...
        formats: Payload types as text, in order of preference.
        address: The section's own ``c=`` address, or None.
        attributes: (name, value) in order; value is None for a flag.
    """

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    address: str | None = None
    attributes: tuple[tuple[str, str | None], ...] = ()

    def attribute(self, name: str) -> str | None:
        """Return the first value of an attribute; "" for a flag, None if absent."""
        return next((v or "" for n, v in self.attributes if n == name), None)

    def values(self, name: str) -> list[str]:
        """Return every value of an attribute, such as ``rtpmap`` or ``crypto``."""
        return [value or "" for found, value in self.attributes if found == name]


@dataclass(frozen=True, slots=True)
class Description:
    """A session description.

    Attributes:
        address: The session-level ``c=`` address, or None.
        attributes: Session-level attributes.
    """

    origin: Origin
    media: tuple[Media, ...] = ()
    address: str | None = None
    name: str = "-"
    attributes: tuple[tuple[str, str | None], ...] = field(default=())

    def address_of(self, media: Media) -> str | None:
        """Return the address where a section's peer receives."""
        return media.address or self.address

    def attribute(self, name: str) -> str | None:
        """Return the first value of a session-level attribute."""
        return next((v or "" for n, v in self.attributes if n == name), None)

    def __str__(self) -> str:
        return format_description(self)


def parse_description(text: str) -> Description:
    """Read a session description.

    Raises:
        SdpParseError: It has no ``v=0`` or ``o=``, or a line of it is broken.
    """
    if len(text) > MAX_SDP_BYTES:
        raise SdpParseError(f"more than {MAX_SDP_BYTES} bytes", 0)
    reader = _Reader()
    for number, line in enumerate(text.splitlines(), start=1):
        if line:
            reader.line(number, line)
    return reader.result()


class _Reader:
    """Collects lines; media sections begin at ``m=``."""

    def __init__(self) -> None:
        self._has_version = False
        self._origin: Origin | None = None
        self._name = "-"
        self._address: str | None = None
        self._attributes: list[tuple[str, str | None]] = []
        self._media: list[Media] = []

    def line(self, number: int, line: str) -> None:
        kind, equals, value = line.partition("=")
        if len(kind) != 1 or not equals:
            raise SdpParseError(f"{line[:40]!r} is no type=value line", number)
        value = value.strip()
        match kind:
            case "v":
                self._version(number, value)
            case "o":
                self._origin = _parse_origin(number, value)
            case "s":
                self._name = value or "-"
            case "c":
                self._connection(_parse_connection(number, value))
            case "a":
                self._attribute(_parse_attribute(value))
            case "m":
                self._section(number, value)

    def result(self) -> Description:
        if not self._has_version or self._origin is None:
            raise SdpParseError("no v=0 and o= lines", 0)
        media = tuple(self._media)
        attributes = tuple(self._attributes)
        return Description(self._origin, media, self._address, self._name, attributes)

    def _version(self, number: int, value: str) -> None:
        if value != "0":
            raise SdpParseError(f"version {value[:10]!r} is not 0", number)
        self._has_version = True

    def _section(self, number: int, value: str) -> None:
        if len(self._media) >= MAX_MEDIA:
            raise SdpParseError(f"more than {MAX_MEDIA} media sections", number)
        self._media.append(_parse_media(number, value))

    def _connection(self, address: str) -> None:
        if not self._media:
            self._address = address
        elif self._media[-1].address is None:
            self._change_last(address=address)

    def _attribute(self, attribute: tuple[str, str | None]) -> None:
        if not self._media:
            self._attributes.append(attribute)
        else:
            self._change_last(attribute=attribute)

    def _change_last(
        self,
        address: str | None = None,
        attribute: tuple[str, str | None] | None = None,
    ) -> None:
        last = self._media[-1]
        self._media[-1] = Media(
            last.kind,
            last.port,
            last.protocol,
            last.formats,
            address or last.address,
            last.attributes if attribute is None else (*last.attributes, attribute),
        )


def _parse_origin(number: int, value: str) -> Origin:
    fields = value.split()
    if len(fields) != 6 or not _is_number(fields[2]):
        raise SdpParseError(f"bad origin {value[:80]!r}", number)
    user, session_id, version, _, _, address = fields
    return Origin(session_id, int(version), address, user)


def _parse_connection(number: int, value: str) -> str:
    fields = value.split()
    if len(fields) != 3 or fields[0] != "IN":
        raise SdpParseError(f"bad connection {value[:80]!r}", number)
    # A multicast address may carry a TTL behind a slash.
    return fields[2].partition("/")[0]


def _parse_media(number: int, value: str) -> Media:
    fields = value.split()
    if len(fields) < 4:
        raise SdpParseError(f"bad media line {value[:80]!r}", number)
    kind, port_text, protocol, *formats = fields
    port_text = port_text.partition("/")[0]
    if not _is_number(port_text) or int(port_text) > 65_535:
        raise SdpParseError(f"bad media port {port_text[:10]!r}", number)
    return Media(kind, int(port_text), protocol, tuple(formats))


def _parse_attribute(value: str) -> tuple[str, str | None]:
    name, colon, text = value.partition(":")
    return (name, text) if colon else (name, None)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 20


def format_description(description: Description) -> str:
    """Return the text, with CRLF line ends."""
    lines = ["v=0", f"o={description.origin}", f"s={description.name}"]
    if description.address is not None:
        lines.append(_connection_line(description.address))
    lines.append("t=0 0")
    lines += [_attribute_line(*attribute) for attribute in description.attributes]
    for media in description.media:
        formats = " ".join(media.formats)
        lines.append(f"m={media.kind} {media.port} {media.protocol} {formats}")
        if media.address is not None:
            lines.append(_connection_line(media.address))
        lines += [_attribute_line(*attribute) for attribute in media.attributes]
    return "\r\n".join(lines) + "\r\n"


def _connection_line(address: str) -> str:
    return f"c=IN {family_of(address)} {address}"


def _attribute_line(name: str, value: str | None) -> str:
    return f"a={name}" if value is None else f"a={name}:{value}"


def family_of(address: str) -> str:
    """Return ``IP4`` or ``IP6``."""
    return "IP6" if ":" in address else "IP4"
