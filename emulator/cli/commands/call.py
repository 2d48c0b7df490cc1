"""``call``: place a real SIP call, print its timeline and what was heard."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from emulator.cli.caller import Caller, CallOutcome, CallPlan
from emulator.cli.timeline import follow, format_entry, tame
from emulator.errors import ConfigError, ExitStatus
from emulator.logs import set_up_logging
from emulator.sdp.negotiation import STATIC_PAYLOAD_TYPES
from emulator.sip.address import DEFAULT_PORTS, TRANSPORTS, Transport, as_transport
from emulator.sip.auth import Credentials
from emulator.sip.errors import SipParseError
from emulator.sip.uri import parse_sip_uri

# After the call, for the last entries of its timeline.
TIMELINE_DEADLINE_S = 5.0
# Ends of a call that are the emulator's doing and nobody's wish.
OUR_FAULTS = frozenset({"worker-lost", "emulator-error", "shutdown"})
# Normal closure, going away, and a close frame without a code (RFC 6455 §7.4.1).
GOOD_CLOSE_CODES = frozenset({1000, 1001, 1005})
# What our own stack writes; a second one would make the INVITE illegal.
OWN_HEADERS = frozenset(
    "via v from f to t call-id i cseq contact m content-length l content-type c "
    "max-forwards route record-route authorization proxy-authorization".split()
)
# RFC 3261 §25.1: unreserved and user-unreserved, without escapes.
_USER = re.compile(r"[A-Za-z0-9\-_.!~*'()&=+$,;?/]+")
_HEADER = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)\s*:\s*([^\r\n\0]*)")
_DIGITS = re.compile(r"[0-9*#A-Da-d]*")


def run(
    *,
    did: str,
    target: str | None,
    transport: str,
    codec: str | None,
    srtp: bool,
    register: str | None,
    wait: float,
    wav: Path | None,
    dtmf: str | None,
    headers: list[str],
    seconds: float | None,
    save: Path | None,
    caller: str,
    api: str,
    token: str | None,
) -> ExitStatus:
    """Place the call; the status says whose fault a failure is."""
    via = _transport(transport)
    credentials = _credentials(register)
    plan = CallPlan(
        uri=_uri(did, target or f"127.0.0.1:{DEFAULT_PORTS[via]}"),
        caller=_caller(credentials.user if credentials else caller),
        transport=via,
        codecs=_codecs(codec),
        srtp=srtp,
        register=credentials,
        headers=tuple(_header(text) for text in headers),
        wait_s=wait,
        wav=_readable(wav),
        digits=_digits(dtmf or ""),
        seconds=seconds,
        save=_writable(save),
    )
    # What went wrong is printed at the end, in one line.
    set_up_logging("CRITICAL", "console")
    return asyncio.run(_place(plan, api, token))


async def _place(plan: CallPlan, api: str, token: str | None) -> ExitStatus:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(base_url=api, headers=headers) as client:
        outcome, entries = await place_call(plan, client)
    print_outcome(outcome)
    return verdict(outcome, entries)


async def place_call(
    plan: CallPlan, client: httpx.AsyncClient
) -> tuple[CallOutcome, list[dict[str, Any]]]:
    """Place a call, print its timeline meanwhile, return what came of it.

    Args:
        client: Speaks to the emulator's HTTP listener; the timeline comes from there.
    """
    print(f"calling {plan.uri}", flush=True)
    async with _timeline_printer(client) as printer:
        caller = Caller(plan, on_sid=printer.follow)
        outcome = await caller.run()
    return outcome, printer.entries


class _TimelinePrinter:
    """Follows one call over the API and prints what happens."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.entries: list[dict[str, Any]] = []
        self._client = client
        self._task: asyncio.Task[None] | None = None

    def follow(self, sid: str) -> None:
        """Begin to print the timeline of ``sid``."""
        self._task = asyncio.create_task(self._print(sid))

    async def _print(self, sid: str) -> None:
        try:
            async for entry in follow(self._client, sid):
                self.entries.append(entry)
                print(format_entry(entry), flush=True)
            await self._print_audio(sid)
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
            print(f"no timeline from {self._client.base_url} (--api, --token): {why}")

    async def _print_audio(self, sid: str) -> None:
        """Say where both sides of the call can be listened to."""
        answer = await self._client.get(f"/emulator/v1/calls/{quote(sid, safe='')}")
        if answer.is_success and (path := answer.json()["audio"]):
            url = self._client.base_url.join(path)
            print(tame(f"audio: {url} (also caller.wav, bot.wav)"))

    async def finish(self) -> None:
        """Print the rest, for as long as that takes within the deadline."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=TIMELINE_DEADLINE_S)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


@asynccontextmanager
async def _timeline_printer(
    client: httpx.AsyncClient,
) -> AsyncIterator[_TimelinePrinter]:
    printer = _TimelinePrinter(client)
    try:
        yield printer
    finally:
        await printer.finish()


def print_outcome(outcome: CallOutcome) -> None:
    """Print what was heard, or why nothing was."""
    if outcome.failure is not None:
        print(tame(f"the call failed: {outcome.failure}"))
        return
    first = (
        "no sound"
        if outcome.first_audio_ms is None
        else f"first sound {outcome.first_audio_ms:.0f} ms after the answer"
    )
    print(f"heard {outcome.heard_s:.2f} s of audio, {first}")
    received = outcome.stats["received"]
    assert isinstance(received, Mapping)
    print(
        f"rtp: {received['packets']} packets received, {received['lost']} lost, "
        f"jitter {received['jitter_ms']} ms"
    )
    reason = f": {outcome.reason}" if outcome.reason else ""
    print(tame(f"ended by the {outcome.ended_by}{reason}"))


def verdict(outcome: CallOutcome, entries: list[dict[str, Any]]) -> ExitStatus:
    """Return whose fault it was: the emulator's, the bot's, or nobody's."""
    if outcome.failure is not None:
        return outcome.status
    for entry in entries:
        if entry["kind"] == "call.ended" and entry["data"]["cause"] in OUR_FAULTS:
            return ExitStatus.INTERNAL
    if any(_is_bots_fault(entry) for entry in entries):
        return ExitStatus.CHECK_FAILED
    return ExitStatus.OK


