"""baresip as a test's phone: a configuration, a call, and what it heard."""

from __future__ import annotations

import wave
from array import array
from pathlib import Path

from emulator.cli import signals

MODULES = Path("/usr/lib/baresip/modules")
_CONFIG = """\
poll_method epoll
sip_listen 127.0.0.1:{listen}
sip_trans_def {transport}
sip_verify_server no
audio_player aubridge,nil
audio_source {source}
audio_alert aubridge,nil
ausrc_srate 8000
auplay_srate 8000
ausrc_channels 1
auplay_channels 1
snd_path {directory}
rtp_ports 40000-49999
module_path {modules}
module g711.so
module aubridge.so
module aufile.so
module sndfile.so
module_app account.so
module_app menu.so
"""
_ACCOUNT = (
    "<sip:{user}@{registrar}>;auth_user={user};auth_pass={password};regint={regint};"
    "audio_codecs={codec};answermode={answer}\n"
)


def configure(
    directory: Path,
    *,
    user: str = "phone",
    codec: str = "pcmu",
    tone_hz: float = 440.0,
    registrar: str | None = None,
    transport: str = "udp",
    password: str | None = None,
    listen: int = 0,
    answer: str = "auto",
    certificate: Path | None = None,
    srtp: bool = False,
) -> Path:
    """Write the configuration of a phone that hums; what it hears is saved.

    With a ``registrar`` (host:port) it registers, with its name as password unless
    another one is given. Calls go over ``transport``; dial without ``;transport=``.
    With ``srtp`` it neither makes nor takes a call without it.
    """
    place = directory / "baresip"
    place.mkdir()
    hum = directory / "hum.wav"
    signals.write_wav(hum, signals.make_tone(tone_hz, 60.0, 8000), 8000)
    source = f"aufile,{hum}"
    (place / "config").write_text(
        _CONFIG.format(
            source=source,
            directory=directory,
            modules=MODULES,
            transport=transport,
            listen=listen,
        )
        + (f"sip_certificate {certificate}\n" if certificate else "")
        + ("module srtp.so\n" if srtp else "")
    )
    account = _ACCOUNT.format(
        user=user,
        codec=codec,
        answer=answer,
        registrar=f"{registrar or '127.0.0.1'};transport={transport}",
        password=user if password is None else password,
        regint=60 if registrar else 0,
    )
    if srtp:
        account = account.rstrip() + ";mediaenc=srtp-mand\n"
    (place / "accounts").write_text(account)
    (place / "contacts").write_text("")
    return place


def heard(directory: Path) -> tuple[array[int], int]:
    """Return samples and rate of what the phone decoded."""
    (file,) = directory.glob("dump-*-dec.wav")
    with wave.open(str(file), "rb") as reader:
        return array("h", reader.readframes(reader.getnframes())), reader.getframerate()
