"""What every request is checked for before anybody acts on it (RFC 3261 §8.2)."""

from __future__ import annotations

from typing import Final

from emulator.sip.body import media_type
from emulator.sip.errors import SipParseError
from emulator.sip.liveness import session_expires_s
from emulator.sip.message import Request
from emulator.sip.party import ACCEPT, METHODS, SUPPORTED, Reply, because
from emulator.sip.reliable import OPTION_TAG

# Methods of other RFCs that we know and do not serve; all else gets 501.
_KNOWN_METHODS: Final = frozenset(
    {
        *METHODS,
        "REGISTER",
        "SUBSCRIBE",
        "NOTIFY",
        "PUBLISH",
        "MESSAGE",
        "REFER",
    }
)
_SUPPORTED_TAGS: Final = frozenset(tag.strip() for tag in SUPPORTED.split(",") if tag)
# RFC 3262 §3 has it in INVITEs alone.
_SUPPORTED_OF_INVITES: Final = _SUPPORTED_TAGS | {OPTION_TAG}
# More than this many extensions nobody requires; the 420 must fit a datagram.
_MAX_TOLD_TAGS: Final = 32
_MAX_TAG_CHARS: Final = 64
_ACCEPTED_RANGES: Final = frozenset({"application/sdp", "application/*", "*/*"})


def objection_to(
    request: Request, methods: tuple[str, ...], min_session_expires_s: int
) -> Reply | None:
    """Return why the request cannot be processed, or None.

    Args:
        methods: Those that are served.
    """
    try:
        return (
            _method_objection(request, methods)
            or _uri_objection(request)
            or _extension_objection(request)
            or _timer_objection(request, min_session_expires_s)
            or (_invite_objection(request) if request.method == "INVITE" else None)
        )
    except SipParseError as error:
        return objection_from(error)


def objection_from(error: SipParseError) -> Reply:
    """Turn a parse error into an objection whose Warning says what was wrong."""
    return Reply(error.status, (because(error.reason),))


def _method_objection(request: Request, methods: tuple[str, ...]) -> Reply | None:
    # PRACK is not in Allow: whoever requires 100rel has it, others need not know.
    if request.method in methods or request.method == "PRACK":
        return None
    status = 405 if request.method in _KNOWN_METHODS else 501
    text = f"method {request.method[:32]} is not served here"
    if request.method == "REGISTER":
        text += " (sip.register is refuse, or there are no users[])"
    why = because(text)
    return Reply(status, (("Allow", ", ".join(methods)), why))


def _uri_objection(request: Request) -> Reply | None:
    _ = request.sip_uri
    return None


def _extension_objection(request: Request) -> Reply | None:
    """RFC 3261 §8.2.2.3; CANCEL and ACK of the same name never come here."""
    required = request.headers.tokens("Require")
    served = _SUPPORTED_OF_INVITES if request.method == "INVITE" else _SUPPORTED_TAGS
    unknown = [tag for tag in required if tag not in served]
    if not unknown:
        return None
    told = [tag[:_MAX_TAG_CHARS] for tag in unknown[:_MAX_TOLD_TAGS]]
    why = because("Require names an extension that is not supported")
    return Reply(420, (("Unsupported", ", ".join(told)), why))


def _timer_objection(request: Request, least_s: int) -> Reply | None:
    """RFC 4028 §9; a caller without timers cannot understand a 422."""
    wanted_s = session_expires_s(request)
    if wanted_s is None or wanted_s >= least_s:
        return None
    if "timer" not in request.headers.tokens("Supported"):
        return None
    why = because(f"Session-Expires is below {least_s} s")
    return Reply(422, (("Min-SE", str(least_s)), why))


def _invite_objection(request: Request) -> Reply | None:
    if request.max_forwards == 0:
        # A flow may call on from here; RFC 7332 §4 stops loops through such elements.
        return Reply(483, (because("Max-Forwards is 0"),))
    if "Replaces" in request.headers:
        # Taken for a new call, a transfer would end in a flow (RFC 3891 §3).
        return Reply(481, (because("Replaces names no call that can be replaced"),))
    return _accept_objection(request) or _body_objection(request)


def _accept_objection(request: Request) -> Reply | None:
    """The answer is SDP; a caller who will not take that gets 406."""
    if "Accept" not in request.headers:
        return None
    ranges = {media_type(value) for value in request.headers.values("Accept")}
    if ranges & _ACCEPTED_RANGES:
        return None
    why = because(f"the answer is {ACCEPT}, which Accept leaves out")
    return Reply(406, (("Accept", ACCEPT), why))


def _body_objection(request: Request) -> Reply | None:
    """RFC 3261 §8.2.3: a body that is not understood, unless it is optional."""
    encoding = (request.headers.get("Content-Encoding") or "identity").lower()
    if encoding != "identity":
        why = because(f"the body is encoded as {encoding[:32]}")
        return Reply(415, (("Accept-Encoding", "identity"), why))
    if not request.body or request.sdp is not None:
        return None
    disposition = (request.headers.get("Content-Disposition") or "").lower()
    if "handling=optional" in disposition.replace(" ", ""):
        return None
    why = because(f"the body is no {ACCEPT}")
    return Reply(415, (("Accept", ACCEPT), why))
