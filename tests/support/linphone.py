"""Linphone as a test's phone: its console program, with a file for a voice."""

from __future__ import annotations

import os
import subprocess
import time
import wave
from array import array
from pathlib import Path

from emulator.cli import signals

# Port -1: any; 0 would switch the transport off.
_CONFIG = """\
[sip]
sip_port=-1
sip_tcp_port=-1
sip_tls_port=-1
verify_server_certs=0
verify_server_cn=0
default_proxy=0
[rtp]
audio_rtp_port=-1
[video]
capture=0
display=0
automatically_initiate=0
[proxy_0]
reg_proxy=<sip:127.0.0.1:{port};transport={transport}>
reg_identity=sip:{user}@127.0.0.1:{port}
reg_expires=60
reg_sendregister=1
[auth_info_0]
username={user}
passwd={user}
realm=exotel-emulator
"""


def call(
    program: str, directory: Path, uri: str, *, user: str, port: int, transport: str,
    seconds: float, tone_hz: float = 440.0,
) -> str:  # fmt: skip
    """Register, call, hum, hang up after some seconds; return what Linphone printed.

    What it heard is in ``heard.wav``. Its password is its name.
    """
    talk = [(0.3, f"call {uri}"), (seconds, "status register"), (0.2, "terminate")]
    config = _configure(directory, user, port, transport)
    return _converse(program, config, directory, talk, tone_hz=tone_hz)


def transfer(
    program: str, directory: Path, uri: str, refer_to: str, *, user: str, port: int
) -> str:
    """Register, call, transfer the call to somebody after two seconds; as ``call``."""
    talk = [(0.3, f"call {uri}"), (2.0, f"transfer {refer_to}"), (3.0, "calls")]
    config = _configure(directory, user, port, "udp")
    return _converse(program, config, directory, talk, tone_hz=440.0)


def be_called_and_transfer(
    program: str, directory: Path, refer_to: str, *, user: str, port: int
) -> str:
    """Register, answer whoever calls, transfer the call, and leave; as ``call``."""
    talk = [(5.0, f"transfer {refer_to}"), (3.0, "calls")]
    config = _configure(directory, user, port, "udp")
    return _converse(program, config, directory, talk, "-a", tone_hz=440.0)


def be_called(
    program: str, directory: Path, *, user: str, port: int, transport: str,
    seconds: float, tone_hz: float = 440.0,
) -> str:  # fmt: skip
    """Register, answer whoever calls, and leave after some seconds; as ``call``."""
    talk = [(seconds, "terminate")]
    config = _configure(directory, user, port, transport)
    return _converse(program, config, directory, talk, "-a", tone_hz=tone_hz)


def ring(
    program: str, directory: Path, *, user: str, port: int, seconds: float,
    tone_hz: float,
) -> str:  # fmt: skip
    """Register by UDP, hum to whoever calls without answering, leave; as ``call``."""
    config = _configure(directory, user, port, "udp")
    text = config.read_text().replace(
        "[sip]\n", "[sip]\nincoming_calls_early_media=1\n"
    )
    config.write_text(text)
    return _converse(
        program, config, directory, [(seconds, "")], "--real-early-media",
        tone_hz=tone_hz,
    )  # fmt: skip


def _configure(directory: Path, user: str, port: int, transport: str) -> Path:
    for place in (".local/share/linphone", ".config/linphone"):
        (directory / place).mkdir(parents=True)
    config = directory / "linphonerc"
    config.write_text(_CONFIG.format(user=user, port=port, transport=transport))
    return config


def _converse(
    program: str, config: Path, directory: Path, talk: list[tuple[float, str]],
    *options: str, tone_hz: float,
) -> str:  # fmt: skip
    """Type each line after its pause; the program has no other interface."""
    hum = directory / "hum.wav"
    signals.write_wav(hum, signals.make_tone(tone_hz, 60.0, 8000), 8000)
    talk = [
        (1.0, "soundcard use files"),
        (0.3, f"play {hum}"),
        (0.3, f"record {directory / 'heard.wav'}"),
        *talk,
        (0.5, "quit"),
    ]
    with subprocess.Popen(
        (program, "-c", str(config), "-d", "1", "-l", str(directory / "log"), *options),
        cwd=directory, env={**os.environ, "HOME": str(directory)}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        errors="replace",
    ) as child:  # fmt: skip
        assert child.stdin
        try:
            for pause_s, line in talk:
                time.sleep(pause_s)
                child.stdin.write(f"{line}\n")
                child.stdin.flush()
            return child.communicate(timeout=20)[0]
        except (subprocess.TimeoutExpired, BrokenPipeError):
            child.kill()
            raise


def heard(directory: Path) -> tuple[array[int], int]:
    """Return samples and rate of what the phone heard."""
    with wave.open(str(directory / "heard.wav"), "rb") as reader:
        return array("h", reader.readframes(reader.getnframes())), reader.getframerate()
