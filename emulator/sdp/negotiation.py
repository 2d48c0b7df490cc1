"""Offer and answer: which codec, address, direction and ptime (RFC 3264).

One audio stream of G.711 with RFC 4733 telephone events, plain or as SRTP. All other
sections of an offer are answered with port 0. What was agreed on is an ``AgreedAudio``;
our own part of it is a ``LocalAudio``, which also numbers the versions of our
descriptions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from emulator.errors import NegotiationError
from emulator.sdp.crypto import (
    AgreedCrypto,
    Crypto,
    LocalCrypto,
    choose_from_offer,
    match_answer,
)
from emulator.sdp.description import Description, Media, Origin

SAMPLE_RATE_HZ: Final = 8_000
DEFAULT_PTIME_MS: Final = 20
MIN_PTIME_MS: Final = 10
MAX_PTIME_MS: Final = 60
# RFC 4733 §2.5.1.1 makes 0-15 the default; 16 is the hook flash, which some offer.
OWN_EVENTS: Final = "0-15"
# Of offers, unless told otherwise; an answer uses the offerer's number.
TELEPHONE_EVENT_PAYLOAD_TYPE: Final = 101
STATIC_PAYLOAD_TYPES: Final = {"PCMU": 0, "PCMA": 8}
_STATIC_CODECS: Final = {number: name for name, number in STATIC_PAYLOAD_TYPES.items()}
_PLAIN: Final = frozenset({"RTP/AVP", "RTP/AVPF"})
_SECURE: Final = frozenset({"RTP/SAVP", "RTP/SAVPF"})
# Finds the keys among the crypto lines of a section, or why there are none.
_Agree = Callable[[list[str], LocalCrypto], tuple[AgreedCrypto | None, list[str]]]


class DirectionOfMedia(Enum):
    """The direction attributes, seen from whoever writes them."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @property
    def sends(self) -> bool:
        """True when the writer sends."""
        return self in (DirectionOfMedia.SENDRECV, DirectionOfMedia.SENDONLY)

    @property
    def receives(self) -> bool:
        """True when the writer receives."""
        return self in (DirectionOfMedia.SENDRECV, DirectionOfMedia.RECVONLY)

    @property
    def mirrored(self) -> DirectionOfMedia:
        """The same, seen from the other side."""
        return direction_of(sends=self.receives, receives=self.sends)


def direction_of(*, sends: bool, receives: bool) -> DirectionOfMedia:
    """Return the direction of a writer who sends, receives, both or neither."""
    if sends:
        return DirectionOfMedia.SENDRECV if receives else DirectionOfMedia.SENDONLY
    return DirectionOfMedia.RECVONLY if receives else DirectionOfMedia.INACTIVE


@dataclass(frozen=True, slots=True)
class LocalAudio:
    """Our end of the audio stream.

    Attributes:
        address, port: Where we receive RTP, as the peer should know it.
        codecs: In order of preference; ``PCMU`` and ``PCMA``.
        session_id: For ``o=``; the same in every description of a call.
        version: Of the last description; see ``next``.
        prefer_own_order: Take the first codec of *ours* that was offered, instead
            of the first offered one that we have (RFC 3264 §6.1 advises the latter).
        user: In ``o=``.
        telephone_event_payload_type: Of our offers.
        names_rtcp: Say ``a=rtcp`` (RFC 3605), although it is the port above RTP's.
        crypto: Our keys for SRTP; None refuses it.
    """

    address: str
    port: int
    codecs: tuple[str, ...] = ("PCMA", "PCMU")
    session_id: str = "1"
    version: int = 1
    ptime_ms: int = DEFAULT_PTIME_MS
    direction: DirectionOfMedia = DirectionOfMedia.SENDRECV
    prefer_own_order: bool = False
    user: str = "-"
    telephone_event_payload_type: int = TELEPHONE_EVENT_PAYLOAD_TYPE
    names_rtcp: bool = False
    crypto: LocalCrypto | None = None

    def next(self) -> LocalAudio:
        """Return the value for the next, changed description (RFC 3264 §8)."""
        return replace(self, version=self.version + 1)


@dataclass(frozen=True, slots=True)
class AgreedAudio:
    """What offer and answer agree on, seen from us.

    Attributes:
        payload_type: Of the codec, in both directions.
        telephone_event_payload_type: None when the peer has no RFC 4733.
        ptime_ms: Towards the peer.
        remote_ip, remote_port: Where the peer receives; as it says.
        direction: What we do: ``SENDONLY`` means that we send only.
        crypto: The keys of both sides; None: plain RTP.
    """

    codec: str
    payload_type: int
    telephone_event_payload_type: int | None
    ptime_ms: int
    remote_ip: str
    remote_port: int
    direction: DirectionOfMedia
    crypto: AgreedCrypto | None = None


