"""TLS: contexts, and a certificate made at the first start.

The certificate is made by the ``openssl`` program: it is needed once in the life of an
installation, every Debian image with CA certificates has it, and the Python package
that could do the same weighs 16 MB.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
from pathlib import Path
from typing import Final

from emulator.errors import ConfigError
from emulator.sip.options import TlsOptions

_VALID_DAYS: Final = 3_650
_OPENSSL_TIMEOUT_S: Final = 10.0


async def server_context(options: TlsOptions) -> ssl.SSLContext:
    """Return the listener's context; makes the certificate if there is none.

    Raises:
        ConfigError: The files cannot be read or made.
    """
    certificate, key = await _certificate(options)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"cannot use the TLS certificate {certificate} with the key {key}: {error} "
            "(settings sip.tls_certificate and sip.tls_key)"
        ) from error
    return context


def client_context(options: TlsOptions) -> ssl.SSLContext:
    """Return the context of connections that we make."""
    if options.verify:
        return ssl.create_default_context(cafile=options.authorities)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _certificate(options: TlsOptions) -> tuple[Path, Path]:
    if options.certificate is not None:
        return options.certificate, options.key or options.certificate
    certificate = options.folder / "sip-certificate.pem"
    key = options.folder / "sip-key.pem"
    if not (certificate.exists() and key.exists()):
        await _make_self_signed(certificate, key)
    return certificate, key


def _prepare_private_file(key: Path) -> None:
    try:
        key.parent.mkdir(parents=True, exist_ok=True)
        key.touch(mode=0o600)
        key.chmod(0o600)
    except OSError as error:
        raise ConfigError(f"cannot write the TLS key {key}: {error}") from error


async def _make_self_signed(certificate: Path, key: Path) -> None:
    """Write an EC P-256 pair; the key is readable by its owner only."""
    openssl = shutil.which("openssl")
    if openssl is None:
        raise ConfigError(
            "the TLS listener needs a certificate, and there is no openssl to make "
            "one: install openssl, set sip.tls_certificate and sip.tls_key, or take "
            "tls out of sip.transports"
        )
    names = f"subjectAltName=DNS:localhost,DNS:{socket.gethostname()},IP:127.0.0.1"
    _prepare_private_file(key)
    process = await asyncio.create_subprocess_exec(
        *(openssl, "req", "-x509", "-newkey", "ec"),
        *("-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-keyout", str(key), "-out", str(certificate)),
        *("-days", str(_VALID_DAYS), "-subj", "/CN=exotel-emulator"),
        *("-addext", names),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_OPENSSL_TIMEOUT_S):
            _, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise ConfigError("openssl did not make a TLS certificate in time") from None
    if process.returncode:
        lines = errors.decode(errors="replace").strip().splitlines() or ["no reason"]
        raise ConfigError(f"openssl made no TLS certificate: {lines[-1]}")
