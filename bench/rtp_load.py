"""RTP load and meter: N phones that stamp every frame and time every answer.

    python -m bench.rtp_load --ports 20000,20002,... --seconds 10

Each frame carries its send time and number as hex digits, which are G.711 codes that
survive decoding and encoding: an echo bot gives loss, duplication, order and round trip
per frame. Arrival times are the kernel's, so that the scheduling of this process is not
measured. Prints ``talking`` when the first packet goes, and one JSON object at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import select
import socket
import struct
import time
from collections import Counter
from dataclasses import dataclass, field

from emulator.rtp.srtp import SrtpOpener, SrtpSealer

SRTP_SUITE = "AES_CM_128_HMAC_SHA1_80"
TICK_S = 0.002
GROUPS = 10
FRAME_BYTES = 160
# The first seconds are not measured: queues fill, caches warm, streams open.
WARM_UP_S = 2.0
# Frames of the last moments may still be on their way back.
TAIL_FRAMES = 25
TRAIL_S = 0.8

_SO_TIMESTAMPNS = 35
_HEADER = struct.Struct("!BBHII")
_TIMESPEC = struct.Struct("qq")
TIME_DIGITS = 16
# Loud, varying filler: nothing may take it for silence.
_FILLER = bytes(0xD5 if n & 4 else 0x55 for n in range(FRAME_BYTES))


@dataclass
class Phone:
    """One call's socket and what came back; with its keys, when it speaks SRTP."""

    sock: socket.socket
    packet: bytearray
    sealer: SrtpSealer | None = None
    opener: SrtpOpener | None = None
    arrivals: list[tuple[int, int]] = field(default_factory=list)
    echoes: list[tuple[int, int, int]] = field(default_factory=list)


def open_phones(
    ports: list[int], from_port: int = 0, srtp_key: bytes | None = None
) -> list[Phone]:
    """One phone per port that it talks to; ``from_port`` is the first one's own."""
    phones = []
    for number, port in enumerate(ports):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 19)
        sock.bind(("127.0.0.1", from_port and from_port + number))
        sock.connect(("127.0.0.1", port))
        packet = bytearray(_HEADER.size) + _FILLER
        _HEADER.pack_into(packet, 0, 0x80, 0, 0, 0, number + 1)
        phone = Phone(sock, packet)
        if srtp_key is not None:
            phone.sealer = SrtpSealer(SRTP_SUITE, srtp_key)
            phone.opener = SrtpOpener(SRTP_SUITE, srtp_key)
        phones.append(phone)
    return phones


class Load:
    """Sends on absolute deadlines, reads in between."""

    def __init__(self, phones: list[Phone], warm_up_s: float = WARM_UP_S) -> None:
        self._phones = phones
        self.warm_up_s = warm_up_s
        self._epoll = select.epoll()
        self._by_fd = {phone.sock.fileno(): phone for phone in phones}
        for fd in self._by_fd:
            self._epoll.register(fd, select.EPOLLIN)
        self._buffer = bytearray(2048)
        self.frame = 0
        self.send_errors = 0
        self.worst_lag_s = 0.0

    def run(self, seconds: float) -> None:
        began_s = time.monotonic() + 0.05
        for k in range(int(seconds / TICK_S)):
            wait_s = began_s + k * TICK_S - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            elif k * TICK_S > self.warm_up_s:
                self.worst_lag_s = max(self.worst_lag_s, -wait_s)
            if k % GROUPS == 0:
                self.frame += 1
            self._send(self._phones[k % GROUPS :: GROUPS])
            if k % 2:
                self._read()
        end_s = time.monotonic() + TRAIL_S
        while time.monotonic() < end_s:
            self._read()
            time.sleep(TICK_S)

    def close(self) -> None:
        """Hang up every phone."""
        self._epoll.close()
        for phone in self._phones:
            phone.sock.close()

    def _send(self, phones: list[Phone]) -> None:
        number = b"%08x" % self.frame
        for phone in phones:
            packet = phone.packet
            packet[2:4] = (self.frame & 0xFFFF).to_bytes(2, "big")
            packet[4:8] = (self.frame * FRAME_BYTES & 0xFFFFFFFF).to_bytes(4, "big")
            packet[12:28] = b"%016x" % time.time_ns()
            packet[28:36] = number
            sealer = phone.sealer
            try:
                phone.sock.send(sealer.seal(bytes(packet)) if sealer else packet)
            except OSError:
                self.send_errors += 1

    def _read(self) -> None:
        buffer = self._buffer
        for fd, _ in self._epoll.poll(0, 4096):
            phone = self._by_fd[fd]
            with contextlib.suppress(OSError):
                length, ancillary, _, _ = phone.sock.recvmsg_into([buffer], 64)
                if phone.opener is not None:
                    plain = phone.opener.open(bytes(buffer[:length])) or b""
                    buffer[: len(plain)] = plain
                seconds, ns = _TIMESPEC.unpack_from(ancillary[0][2])
                arrival_ns = seconds * 1_000_000_000 + ns
                number = buffer[2] << 8 | buffer[3]
                phone.arrivals.append((number, arrival_ns))
                try:
                    sent_ns, frame = int(buffer[12:28], 16), int(buffer[28:36], 16)
                except ValueError:
                    continue  # Silence, or a frame that was resampled.
                phone.echoes.append((frame, sent_ns, arrival_ns))