def _is_bots_fault(entry: Mapping[str, Any]) -> bool:
    """Tell whether a bot was not there, broke off, or closed with an error."""
    data = entry["data"]
    if entry["kind"] != "stream.closed":
        return bool(entry["kind"] == "stream.failed")
    by_bot = data.get("closed_first") == "bot"
    dropped = data.get("closed_first") == "network"
    return dropped or (by_bot and data.get("close_code") not in GOOD_CLOSE_CODES)


def _uri(did: str, target: str) -> str:
    uri = did if did.lower().startswith(("sip:", "sips:")) else f"sip:{did}@{target}"
    try:
        parse_sip_uri(uri)
    except SipParseError as error:
        raise ConfigError(f"{uri!r} cannot be dialled: {error}") from error
    return uri


def _transport(text: str) -> Transport:
    transport = as_transport(text)
    if transport is None:
        raise ConfigError(f"--transport {text!r}: one of {', '.join(TRANSPORTS)}")
    return transport


def _codecs(text: str | None) -> tuple[str, ...]:
    names = tuple(name.strip().upper() for name in (text or "PCMU").split(","))
    unknown = [name for name in names if name not in STATIC_PAYLOAD_TYPES]
    if unknown:
        known = ", ".join(STATIC_PAYLOAD_TYPES)
        raise ConfigError(f"--codec {', '.join(unknown)}: some of {known}")
    return names


def _credentials(text: str | None) -> Credentials | None:
    """Read USER:PASSWORD; a user alone has the name as password, as alice and bob."""
    if text is None:
        return None
    user, colon, password = text.partition(":")
    return Credentials(user, password if colon else user)


def _header(text: str) -> tuple[str, str]:
    match = _HEADER.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"--header {text!r}: write it as 'X-UUI: 7'")
    if match[1].lower() in OWN_HEADERS:
        raise ConfigError(f"--header {text!r}: the call writes {match[1]} itself")
    return match[1], match[2]


def _digits(text: str) -> str:
    if _DIGITS.fullmatch(text) is None:
        raise ConfigError(f"--dtmf {text!r}: only 0-9, *, # and A-D can be pressed")
    return text.upper()


def _readable(path: Path | None) -> Path | None:
    if path is not None and not path.is_file():
        raise ConfigError(f"--wav {path}: there is no such file")
    return path


def _writable(path: Path | None) -> Path | None:
    """Make sure before the call that what is heard can be kept."""
    if path is not None:
        try:
            path.open("ab").close()
        except OSError as error:
            raise ConfigError(f"--save {path}: {error.strerror}") from error
    return path


def _caller(name: str) -> str:
    if _USER.fullmatch(name) is None:
        raise ConfigError(f"--from {name!r}: that cannot be the user of a SIP URI")
    return name
