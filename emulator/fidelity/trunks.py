"""The calls that go out to trunks."""

from __future__ import annotations

from emulator.fidelity.row import Row

_SHAPE = "calls/trunk_invite.py"

ROWS = (
    Row(
        "The INVITE's fields: From tag as…, Call-ID <uuid>@edge, Max-Forwards 67, "
        "Allow, Supported: replaces, P-Asserted-Identity, P-Early-Media, "
        "X-Exotel-CallSid, -LegSid, -TrunkSid",
        "verified", "rest spec §8.4", _SHAPE,
        differs="SUBSCRIBE, PUBLISH, MESSAGE and, unless sip.refer allows it, REFER "
        "are in Allow and refused.",
    ),
    Row(
        "An edge records itself as a route: the INVITE's Record-Route is ours",
        "verified", "rest spec §8.4", "sip/shape.py",
    ),
    Row("The order of the INVITE's fields", "assumed", "rest spec §8.4", _SHAPE),
    Row("Contact names the caller", "assumed", "rest spec §8.4", _SHAPE),
    Row("User-Agent is exotel-emulator", "assumed", "rest spec §8.4", _SHAPE),
    Row(
        "Call-ID names the edge of account.region: pstn.in1 or pstn.sgp1",
        "assumed", "rest spec §8.1", _SHAPE, "account.region",
    ),
    Row(
        "The SDP: o=root, PCMA, PCMU, telephone-event as 96 with 0-15, ptime 20, "
        "a=rtcp",
        "verified", "rest spec §8.1, §8.4", "calls/media.py",
        "media.telephone_event_payload_type",
    ),
    Row(
        "A trunk's 401 or 407 is answered with its first credentials",
        "assumed", "rest spec §8.5", _SHAPE, "trunks.destination_credentials",
    ),
    Row(
        "The next destination is tried after 5xx, a refused connection, or silence",
        "assumed", "rest spec §8.4", "calls/outgoing.py", "sip.destination_timeout_s",
    ),
    Row(
        "An alias is called where the destination is a name",
        "documented", "rest spec §8.4", _SHAPE, "trunks.external_alias",
    ),
    Row(
        "A redirection (3xx) fails the call",
        "assumed", "rest spec §8.6", "calls/outgoing.py",
        differs="Nothing is dialled that the settings do not declare.",
    ),
    Row(
        "100rel is not offered; an INVITE that requires it gets reliable ringing",
        "assumed", "rest spec §8.4", "sip/reliable.py",
    ),
    Row(
        "Destinations have priorities and weights",
        "not imitated", "rest spec §8.4", "calls/dialing.py", "trunks.destinations",
        "They are tried in the order of the settings.",
    ),
)  # fmt: skip