def make_offer(local: LocalAudio) -> Description:
    """Return our offer: every codec of ours, telephone events, and keys if it shall."""
    formats = [(STATIC_PAYLOAD_TYPES[name], name) for name in local.codecs]
    events = local.telephone_event_payload_type
    media = _media(local, formats, events, local.direction)
    if local.crypto is not None and local.crypto.is_offered:
        media = _secured(media, "RTP/SAVP", *local.crypto.lines())
    return _describe(local, (media,))


def answer_offer(
    offer: Description, local: LocalAudio
) -> tuple[Description, AgreedAudio]:
    """Answer an offer.

    The first audio section that we can serve is taken; the others get port 0, in the
    offer's order (RFC 3264 §6).

    Raises:
        NegotiationError: There is none; suggests 488.
    """
    problems: list[str] = []
    for index, media in enumerate(offer.media):
        codec = _choose(media, local) if _is_candidate(media) else None
        if codec is None:
            continue
        crypto, why_not = _agree_on_crypto(media, local, choose_from_offer)
        if not why_not:
            return _accept(offer, index, codec, local, crypto)
        problems += why_not
    raise NegotiationError(_refusal(offer, local, problems))


def at_port(own: Description, port: int) -> Description:
    """Return a description of ours with its audio at another port of this host."""
    return replace(own, media=tuple(_at_port(media, port) for media in own.media))


def _at_port(media: Media, port: int) -> Media:
    """A section that is refused has no port to change."""
    if media.port == 0:
        return media
    attributes = tuple(
        _rtcp_of(port) if name == "rtcp" else (name, value)
        for name, value in media.attributes
    )
    return replace(media, port=port, attributes=attributes)


def _rtcp_of(port: int) -> tuple[str, str]:
    """RFC 3605."""
    return "rtcp", str(port + 1)


def read_answer(answer: Description, local: LocalAudio) -> AgreedAudio:
    """Return what the peer's answer to our offer agreed on.

    Raises:
        NegotiationError: It refuses the stream, or names no codec or key of ours.
    """
    problems: list[str] = []
    is_secure = local.crypto is not None and local.crypto.is_offered
    for media in answer.media:
        codec = _choose(media, local) if _is_candidate(media) else None
        if codec is None:
            continue
        if (media.protocol in _SECURE) != is_secure:
            problems.append(f"{media.protocol} is not what was offered")
            continue
        crypto, why_not = _agree_on_crypto(media, local, match_answer)
        if not why_not:
            return _agreed(answer, media, codec, local, crypto)
        problems += why_not
    raise NegotiationError(_refusal(answer, local, problems))


def is_hold(description: Description) -> bool:
    """Say whether the writer wants no audio: by direction, or the old 0.0.0.0."""
    return not any(
        _peer_direction(description, media).receives
        for media in description.media
        if media.kind == "audio" and media.port
    )


def _is_candidate(media: Media) -> bool:
    is_rtp = media.protocol in _PLAIN or media.protocol in _SECURE
    return media.kind == "audio" and media.port != 0 and is_rtp


def _agree_on_crypto(
    media: Media, local: LocalAudio, agree: _Agree
) -> tuple[AgreedCrypto | None, list[str]]:
    """Return the keys of a section, None for plain RTP, or why it cannot be."""
    if media.protocol in _PLAIN:
        is_refused = local.crypto is not None and local.crypto.is_required
        return None, ["RTP without SRTP is refused"] if is_refused else []
    if local.crypto is None:
        return None, ["SRTP is off"]
    return agree(media.values("crypto"), local.crypto)


def _choose(media: Media, local: LocalAudio) -> tuple[int, str] | None:
    """Pick a payload type of the section and the codec that it stands for."""
    offered = [
        (number, name) for number, name in _codecs(media) if name in local.codecs
    ]
    if not offered:
        return None
    if local.prefer_own_order:
        return min(offered, key=lambda codec: local.codecs.index(codec[1]))
    return offered[0]


def _codecs(media: Media) -> list[tuple[int, str]]:
    """Return (payload type, codec) of G.711 formats, in the section's order."""
    named = _rtpmap(media)
    found = []
    for text in media.formats:
        number = _payload_type(text)
        if number is None:
            continue
        name = named.get(number) or _static_name(number)
        if name in {"PCMU/8000", "PCMA/8000"}:
            found.append((number, name.partition("/")[0]))
    return found


def _rtpmap(media: Media) -> dict[int, str]:
    """Read ``a=rtpmap``: payload type to NAME/rate, upper case, one channel."""
    named = {}
    for value in media.values("rtpmap"):
        text, _, encoding = value.partition(" ")
        number = _payload_type(text)
        if number is not None:
            named[number] = encoding.strip().upper().removesuffix("/1")
    return named


def _static_name(number: int) -> str:
    codec = _STATIC_CODECS.get(number)
    return f"{codec}/{SAMPLE_RATE_HZ}" if codec else ""


def _payload_type(text: str) -> int | None:
    is_number = text.isascii() and text.isdigit() and len(text) <= 3
    return int(text) if is_number and int(text) < 128 else None


