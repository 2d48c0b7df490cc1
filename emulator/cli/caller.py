"""One real SIP call from the command line: signalling, sound, and what was heard.

The caller is a phone of its own: our UAC on one side, a media engine in the running
loop on the other. It shares nothing with the emulator that it calls but the wire.
"""

from __future__ import annotations

import asyncio
import ipaddress
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from emulator.calls.media import make_local_crypto, srtp_params
from emulator.clock import SystemClock
from emulator.errors import ConfigError, ExitStatus
from emulator.events import JsonValue
from emulator.ids import IdSource
from emulator.media.capture import Capture
from emulator.sdp.description import format_description, parse_description
from emulator.sdp.negotiation import LocalAudio, make_offer, read_answer
from emulator.sip.address import Transport
from emulator.sip.auth import Credentials, calls_nonce_stale
from emulator.sip.endpoint import SipEndpoint
from emulator.sip.errors import RequestFailed
from emulator.sip.events import (
    Answered,
    ByeReceived,
    Provisional,
    Rejected,
    SessionEnded,
    SessionEvent,
)
from emulator.sip.message import Response
from emulator.sip.options import SipOptions
from emulator.sip.session import (
    CallSession,
    IncomingInvite,
    OutgoingInvite,
    OutgoingRequest,
)
from emulator.sip.uri import NameAddr, parse_sip_uri
from emulator.worker.local import LocalEngine
from emulator.worker.messages import (
    DigitsSent,
    MediaParams,
    Play,
    PlayEnded,
    Report,
    SendDigits,
    StartLeg,
    UpdateLeg,
)

LEG = "caller"
# Away from the emulator's own range, so that both can run on one machine.
RTP_PORT_MIN, RTP_PORT_MAX = 30000, 39998
# Final responses that are about what was dialled or how, not about who was reached.
WRONG_CALL = frozenset({400, 401, 403, 404, 405, 406, 407, 415, 420, 484, 485, 488})
RING_TIMEOUT_S = 60.0
REGISTER_FOR_S = 300
# A challenge takes one number between two REGISTERs.
REGISTER_CSEQ_STEP = 2
NO_RESPONSE_S = 5.0
BYE_DEADLINE_S = 3.0
# After the audio and digits are sent: time for the last words of an answer.
LISTEN_AFTER_S = 3.0
# Without audio to send, and without a wish.
LISTEN_ONLY_S = 10.0
# Ctrl-C, and what a service manager or a time-out sends.
HANG_UP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
CALL_SID_HEADER = "X-Exotel-CallSid"


@dataclass(frozen=True)
class CallPlan:
    """What to dial and what to do once it is answered.

    Attributes:
        uri: Request-URI.
        srtp: Offer SRTP, and nothing else.
        register: Register as this user first, and answer challenges as them.
        wait_s: From the answer to the first word or digit.
        seconds: Hang up so long after the answer; None: when all is said, and a bit.
    """

    uri: str
    caller: str = "caller"
    transport: Transport = "udp"
    codecs: tuple[str, ...] = ("PCMU",)
    srtp: bool = False
    register: Credentials | None = None
    headers: tuple[tuple[str, str], ...] = ()
    wait_s: float = 0.0
    wav: Path | None = None
    digits: str = ""
    seconds: float | None = None
    save: Path | None = None


@dataclass
class CallOutcome:
    """What came of a call.

    Attributes:
        failure: None when it was answered; else why not, in one line.
        status: Whose fault a failure is.
        ended_by: ``caller`` or ``platform``.
        reason: The Reason header of the platform's BYE.
        first_audio_ms: From the answer to the first sound that is no silence.
        stats: Counters of the RTP leg.
    """

    failure: str | None = None
    status: ExitStatus = ExitStatus.OK
    sid: str | None = None
    ended_by: str = "caller"
    reason: str = ""
    heard_s: float = 0.0
    first_audio_ms: float | None = None
    stats: Mapping[str, JsonValue] = field(default_factory=dict)


