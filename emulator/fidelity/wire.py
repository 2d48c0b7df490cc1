"""The stream to the bot: its knobs, and what has none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from emulator.fidelity.row import Row
from emulator.stream_options import knobs, setting_of

# What a knob cannot say in its own line.
_DIFFERS: Mapping[str, str] = {
    "number_format": "Webhooks keep the local spelling.",
    "sid_style": "Account SIDs are those of the settings.",
    "media_chunk_ms": "At 16 and 24 kHz nobody has captured a frame.",
    "codec": "One manual calls µ-law the default; every capture is PCM.",
    "close_mode": "Over TLS an abrupt end sends the alert that TLS asks for.",
    "handshake_timeout_s": "One bot's notes say 1 s.",
    "on_bot_close": "Undocumented; the timeline tells how many ms were cut.",
    "user_agent": "Seen once, with Go's library; other regions may differ.",
}

_FIXED = (
    Row(
        "connected first, start second with sequence_number 1, then media, dtmf and "
        "mark, stop last",
        "verified", "streaming spec §2.0", "stream/protocol.py",
    ),
    Row(
        "Compact JSON; the order of the keys in start",
        "verified", "streaming spec §2.1", "stream/messages.py",
    ),
    Row(
        "< > & escaped, keys of custom_parameters sorted by byte, keys of the other "
        "messages in start's order: as a Go structure would come out",
        "assumed", "streaming spec §2.1", "stream/messages.py",
        differs="One captured start has sorted parameters; no capture has < > or &.",
    ),
    Row(
        "connected carries nothing but its name",
        "verified", "streaming spec §2.2", "stream/messages.py",
    ),
    Row(
        "Media continuous through silence and hold, without comfort noise",
        "assumed", "streaming spec §2.4", "worker/audience.py",
        differs="Live bots rely on it; nobody has captured silence or hold. A pause of "
        "less than 100 ms in the caller's packets is not filled.",
    ),
    Row(
        "Silence takes a caller's place after 100 ms without a packet; packets that "
        "come late in a burst are heard behind it",
        "assumed", "design", "worker/audience.py",
        differs="What the platform does with a burst is not known.",
    ),
    Row(
        "timestamp is the media time of the chunk, chunk counts media alone, "
        "sequence_number every message after connected",
        "documented", "streaming spec §2.4", "stream/protocol.py",
    ),
    Row(
        "One dtmf per key, when it is released",
        "assumed", "streaming spec §2.8", "media/digits.py",
    ),
    Row(
        "A mark is echoed when the last byte before it has been played, at once when "
        "nothing is queued",
        "documented", "streaming spec §2.6", "worker/joint.py",
        differs="An echo loop is slowed to 10 marks per chunk.",
    ),
    Row(
        "A message whose length is no multiple of 320 bytes ends in a hole of 20 ms",
        "documented", "streaming spec §2.5", "worker/joint.py",
    ),
    Row(
        "The bot's own rate and codec; a WAV header is played as a click",
        "assumed", "streaming spec §2.5", "stream/bot_messages.py",
        differs="A portability note tells of the header.",
    ),
    Row(
        "Foreign messages, broken JSON and binary frames are ignored, with a note",
        "assumed", "streaming spec §2.10", "stream/bot_messages.py",
    ),
    Row(
        "stop with callended when the caller is gone, stopped when the flow goes on",
        "documented", "streaming spec §2.9", "stream/client.py",
    ),
    Row(
        "A bot that closes ends the applet; the flow goes on, no reconnect",
        "documented", "streaming spec §2.10", "stream/client.py",
    ),
    Row(
        "Basic credentials of the URL become a header and leave the URL",
        "documented", "streaming spec §1.3", "stream/url.py",
    ),
    Row(
        "Another sample-rate than 8000, 16000 or 24000 is 8000, with a note",
        "assumed", "streaming spec §1.4", "stream/url.py",
    ),
    Row(
        "No Origin, subprotocol or compression in the upgrade; a redirect fails it",
        "assumed", "streaming spec §1.5, §1.6", "stream/link.py",
        differs="The headers are the same; Go would write them in another order.",
    ),
    Row(
        "Errors are 3009 and the text of Go's dialer",
        "documented", "streaming spec §5.2", "stream/dial_errors.py",
        differs="Captured for a refused connection alone; what Go says of timeouts, "
        "names, TLS and bad handshakes is assumed. Go adds times to an expired "
        "certificate, and lists the names of a foreign one; newer ones begin with "
        "tls: failed to verify certificate. Where a URL is never dialled, the words "
        "are ours, without the 3009.",
    ),
    Row(
        "Status, DisconnectedBy and Duration of every way to end",
        "documented", "streaming spec §5.2", "stream/client.py",
        differs="60 minutes and throttling say NA, which no source confirms.",
    ),
    Row(
        "A one-way stream gets neither dtmf nor mark, and what it sends is ignored",
        "documented", "streaming spec §3", "stream/protocol.py",
    ),
    Row(
        "A huge unpaced message makes the platform hang up after some 4 s",
        "not imitated", "streaming spec §7, 16", "worker/joint.py",
        differs="It is played, with a note.",
    ),
)  # fmt: skip


def rows() -> Iterator[Row]:
    """Yield the knobs in their order, then what has none."""
    for name, knob in knobs():
        yield Row(
            knob.why, knob.basis, knob.cites, "stream_options.py",
            setting_of(name), _DIFFERS.get(name, ""),
        )  # fmt: skip
    yield from _FIXED
