"""Flows, their applets and their webhooks."""

from __future__ import annotations

from emulator.fidelity.row import Row

ROWS = (
    Row(
        "A Passthru is a GET with the flat parameters of the manual's table, its own "
        "query kept",
        "documented", "streaming spec §4.4", "flow/applets/passthru.py",
        "passthru.method", "POST sends a form; one manual says JSON.",
    ),
    Row(
        "200 is the first exit, everything else and silence the second",
        "documented", "streaming spec §4.4", "flow/applets/passthru.py",
        "passthru.timeout_s", "The 10 s are assumed; manuals say 2 to 15.",
    ),
    Row(
        "Stream[StreamSID] and its siblings as fields of their own",
        "documented", "streaming spec §5.1", "flow/parameters.py",
        "passthru.stream_fields_encoding",
    ),
    Row(
        "DisconnectedBy is user, bot or NA",
        "documented", "streaming spec §5.1", "flow/parameters.py",
        "passthru.disconnected_by_vocab",
    ),
    Row(
        "Direction of a call that came in is incoming",
        "documented", "streaming spec §8, 22", "flow/parameters.py",
        "passthru.direction_word",
    ),
    Row(
        "The Passthru behind the applet that the caller left is sent once, with the "
        "final values",
        "documented", "streaming spec §4.4", "flow/engine.py",
        "passthru.after_hangup",
    ),
    Row(
        "A stream whose caller leaves while it is set up, its dynamic URL still being "
        "asked, is cancelled with a StreamSID",
        "documented", "streaming spec §5.2", "flow/streaming.py",
    ),
    Row(
        "A Connect that rings nobody leaves what the one before it tells",
        "assumed", "streaming spec §4.4", "flow/applets/connect.py",
    ),
    Row(
        "An empty exit of a Passthru leaves the call open and silent",
        "documented", "streaming spec §4.0", "flow/applets/passthru.py",
        "passthru.empty_exit",
    ),
    Row(
        "digits in literal double quotes",
        "documented", "streaming spec §7, 5", "flow/parameters.py",
        "quirks.quoted_digits",
    ),
    Row(
        "EndTime of a live call is the epoch in India",
        "documented", "streaming spec §7, 6", "flow/parameters.py",
        "quirks.epoch_end_time",
    ),
    Row(
        "HEAD before the GET of greeting and audio URLs",
        "documented", "streaming spec §7, 8", "calls/verbs/prompts.py",
        "quirks.head_before_get",
    ),
    Row(
        "Another content type of a dynamic greeting is silence",
        "documented", "streaming spec §4.1", "flow/applets/greeting.py",
        "quirks.strict_content_type",
    ),
    Row(
        "An audio URL is fetched once",
        "documented", "streaming spec §7, 14", "calls/verbs/prompts.py",
        "quirks.cache_audio_urls",
    ),
    Row(
        "A failed stream that was to be recorded has a RecordingUrl",
        "documented", "streaming spec §7, 11", "flow/applets/voicebot.py",
        "quirks.recording_url_on_failure",
    ),
    Row(
        "A blank in an applet's URL ends the call on connect",
        "documented", "streaming spec §7, 18", "flow/streaming.py",
        "quirks.blank_in_url_hangs_up",
    ),
    Row(
        "A Voicebot before any Greeting is dropped after some 20 s",
        "documented", "streaming spec §7, 1", "calls/verbs/streams.py",
        "quirks.no_greeting_disconnect",
        "Off by default: an emulator that hangs up on a first try teaches nothing.",
    ),
    Row(
        "So long after the Voicebot began",
        "documented", "streaming spec §7, 1", "calls/verbs/streams.py",
        "quirks.no_greeting_disconnect_s",
    ),
    Row(
        "A dynamic stream URL gets the Passthru parameters and must answer 200 with "
        '{"url": "wss://…"}',
        "assumed", "streaming spec §1.2", "flow/streaming.py",
        "flow.resolver_timeout_s",
        "The error's text is ours, without the 3009; none is known.",
    ),
    Row(
        "A greeting text without a word, the manual's ..., is a second of silence",
        "assumed", "streaming spec §4.1", "flow/applets/greeting.py",
        "flow.silent_greeting_ms",
    ),
    Row(
        "A one-way stream lives on through later applets; its failure does not stop "
        "the flow",
        "documented", "streaming spec §3", "calls/verbs/streams.py",
    ),
    Row(
        "Two Starts without a Stop are two streams; Stop ends the latest",
        "assumed", "streaming spec §3", "flow/applets/stream.py",
    ),
    Row(
        "Connect leaves by not_dialled when every destination is unknown or nobody of "
        "them is registered",
        "assumed", "streaming spec §4.5.3", "calls/verbs/connecting.py",
    ),
    Row(
        "While a Connect rings one phone that sends its own sounds (183 with SDP), the "
        "caller hears these instead of the operator tone or of silence; music goes on",
        "assumed", "streaming spec §4.5.2", "calls/verbs/connecting.py",
        "calls.connect_early_media", "What the platform passes on is not described.",
    ),
    Row(
        "A field of a Connect's or Gather's answer that cannot be used is left out, "
        "with a note; without usable destinations, or a prompt, the answer is none",
        "assumed", "streaming spec §4.5.2", "flow/programmable.py",
    ),
    Row(
        "A party that declines (603) is busy, USER_BUSY",
        "assumed", "streaming spec §4.4", "calls/causes.py",
        differs="A third party tells so of its calls. Which cause any other status has "
        "follows RFC 3398.",
    ),
    Row(
        "Events of a Connect are POSTs with CallSid, LegSid, EventType and the words "
        "of Passthru",
        "assumed", "streaming spec §4.5.2", "calls/verbs/dial_events.py",
        differs="The manual names the four events and nothing else.",
    ),
    Row(
        "User-Agent of webhooks is exotel-emulator",
        "assumed", "streaming spec §1.5", "calls/webhooks.py",
        "webhooks.user_agent", "The platform's own is not known.",
    ),
    Row(
        "A file over 10 MB behind an audio URL is not played",
        "assumed", "streaming spec §4.1", "calls/verbs/prompts.py",
        "webhooks.max_audio_bytes", "Uploads are limited to 2 MB.",
    ),
    Row(
        "SMS and email are not sent; the outbox keeps them",
        "not imitated", "streaming spec §4.10", "calls/verbs/messages.py",
    ),
    Row(
        "Placeholders in stream URLs",
        "not imitated", "streaming spec §1.1", "stream/url.py",
        differs="No manual gives their syntax.",
    ),
)  # fmt: skip