class Caller:
    """Places one call.

    Args:
        on_sid: Told the call's SID as soon as the platform names it.
    """

    def __init__(self, plan: CallPlan, on_sid: Callable[[str], None]) -> None:
        self._plan = plan
        self._on_sid = on_sid
        self._clock = SystemClock()
        self._outcome = CallOutcome()
        self._said: asyncio.Future[None] | None = None
        self._capture: Capture | None = None
        self._session: CallSession | None = None
        self._answered_s = 0.0
        self._registrations = 0
        self._registration_id = IdSource().call_id()
        self._bind_ip = bind_address(plan.uri)
        self._engine = LocalEngine(
            bind_ip=self._bind_ip,
            rtp_port_min=RTP_PORT_MIN,
            rtp_port_max=RTP_PORT_MAX,
            clock=self._clock,
            ids=IdSource(),
            on_report=self._take_report,
        )
        self._endpoint = SipEndpoint(
            SipOptions(
                bind_ip=self._bind_ip,
                port=0,
                # Calls over TLS need no listener of their own.
                transports=("udp" if plan.transport == "udp" else "tcp",),
                user_agent="exotel-emulator call",
            ),
            self._clock,
            IdSource(),
            on_invite=_refuse,
        )

    async def run(self) -> CallOutcome:
        """Place the call and return when it is over.

        Raises:
            ConfigError: The WAV file cannot be played.
        """
        await self._endpoint.start()
        try:
            if self._plan.register is None or await self._register(REGISTER_FOR_S):
                await self._live(self._dial())
        finally:
            if self._plan.register is not None and self._outcome.failure is None:
                await self._register(0)
            self._finish()
            self._engine.close()
            await self._endpoint.stop(BYE_DEADLINE_S)
        return self._outcome

    def hang_up(self) -> None:
        """End the call, or give it up while it rings."""
        if self._session is not None:
            self._session.hang_up()

    def press(self, digits: str) -> None:
        """Press keys, once the call is answered."""
        self._engine.send(SendDigits(LEG, digits))

    async def _register(self, expires_s: int) -> bool:
        """Register with the target, or take it back with 0; False when refused."""
        uri = parse_sip_uri(self._plan.uri)
        self._registrations += 1
        address = NameAddr(str(replace(uri, user=self._plan.caller)))
        request = OutgoingRequest(
            method="REGISTER",
            target=str(replace(uri, user=None)),
            from_=address,
            to=address,
            headers=[("Expires", str(expires_s))],
            transport=self._plan.transport,
            credentials=self._plan.register,
            contact_user=self._plan.caller,
            call_id=self._registration_id,
            cseq=REGISTER_CSEQ_STEP * self._registrations,
        )
        try:
            response = await self._endpoint.send_request(request)
        except RequestFailed as error:
            self._outcome.failure = f"REGISTER: {error}"
            self._outcome.status = ExitStatus.INTERNAL
            return False
        if not response.is_success:
            self._outcome.failure = f"REGISTER: {response.summary}{_why(response)}"
            self._outcome.status = ExitStatus.USAGE
        return response.is_success

    def _dial(self) -> CallSession:
        uri = parse_sip_uri(self._plan.uri)
        own_ip = self._endpoint.advertised_ip_towards(uri.host)
        crypto = make_local_crypto(IdSource(), is_offered=True)
        self._local = LocalAudio(
            own_ip,
            self._engine.add_leg(LEG),
            codecs=self._plan.codecs,
            crypto=crypto if self._plan.srtp else None,
        )
        return self._endpoint.place_call(
            OutgoingInvite(
                target=self._plan.uri,
                from_=NameAddr(f"sip:{self._plan.caller}@{own_ip}"),
                to=NameAddr(self._plan.uri),
                sdp=format_description(make_offer(self._local)),
                headers=self._plan.headers,
                ring_timeout_s=RING_TIMEOUT_S,
                transport=self._plan.transport,
                credentials=self._plan.register,
            )
        )

    async def _live(self, session: CallSession) -> None:
        self._session = session
        loop = asyncio.get_running_loop()
        # Both hang up; what was heard until then is told as after any call.
        for number in HANG_UP_SIGNALS:
            loop.add_signal_handler(number, self.hang_up)
        try:
            await self._follow(session)
        finally:
            for number in HANG_UP_SIGNALS:
                loop.remove_signal_handler(number)

    async def _follow(self, session: CallSession) -> None:
        talk: asyncio.Task[None] | None = None
        try:
            event = await self._first_event(session)
            while event is not None:
                self._take(event)
                if isinstance(event, Answered):
                    talk = asyncio.create_task(self._talk(session))
                if isinstance(event, SessionEnded):
                    return
                event = await session.next_event()
        finally:
            if talk is not None:
                talk.cancel()
                await asyncio.gather(talk, return_exceptions=True)
            session.hang_up()

    async def _first_event(self, session: CallSession) -> SessionEvent | None:
        """Return the first event; None when nobody is there.

        SIP itself gives up after 32 s; a person at a terminal wants to know sooner.
        """
        try:
            async with asyncio.timeout(NO_RESPONSE_S):
                return await session.next_event()
        except TimeoutError:
            self._outcome.failure = (
                f"no response from {session.remote_address} in {NO_RESPONSE_S:g} s; "
                "is the emulator running? (--target)"
            )
            self._outcome.status = ExitStatus.INTERNAL
            return None

    def _take(self, event: SessionEvent) -> None:
        match event:
            case Provisional():
                self._note_sid(event.response.headers.get(CALL_SID_HEADER))
            case Answered():
                self._note_sid(event.response.headers.get(CALL_SID_HEADER))
                self._answer(event)
            case Rejected():
                self._fail(event)
            case ByeReceived(reason=reason):
                self._outcome.ended_by = "platform"
                self._outcome.reason = "; ".join(reason)
            case SessionEnded(cause=cause, detail=detail):
                self._note_end(cause.value, detail)
            case _:
                pass  # Nothing else happens to a call of ours without our asking.

    def _note_sid(self, sid: str | None) -> None:
        if sid and self._outcome.sid is None:
            self._outcome.sid = sid
            self._on_sid(sid)

    def _answer(self, event: Answered) -> None:
        self._answered_s = self._clock.monotonic_s()
        agreed = read_answer(parse_description(event.sdp or ""), self._local)
        media = MediaParams(
            codec=agreed.codec,
            payload_type=agreed.payload_type,
            telephone_event_payload_type=agreed.telephone_event_payload_type,
            remote_ip=agreed.remote_ip,
            remote_port=agreed.remote_port,
            ptime_ms=agreed.ptime_ms,
            send_before_latch=True,
            wait_for_peer=False,
            srtp=srtp_params(agreed.crypto),
        )
        self._engine.send(UpdateLeg(LEG, media))
        self._capture = self._engine.capture(LEG)
        self._engine.send(StartLeg(LEG))

    def _fail(self, event: Rejected) -> None:
        why = _why(event.response)
        self._outcome.failure = f"{event.status} {event.reason_phrase}{why}"
        is_ours = event.status in WRONG_CALL
        self._outcome.status = ExitStatus.USAGE if is_ours else ExitStatus.INTERNAL

    def _note_end(self, cause: str, detail: str) -> None:
        if not self._answered_s and self._outcome.failure is None:
            self._outcome.failure = f"{cause}: {detail}" if detail else cause
            self._outcome.status = ExitStatus.INTERNAL

    async def _talk(self, session: CallSession) -> None:
        """Say the audio, press the digits, listen, hang up."""
        limit_s = self._plan.seconds
        try:
            async with asyncio.timeout(limit_s):
                await self._speak()
                await asyncio.sleep(self._listen_s())
        except TimeoutError:
            pass  # The wish of ``seconds``.
        session.hang_up()

    def _listen_s(self) -> float:
        if self._plan.seconds is not None:
            return self._plan.seconds
        spoke = self._plan.wav is not None or self._plan.digits
        return LISTEN_AFTER_S if spoke else LISTEN_ONLY_S

    async def _speak(self) -> None:
        await asyncio.sleep(self._plan.wait_s)
        if self._plan.wav is not None:
            play = Play(LEG, "wav", path=str(self._plan.wav))
            await self._until_said(play)
        if self._plan.digits:
            await self._until_said(SendDigits(LEG, self._plan.digits))

    async def _until_said(self, command: Play | SendDigits) -> None:
        self._said = asyncio.get_running_loop().create_future()
        self._engine.send(command)
        await self._said

    def _take_report(self, report: Report) -> None:
        if self._said is None or self._said.done():
            return
        if isinstance(report, PlayEnded) and report.outcome == "failed":
            error = ConfigError(f"{self._plan.wav}: cannot be played: {report.error}")
            self._outcome.failure, self._outcome.status = str(error), ExitStatus.USAGE
            self._said.set_result(None)
        elif isinstance(report, (PlayEnded, DigitsSent)):
            self._said.set_result(None)

    def _finish(self) -> None:
        """Write down what was heard."""
        if self._capture is None:
            return
        self._outcome.stats = self._engine.stats(LEG)
        self._outcome.heard_s = self._capture.duration_s
        first_s = self._capture.first_sound_s
        if first_s is not None:
            self._outcome.first_audio_ms = (first_s - self._answered_s) * 1000
        if self._plan.save is not None:
            self._save(self._capture, self._plan.save)

    def _save(self, capture: Capture, path: Path) -> None:
        try:
            capture.save(str(path))
        except OSError as error:
            self._outcome.failure = f"--save {path}: {error.strerror}"
            self._outcome.status = ExitStatus.USAGE


def bind_address(uri: str) -> str:
    """Return the address to bind: loopback towards loopback, else every one."""
    host = parse_sip_uri(uri).host
    if host == "localhost":
        return "127.0.0.1"
    try:
        return "127.0.0.1" if ipaddress.ip_address(host).is_loopback else "0.0.0.0"
    except ValueError:
        return "0.0.0.0"


def _why(response: Response) -> str:
    """Return what the server says of its refusal, else what it probably means."""
    said = response.headers.all("Warning") + response.headers.all("Reason")
    return f": {'; '.join(said)}" if said else _digest_hint(response)


def _digest_hint(response: Response) -> str:
    is_stale = response.status in {401, 407} and calls_nonce_stale(response)
    return ": its challenge says stale=true again and again" if is_stale else ""


def _refuse(invite: IncomingInvite) -> None:
    invite.session.reject(486)