def percentiles(values: list[float], *points: float) -> list[float]:
    """Return percentiles of ``values``, rounded to microseconds; empty for none."""
    ordered = sorted(values)
    if not ordered:
        return []
    last = len(ordered) - 1
    return [round(ordered[min(last, int(last * p / 100))], 3) for p in points]


def pacing_errors_ms(phone: Phone, from_ns: int) -> list[float]:
    """How far each packet is from the phone's own 20 ms grid."""
    arrivals = [entry for entry in phone.arrivals if entry[1] >= from_ns]
    if len(arrivals) < 20:
        return []
    (number, first_ns), steps, errors = arrivals[0], 0, []
    for next_number, at_ns in arrivals:
        steps += ((next_number - number + 0x8000) & 0xFFFF) - 0x8000
        number = next_number
        errors.append((at_ns - first_ns) / 1e6 - 20 * steps)
    middle = sorted(errors)[len(errors) // 2]
    return [abs(error - middle) for error in errors]


def number_gaps(phone: Phone) -> int:
    numbers = [number for number, _ in phone.arrivals]
    return sum(
        (b - a) & 0xFFFF != 1 for a, b in zip(numbers, numbers[1:], strict=False)
    )


def summarise(
    phones: list[Phone], load: Load, *, is_stamped: bool = True
) -> dict[str, object]:
    """Count and time the frames between warm-up and tail.

    Without stamps, which no resampler leaves whole, only the packets count.
    """
    low = int(load.warm_up_s * 50)
    high = load.frame - TAIL_FRAMES
    expected = len(phones) * (high - low)
    echoed = duplicated = disordered = 0
    round_trips: list[float] = []
    pacing: list[float] = []
    for phone in phones:
        window = [echo for echo in phone.echoes if low <= echo[0] < high]
        counts = Counter(frame for frame, _, _ in window)
        echoed += len(counts)
        duplicated += len(window) - len(counts)
        frames = [frame for frame, _, _ in window]
        disordered += sum(b < a for a, b in zip(frames, frames[1:], strict=False))
        if is_stamped:
            round_trips += [(at - sent) / 1e6 for _, sent, at in window]
        if phone.arrivals:
            from_ns = phone.arrivals[0][1] + int(load.warm_up_s * 1e9)
            pacing += pacing_errors_ms(phone, from_ns)
    return {
        "frames_expected": expected,
        "frames_lost": expected - echoed if is_stamped else None,
        "frames_duplicated": duplicated if is_stamped else None,
        "frames_disordered": disordered if is_stamped else None,
        "rtp_gaps": sum(map(number_gaps, phones)),
        "pacing_error_ms_p50_p99_p999_max": percentiles(pacing, 50, 99, 99.9, 100),
        "round_trip_ms_p50_p99_max": percentiles(round_trips, 50, 99, 100),
        "send_errors": load.send_errors,
        "load_worst_lag_ms": round(load.worst_lag_s * 1000, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ports", required=True)
    parser.add_argument("--seconds", type=float, default=10, help="the warm-up too")
    parser.add_argument("--warm-up", type=float, default=WARM_UP_S)
    parser.add_argument("--from-port", type=int, default=0, help="the phones' own")
    parser.add_argument("--srtp", type=bytes.fromhex, help="master key and salt")
    parser.add_argument("--unstamped", action="store_true", help="resampled on its way")
    arguments = parser.parse_args()
    ports = [int(port) for port in arguments.ports.split(",")]
    phones = open_phones(ports, arguments.from_port, arguments.srtp)
    load = Load(phones, arguments.warm_up)
    gc.collect()
    gc.freeze()
    gc.disable()
    print("talking", flush=True)
    load.run(arguments.seconds)
    result = summarise(phones, load, is_stamped=not arguments.unstamped)
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
