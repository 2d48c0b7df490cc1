"""Numbers, SIP, RTP and recordings."""

from __future__ import annotations

from emulator.fidelity.row import Row

ROWS = (
    Row(
        "start.from of a declared user is the user's number, else sip:<user>",
        "assumed", "decisions", "calls/door.py",
    ),
    Row(
        "An ExoPhone is written 0 and ten digits",
        "verified", "streaming spec §2.3", "config/telephone.py",
    ),
    Row(
        "X-UUI and X-Custom-Header reach the bot without X-, on VoIP numbers",
        "documented", "streaming spec §1.4", "calls/custom_headers.py",
        "sip.custom_headers",
    ),
    Row(
        "A custom header over 45 bytes is dropped",
        "documented", "streaming spec §7, 12", "calls/custom_headers.py",
        "sip.custom_header_max_bytes",
    ),
    Row(
        "UDP from trunks is taken",
        "assumed", "rest spec §11, C-21", "calls/door.py", "sip.strict_transport",
        "The trunk manuals exclude it; a PBX on the desk starts with it.",
    ),
    Row(
        "An INVITE without X-Exotel-AccountSid is taken from trusted sources, with a "
        "note",
        "assumed", "rest spec §11, C-35", "calls/door.py",
        "sip.require_account_header", "Mandatory in the manual.",
    ),
    Row(
        "A stranger who names the account is taken until a trunk has a whitelist or "
        "credentials; then 403",
        "documented", "rest spec §8.6", "calls/door.py",
        "sip.account_header_admits", "The platform always wants the whitelist.",
    ),
    Row(
        "A trunk with a whitelist and credentials wants both: right credentials from "
        "elsewhere get 403",
        "assumed", "rest spec §8.5, §8.6", "calls/door.py",
        "sip.credentials_replace_whitelist", "This machine's own calls are taken.",
    ),
    Row(
        "From of another host than {sid}.pstn.exotel.com is taken from trusted "
        "sources, with a note",
        "assumed", "rest spec §11, C-36", "calls/door.py",
        "sip.require_account_domain", "The platform answers 403.",
    ),
    Row(
        "Any spelling of an ExoPhone is taken, with a note; no number is 484",
        "assumed", "rest spec §11, C-37", "calls/door.py", "sip.require_e164",
        "The platform wants E.164.",
    ),
    Row(
        "Phones register as declared users; trunks may not",
        "assumed", "rest spec §11, C-23", "sip/registrar.py", "sip.register",
        differs="The platform has no phones of this kind.",
    ),
    Row(
        "A trunk may make 200 calls a minute",
        "documented", "rest spec §8", "calls/rates.py", "trunks.calls_per_minute",
        "The status that it is refused with is assumed.",
    ),
    Row(
        "SIP on 5060 and 5061",
        "assumed", "rest spec §11, C-22", "sip/endpoint.py", "sip.ports.tcp",
        "The platform listens on 5070 and 443: sip.ports.tls.",
    ),
    Row(
        "RTP on 10000 to 20000",
        "assumed", "rest spec §11, C-32", "rtp/ports.py", "media.rtp_range",
        "The platform's range is wider.",
    ),
    Row(
        "A call rings before a flow answers it",
        "assumed", "design", "calls/incoming.py", "calls.ring_ms",
    ),
    Row(
        "Ringing and busy tones of India: 400 Hz in the cadences of ITU-T E.180",
        "assumed", "design", "media/tones.py",
        differs="operator_tone is the ringing tone; the music on hold is our own.",
    ),
    Row(
        "A key of one party of a conversation reaches the other as a key",
        "assumed", "design", "worker/bridge.py",
    ),
    Row(
        "A REFER is refused with 603, or puts somebody declared in the party's place",
        "assumed", "rest spec §8.5", "calls/transferring.py", "sip.refer",
        "Whether trunks' REFER is honoured is undocumented.",
    ),
    Row(
        "A trunk's number with mode pstn calls people and other trunks; another From "
        "is 403",
        "documented", "rest spec §8.3", "calls/door.py",
        differs="The telephone network is the users, subscribers and trunks of the "
        "settings; 404 for all others. The 403 is assumed.",
    ),
    Row(
        "A user's phones ring at once; a 6xx of one of them is the user's answer",
        "assumed", "RFC 3261 §16.7", "calls/outgoing.py",
    ),
    Row(
        "A trunk's call to a person rings for a minute",
        "assumed", "design", "calls/call.py", "calls.max_ring_s",
    ),
    Row(
        "Who is put on hold hears music, whatever the holder sends",
        "assumed", "design", "calls/talking.py",
    ),
    Row(
        "A recording's file for both channels has the caller left",
        "assumed", "streaming spec §6", "worker/messages.py",
    ),
    Row(
        "MP3 of 8 kbps for one channel or two; MP3 HQ of 32 kbps per channel",
        "documented", "streaming spec §6", "media/recording.py",
        differs="8 kHz, and that two channels share the 8 kbps, is assumed.",
    ),
    Row(
        "Recordings as WAV",
        "assumed", "streaming spec §6", "media/recording.py",
        differs="The emulator's own: the platform's form has mp3, mp3_hq and raw; flow "
        "check says so.",
    ),
    Row(
        "Encrypt DTMF puts silence where keys are heard, and hides them on the "
        "timeline, while its own applet runs",
        "assumed", "streaming spec §6", "media/digit_silence.py",
    ),
    Row(
        "Fetching a recording needs API key and token",
        "documented", "rest spec §10", "api/recordings.py", "recordings.auth",
        "On loopback a fetch without them is answered, with a note.",
    ),
    Row(
        "A RecordingUrl answers 404 until some time after the end",
        "documented", "rest spec §10", "api/recordings.py",
        "recordings.available_after_s",
        "0 s here, and the file is there while the talk lasts.",
    ),
    Row(
        "A call without RTP for 30 s is ended",
        "assumed", "design", "calls/call.py", "sip.rtp_timeout_s",
    ),
    Row(
        "Encrypted recordings and the region where they are kept",
        "not imitated", "streaming spec §6", "worker/messages.py",
        differs="No interface is described.",
    ),
)  # fmt: skip