def _telephone_event(media: Media) -> int | None:
    """Find the payload type of RFC 4733 events at 8 kHz among the formats."""
    named = _rtpmap(media)
    for text in media.formats:
        number = _payload_type(text)
        if number is not None and named.get(number) == "TELEPHONE-EVENT/8000":
            return number
    return None


def _accept(
    offer: Description,
    index: int,
    codec: tuple[int, str],
    local: LocalAudio,
    crypto: AgreedCrypto | None,
) -> tuple[Description, AgreedAudio]:
    chosen = offer.media[index]
    agreed = _agreed(offer, chosen, codec, local, crypto)
    if agreed.ptime_ms != local.ptime_ms:
        local = replace(local, ptime_ms=agreed.ptime_ms)
    answer = _media(
        local,
        [codec],
        agreed.telephone_event_payload_type,
        agreed.direction,
    )
    answer = _secured(answer, chosen.protocol, *([crypto.local] if crypto else []))
    sections = tuple(
        answer if i == index else replace(media, port=0, address=None, attributes=())
        for i, media in enumerate(offer.media)
    )
    return _describe(local, sections), agreed


def _agreed(
    theirs: Description,
    media: Media,
    codec: tuple[int, str],
    local: LocalAudio,
    crypto: AgreedCrypto | None,
) -> AgreedAudio:
    payload_type, name = codec
    address = theirs.address_of(media)
    if address is None:
        raise NegotiationError("the SDP has no c= line for its audio")
    wanted = _peer_direction(theirs, media).mirrored
    return AgreedAudio(
        codec=name,
        payload_type=payload_type,
        telephone_event_payload_type=_telephone_event(media),
        ptime_ms=_ptime_ms(media, local),
        remote_ip=address,
        remote_port=media.port,
        direction=direction_of(
            sends=wanted.sends and local.direction.sends,
            receives=wanted.receives and local.direction.receives,
        ),
        crypto=crypto,
    )


def _peer_direction(theirs: Description, media: Media) -> DirectionOfMedia:
    """Read the direction; the section's wins over the session's (RFC 8866 §6.7)."""
    direction = DirectionOfMedia.SENDRECV
    for name, _ in (*theirs.attributes, *media.attributes):
        if name in _DIRECTIONS:
            direction = DirectionOfMedia(name)
    if theirs.address_of(media) == "0.0.0.0":
        # RFC 2543's hold: nothing can be sent there.
        return direction_of(sends=direction.sends, receives=False)
    return direction


_DIRECTIONS: Final = frozenset(direction.value for direction in DirectionOfMedia)


def _ptime_ms(media: Media, local: LocalAudio) -> int:
    """The peer's wish, in whole tens of milliseconds within what we send."""
    text = (media.attribute("ptime") or "").strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        return local.ptime_ms
    wanted = int(text) // 10 * 10
    return max(MIN_PTIME_MS, min(MAX_PTIME_MS, wanted))


def _media(
    local: LocalAudio,
    codecs: Sequence[tuple[int, str]],
    telephone_event: int | None,
    direction: DirectionOfMedia,
) -> Media:
    formats = [str(number) for number, _ in codecs]
    attributes: list[tuple[str, str | None]] = [
        ("rtpmap", f"{number} {name}/{SAMPLE_RATE_HZ}") for number, name in codecs
    ]
    if telephone_event is not None:
        formats.append(str(telephone_event))
        attributes += [
            ("rtpmap", f"{telephone_event} telephone-event/{SAMPLE_RATE_HZ}"),
            ("fmtp", f"{telephone_event} {OWN_EVENTS}"),
        ]
    attributes += [("ptime", str(local.ptime_ms)), (direction.value, None)]
    if local.names_rtcp:
        attributes.append(_rtcp_of(local.port))
    return Media(
        "audio", local.port, "RTP/AVP", tuple(formats), attributes=tuple(attributes)
    )


def _secured(media: Media, protocol: str, *lines: Crypto) -> Media:
    if not lines and protocol == media.protocol:
        return media
    keys = tuple(("crypto", str(line)) for line in lines)
    return replace(media, protocol=protocol, attributes=(*keys, *media.attributes))


def _describe(local: LocalAudio, media: tuple[Media, ...]) -> Description:
    origin = Origin(local.session_id, local.version, local.address, local.user)
    return Description(origin, media, local.address, name="emulator")


def _refusal(theirs: Description, local: LocalAudio, problems: list[str]) -> str:
    """Say what was there and what would have been needed."""
    sections = [
        f"{m.kind} {m.port} {m.protocol} {' '.join(m.formats)}" for m in theirs.media
    ]
    if problems:
        return f"no common transport: {', '.join(problems)}: {'; '.join(sections)}"
    return (
        f"no common codec: we have {', '.join(local.codecs)} over RTP/AVP, "
        f"the peer {'; '.join(sections) or 'no media'}"
    )
