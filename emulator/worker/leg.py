"""One RTP leg: what its peer says, what its peer hears.

    socket -> RtpReceiver -> Audience (bots, taps)
    socket <- RtpSender   <- keys, or the mix of Playout (prompts, bots) and Inlet
                             (the other party of a bridge); the audience hears it

``read`` and ``send_slot`` are the per-packet path: nearly every packet takes the short
way through them, which a leg leaves for as long as anything special goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from emulator.events import JsonValue
from emulator.media.digits import DigitMerger
from emulator.media.g711 import BYTES_PER_MS, LAWS, mix, transcode
from emulator.media.inband_dtmf import InbandDetector
from emulator.media.inlet import Inlet, VoiceCounters
from emulator.media.playout import Playout
from emulator.media.prompts import PromptCache
from emulator.media.recovery import StallRecovery
from emulator.media.tones import dtmf, silence
from emulator.rtp.packet import HEADER_BYTES
from emulator.rtp.ports import PortPair
from emulator.rtp.receiver import MAX_PLAIN_BYTES, NOT_RTP, RtpReceiver
from emulator.rtp.reporting import Reporting
from emulator.rtp.sender import RtpSender
from emulator.rtp.telephone_event import Press, is_digit
from emulator.worker.arrivals import Arrivals
from emulator.worker.audience import QUIET_AFTER_S, Audience
from emulator.worker.keys import MAX_WAITING, Keys, KeySender
from emulator.worker.messages import (
    DigitPressed,
    DigitsSent,
    Happened,
    MediaParams,
    Report,
    RtpSilent,
    SendDigits,
)
from emulator.worker.plays import Plays
from emulator.worker.presence import Presence
from emulator.worker.report_exchange import ReportExchange
from emulator.worker.security import Security
from emulator.worker.surroundings import Surroundings
from emulator.worker.udp import MAX_DATAGRAM_BYTES, PeerSocket

# Without a packet of the peer, a call that is up starts talking after this (design:
# addresses, NAT); a peer behind a NAT has sent by then.
LATCH_WAIT_S = 0.25
# A silent peer may come back from another port (NAT rebinding).
RELATCH_AFTER_S = 2.0
DEFAULT_PTIME_MS = 20
PTIMES_MS = (10, 20, 30, 40, 60)
# Until the answer to our own offer is known; nothing is sent or heard before.
_UNKNOWN = MediaParams("PCMU", 0, None, "", 0, send=False, receive=False)


class Leg:
    """One party's media. Its owner reads and sends when it is time.

    Attributes:
        audience: Who hears the peer, and what it is sent.
        open: Decrypts a datagram of the peer in its place; None: they come plain.
        relay_key: Takes the peer's keys to the other party, while bridged.
        voices, bridged_ms: What became of the other parties' voices, in all.
    """

    __slots__ = (
        "_around", "_arrivals", "_detector", "_detour", "_hears_plainly", "_inlet",
        "_is_flowing", "_keys", "_merger", "_presence", "_quiet_frame", "_receiver",
        "_recovery", "_security", "_sender", "_sends_plainly", "audience", "bridged_ms",
        "law", "leg_id", "media", "open", "playout", "plays", "ports", "ptime_ms",
        "relay_key", "reports", "socket", "voices",
    )  # fmt: skip

    def __init__(
        self,
        leg_id: str,
        ports: PortPair,
        media: MediaParams | None,
        cache: PromptCache,
        around: Surroundings,
    ) -> None:
        self.leg_id = leg_id
        # The voice of the other party, while bridged.
        self._inlet: Inlet | None = None
        self.relay_key: Callable[[str, int], None] | None = None
        self.voices = VoiceCounters()
        self.bridged_ms = 0
        self.media = media or _UNKNOWN
        self._around = around
        self.ports = ports
        self.socket = PeerSocket(ports.rtp, self._latched)
        # A network fault that stands before the socket.
        self._detour: Callable[[bytes], None] | None = None
        # Whether the next packet of each direction may take the short way.
        self._hears_plainly = self._sends_plainly = False
        self.law = LAWS[self.media.codec]
        self.audience = Audience(self.law, around.clock)
        self.ptime_ms = _usable_ptime(self.media.ptime_ms)
        frame_bytes = self.ptime_ms * BYTES_PER_MS
        self._receiver = RtpReceiver(0, None, self._pressed)
        depth_ms = around.options.jitter_buffer_ms
        self._arrivals = Arrivals(
            self._receiver, depth_ms, self._hear, self.socket.release
        )
        self._sender = RtpSender(
            self.media.payload_type,
            frame_bytes,
            around.ids.uint32(),
            around.ids.uint16(),
            around.ids.uint32(),
        )
        self._security = Security(self._sender, self._receiver)
        self.reports = ReportExchange(
            ports.rtcp,
            Reporting(self._sender, self._receiver, f"{leg_id}@emulator"),
            around.clock,
            around.ids,
        )
        self.playout = Playout(frame_bytes, self.law.silence)
        self.plays = Plays(self.playout, self.law, cache, around)
        self._recovery = StallRecovery(self.playout)
        self._merger = DigitMerger()
        self._detector: InbandDetector | None = None
        if around.options.inband_dtmf:
            self._detector = InbandDetector(
                self.law, lambda digit, ms: self._key(digit, ms, "inband")
            )
        self._keys = KeySender()
        self._is_flowing = False
        self._presence = Presence(around.clock.monotonic_s())
        self._use(self.media)

    # -- commands -----------------------------------------------------------------

    def start(self) -> None:
        """The call is up: packets may flow."""
        if self._presence.started_s is None:
            now_s = self.audience.audio_s = self._around.clock.monotonic_s()
            self._presence.start(now_s)

    def update(self, media: MediaParams) -> None:
        """Obey a new offer/answer: codec, address, hold."""
        old, self.media = self.media, media
        self.ptime_ms = _usable_ptime(media.ptime_ms)
        law = LAWS[media.codec]
        if law is not self.law:
            old_law, self.law = self.law, law
            self.plays.law = law
            if self._detector is not None:
                self._detector.law = law
            self.playout.recode(lambda audio: transcode(audio, old_law, law))
            self.audience.use_law(law)
            if self._inlet is not None:
                self._inlet.use_target(law)
        frame_bytes = self.ptime_ms * BYTES_PER_MS
        self.playout.use_frames_of(frame_bytes, law.silence)
        self._sender.update(media.payload_type, frame_bytes)
        # A hold is no absence.
        self._presence.sign_s = self._around.clock.monotonic_s()
        moved = (media.remote_ip, media.remote_port) != (old.remote_ip, old.remote_port)
        self._use(media, moved=moved)

    def send_digits(self, command: SendDigits) -> None:
        """Send digits after those that are under way."""
        sent = partial(self._report, DigitsSent(self.leg_id))
        self.send_keys(command.digits, command.duration_ms, command.gap_ms, sent)

    def send_keys(
        self, digits: str, duration_ms: int, gap_ms: int, sent: Callable[[], None]
    ) -> None:
        """Send keys by RFC 4733, else as tones; call ``sent`` when they are out."""
        if self.media.telephone_event_payload_type is not None:
            if not self._keys.add(Keys(digits, duration_ms, gap_ms, sent)):
                self._note_dropped_keys()
            self._sends_plainly = False
            return
        owner = object()
        for digit in filter(is_digit, digits.upper()):
            sound = dtmf(digit, duration_ms) + silence(gap_ms)
            self.playout.add(self.law.encode(sound), owner)
        self.playout.mark(owner, sent)

    def _note_dropped_keys(self) -> None:
        if self._keys.dropped == 1:
            text = f"more than {MAX_WAITING} sets of keys wait: further ones are lost"
            self._happened("note", {"text": text})

    def inject_digit(self, digit: str, duration_ms: int) -> None:
        """Take a key that came by signalling."""
        self._key(digit, duration_ms, "info")

    def listen_to(self, inlet: Inlet | None) -> None:
        """Let the peer hear another party's voice; None: no more."""
        self._inlet = inlet
        self._sends_plainly = False

    def send_through(self, detour: Callable[[bytes], None] | None) -> None:
        """Let a network fault take the packets; None: they leave as they are."""
        self._detour = detour
        self._sends_plainly = False

    @property
    def key_is_down(self) -> bool:
        """The peer holds a key (RFC 4733)."""
        return self._receiver.key_is_down

    # -- per packet ---------------------------------------------------------------

    def read(self, buffer: bytearray, view: memoryview, now_s: float) -> None:
        """Take one datagram from the socket, if there is one."""
        # ``a.b()`` is slow where ``b`` is no method: it is read first, then called.
        receive = self.socket.receive
        try:
            length = receive(buffer)
        except OSError as error:
            self.socket.failed(error)
            return
        if self.open is not None and length:
            length = self.open(buffer, length)
        receive_next = self._receiver.receive_next
        if (
            self._hears_plainly
            and HEADER_BYTES < length <= MAX_PLAIN_BYTES
            and receive_next(buffer, now_s)
        ):
            audience = self.audience
            audience.audio_s = now_s
            if audience.heard_by:
                audio = view[HEADER_BYTES:length]
                for hear in audience.heard_by:
                    hear(audio)
        elif length:
            self.take(buffer, view, length, now_s)

    def take(
        self, buffer: bytearray, view: memoryview, length: int, now_s: float
    ) -> None:
        """Take one plain datagram of the peer in."""
        if not self.media.receive:
            return
        if length >= MAX_DATAGRAM_BYTES:
            length = 0  # Counted as malformed.
        if self._arrivals.is_direct:
            self._hear(buffer, view, length, now_s, now_s)
        else:
            self._arrivals.take(buffer, view, length, now_s)

    def _hear(
        self,
        packet: bytes | bytearray,
        view: memoryview,
        length: int,
        now_s: float,
        arrived_s: float,
    ) -> None:
        """Hand the audio of a plain datagram on, in its order."""
        receiver = self._receiver
        missing = receiver.receive(packet, length, now_s, arrived_s)
        if missing < 0:
            if missing != NOT_RTP:
                self._presence.sign_s = now_s
                self._sends_plainly &= not receiver.key_is_down
            return
        audience = self.audience
        audience.audio_s = now_s
        if self._presence.is_first_audio(now_s):
            self._happened("media.first_audio", {"codec": self.law.name})
        audio = view[receiver.start : receiver.end]
        if audience.heard_by:
            if missing or audience.filled_bytes:
                audience.conceal(missing * len(audio))
            for hear in audience.heard_by:
                hear(audio)
        if self._detector is not None:
            self._detector.hear(audio)
        may_be_plain = self.media.receive and not audience.filled_bytes
        is_undisturbed = self._arrivals.is_direct and self._detector is None
        self._hears_plainly = may_be_plain and is_undisturbed

    def send_slot(self, now_s: float) -> None:
        """Send the packet of this slot; the time of a slot is ``ptime_ms``."""
        if not self._sends_plainly:
            self._send_any_slot(now_s)
            return
        frame = self.playout.take() or self._quiet_frame
        transmit = self.socket.transmit
        try:
            transmit(self._sender.audio(frame))
        except OSError:
            self.socket.errors += 1
        audience = self.audience
        if audience.said_by:
            for say in audience.said_by:
                say(frame)
        if now_s - audience.audio_s > QUIET_AFTER_S:
            self._hear_absence(now_s)

    def _send_any_slot(self, now_s: float) -> None:
        """Do all that a slot may ask for; then see whether the next one is plain."""
        self._arrivals.release(now_s)
        if not self._is_flowing and not self._may_flow(now_s):
            self._send_before_flow()
            return
        if self._keys.is_active:
            self._send_key_slot()
        else:
            self._send_audio_slot(now_s)
        if self._receiver.key_is_down:
            self._receiver.expire_digit(now_s)
        self._hear_absence(now_s)
        self._sends_plainly = self.media.send and not (
            self._keys.is_active
            or self._recovery.is_active
            or self._receiver.key_is_down
            or self._arrivals.holds
            or self._inlet is not None
            or self._detour is not None
        )

    def _send_audio_slot(self, now_s: float) -> None:
        if self._recovery.is_active:
            self._recover(now_s)
        frame = self.playout.take() or self._quiet_frame
        if self._inlet is not None:
            frame = self._with_voice(self._inlet, frame)
        if self.media.send:
            self._transmit(self._sender.audio(frame))
        else:
            self._sender.pause()
            frame = self._quiet_frame
        for say in self.audience.said_by:
            say(frame)

    def _hear_absence(self, now_s: float) -> None:
        """Let time go on for the listeners of a peer that sends nothing."""
        if self.audience.is_quiet(now_s):
            self.audience.hear_quiet(self._quiet_frame)
            self._hears_plainly = False

    def stalled(self, stall_ms: int, now_s: float) -> None:
        """The worker stood still for so long; called before the missed slots."""
        self._recovery.stalled(stall_ms, now_s)
        self._sends_plainly = False
        # It was us who did not listen: what came meanwhile is read after the slots.
        self._presence.sign_s += stall_ms / 1000
        self.audience.audio_s += stall_ms / 1000

    def check(self, now_s: float) -> None:
        """Look for absence; called about once a second."""
        self._recovery.roll()
        self.reports.check(now_s)
        is_on_hold = not self.media.receive and self.media is not _UNKNOWN
        presence = self._presence
        if presence.started_s is None or is_on_hold:
            return
        silent_s = now_s - max(presence.sign_s, self.audience.audio_s)
        if silent_s > RELATCH_AFTER_S:
            self.socket.release()
        if presence.is_newly_absent(silent_s, self._around.options.rtp_timeout_s):
            self._report(RtpSilent(self.leg_id, silent_s))

    # -- details ------------------------------------------------------------------

    def _use(self, media: MediaParams, *, moved: bool = True) -> None:
        event_type = media.telephone_event_payload_type
        self._receiver.update(media.payload_type, event_type)
        self._security.use(media.srtp)
        self._arrivals.update(media.payload_type)
        self.open = self._arrivals.open if self._receiver.opener else None
        self._hears_plainly = self._sends_plainly = False
        self._quiet_frame = self.law.quiet(self.ptime_ms * BYTES_PER_MS)
        if media is _UNKNOWN:
            return
        allowed = frozenset(media.allowed_source_ips)
        if not moved:
            self.socket.allow(allowed)
            return
        is_trusted = media.send_before_latch and media.remote_port > 0
        told = (media.remote_ip, media.remote_port)
        self.socket.expect(allowed, told, is_trusted=is_trusted)

    def _may_flow(self, now_s: float) -> bool:
        started_s = self._presence.started_s
        self._is_flowing = started_s is not None and (
            self.socket.is_latched
            or now_s >= started_s + LATCH_WAIT_S
            or (self.socket.peer is not None and not self.media.wait_for_peer)
        )
        return self._is_flowing

    def _send_before_flow(self) -> None:
        """Let a trusted peer hear that we are there; what is to be heard waits."""
        if self._presence.started_s is None:
            return
        for say in self.audience.said_by:
            say(self._quiet_frame)
        if self.socket.peer is not None and self.media.send:
            self._transmit(self._sender.audio(self._quiet_frame))

    def _transmit(self, packet: bytes) -> None:
        send = self._detour or self.socket.send
        send(packet)

    def _latched(self) -> None:
        assert self.socket.peer is not None
        ip, port = self.socket.peer
        self.reports.expect(frozenset(self.media.allowed_source_ips), self.socket.peer)
        self._happened(
            "media.latched",
            {
                "peer": f"{ip}:{port}",
                "as_in_sdp": (ip, port)
                == (self.media.remote_ip, self.media.remote_port),
            },
        )

    def _with_voice(self, inlet: Inlet, frame: bytes) -> bytes:
        """Add the other party to what is played."""
        voice = inlet.take(len(frame))
        if voice is None:
            return frame
        return voice if frame is self._quiet_frame else mix(frame, voice, self.law)

    def _send_key_slot(self) -> None:
        """Send one packet of a key, or silence between two; playout waits."""
        event = self._keys.next_packet(self.ptime_ms)
        event_type = self.media.telephone_event_payload_type
        if self._inlet is not None:
            self._inlet.take(len(self._quiet_frame))  # A live voice does not wait.
        if not self.media.send:
            self._sender.pause()
        elif event is None or event_type is None:
            self._transmit(self._sender.audio(self._quiet_frame))
        else:
            self._transmit(self._sender.event(event, event_type))
        for say in self.audience.said_by:
            say(self._quiet_frame)

    def _recover(self, now_s: float) -> None:
        recovery = self._recovery
        recovery.recover(self.law, len(self._quiet_frame), now_s)
        if not recovery.is_active and recovery.discarded_ms:
            text = (
                f"the media worker stood still for {recovery.stalled_ms} ms in all; "
                f"{recovery.discarded_ms} ms of bot audio were discarded, silence "
                "first, so that the delay does not stay"
            )
            self._happened("note", {"text": text})

    def _pressed(self, press: Press) -> None:
        self._key(press.digit, press.duration_ms, "rfc4733")

    def _key(self, digit: str, duration_ms: int, source: str) -> None:
        now_s = self._around.clock.monotonic_s()
        if not self._merger.is_new(digit, source, now_s):
            return
        for joint in self.audience.joints:
            joint.press(digit, duration_ms)
        # One that was recognised by its sound has been heard by the other party.
        if self.relay_key is not None and source != "inband":
            self.relay_key(digit, duration_ms)
        self._report(DigitPressed(self.leg_id, digit, duration_ms, now_s, source))

    def _happened(self, kind: str, data: dict[str, JsonValue]) -> None:
        self._report(
            Happened(self.leg_id, kind, self._around.clock.monotonic_s(), data)
        )

    def _report(self, report: Report) -> None:
        self._around.report(report)

    def stats(self) -> dict[str, JsonValue]:
        """Return all counters, by names that carry their units."""
        return {
            "received": {
                **self._receiver.counters(),
                "foreign": self.socket.foreign,
                **self._arrivals.counters(),
            },
            "sent": {
                "packets": self._sender.packets,
                "errors": self.socket.errors,
                "keys_dropped": self._keys.dropped,
            },
            "playout": {**self.playout.counters(), **self._recovery.counters()},
            "bridge": {"bridged_ms": self.bridged_ms, **self.voices.counters()},
            "rtcp": {**self.reports.counters()},
            "first_audio_ms": self._presence.first_audio_ms,
        }


def _usable_ptime(ptime_ms: int) -> int:
    """A duration that the slots can keep; a peer must take any (RFC 3551 §4.2)."""
    return ptime_ms if ptime_ms in PTIMES_MS else DEFAULT_PTIME_MS
