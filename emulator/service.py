"""Composition root: builds every room from the settings, runs it, ends it in order.

The media workers are spawned first, because their start and our own heavy imports can
run side by side; what is heavy loads inside the functions that need it. The order makes
the difference between 0.6 s and 1.2 s to ready.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.bus import Bus
from emulator.clock import SystemClock
from emulator.errors import ConfigError, Problem
from emulator.events import JsonValue
from emulator.ids import IdSource
from emulator.worker.host import WorkerPool

if TYPE_CHECKING:
    import socket

    from emulator.api.server import HttpServer
    from emulator.calls.captures import Captures
    from emulator.calls.manager import CallManager
    from emulator.calls.outbox import Outbox
    from emulator.calls.recordings import Recordings
    from emulator.config import LoadedSettings, Settings
    from emulator.faults import FaultBook
    from emulator.flow.catalogue import FlowCatalogue, FlowFile
    from emulator.sip.address import Transport
    from emulator.sip.endpoint import SipEndpoint
    from emulator.sip.session import IncomingInvite
    from emulator.sip.trace import SipTrace
    from emulator.sip.transport.sockets import BoundListener
    from emulator.speech.cache import SpeechCache
    from emulator.worker.messages import Report

logger = logging.getLogger("emulator.service")

# Knobs of the stream that the playout obeys, not the WebSocket client.
ENGINE_STREAM_KNOBS = (
    "clear_granularity",
    "mark_on_clear",
    "on_bot_close",
    "max_queued_s",
    "one_way_audio",
)
SIP_REALM = "exotel-emulator"
DEFAULT_CONFIG = Path("config/emulator.yaml")


@dataclass(frozen=True)
class ServeOptions:
    """What the command line knows.

    Attributes:
        config: Settings file; None takes ``config/emulator.yaml`` if there is one.
        options: Dotted setting to (option as typed, value).
        env: The process environment.
    """

    config: Path | None = None
    options: Mapping[str, tuple[str, JsonValue]] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)


def read_settings(options: ServeOptions) -> LoadedSettings:
    """Load the settings from every source.

    Raises:
        ConfigError: Lists every problem.
    """
    from emulator.config import load_settings

    path = options.config
    if path is None and DEFAULT_CONFIG.exists():
        path = DEFAULT_CONFIG
    try:
        text = path.read_text(encoding="utf-8") if path else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the settings cannot be read: {error}") from error
    return load_settings(
        file=str(path) if path else None,
        text=text,
        env=options.env,
        options=options.options,
    )


def find_flow_files(paths: list[Path]) -> list[FlowFile]:
    """Read flow files, and those of directories in the order of their names.

    Raises:
        ConfigError: A directory holds no flow. A file that cannot be read is a problem
            of the check, as any other.
    """
    from emulator.flow.catalogue import FlowFile
    from emulator.flow.fields import FlowPlace

    found: list[FlowFile] = []
    for path in paths:
        files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
        if not files:
            raise ConfigError(f"{path}: no *.yaml flow in this directory")
        for file in files:
            text, problem = _read_text(file)
            place = FlowPlace(str(file.parent), os.path.isfile)
            found.append(FlowFile(str(file), text, place, problem))
    return found


def _read_text(file: Path) -> tuple[str, Problem | None]:
    """Return what the file holds, or why it cannot be read."""
    try:
        return file.read_text(encoding="utf-8"), None
    except UnicodeDecodeError as error:
        before = bytes(error.object[: error.start])
        line, column = before.count(b"\n") + 1, len(before.rpartition(b"\n")[2]) + 1
        return "", Problem(str(file), line, column, "", "is no UTF-8 text")
    except OSError as error:
        return "", Problem(str(file), 1, 1, "", f"cannot be read: {error.strerror}")


def engine_options(settings: Settings) -> dict[str, JsonValue]:
    """Return what the media engine is told: ``worker.surroundings.EngineOptions``."""
    stream = settings.stream.options()
    return {
        "rtp_timeout_s": settings.sip.rtp_timeout_s,
        "inband_dtmf": settings.media.inband_dtmf,
        "jitter_buffer_ms": settings.media.jitter_buffer_ms,
        **{name: stream[name] for name in ENGINE_STREAM_KNOBS},
    }


class Service:
    """One emulator: ``start``, use, ``stop``."""

    def __init__(self, options: ServeOptions) -> None:
        self._options = options
        self._clock = SystemClock()
        self._stack = AsyncExitStack()
        self._is_draining = False
        self._descriptors = 0
        self._listeners: tuple[BoundListener, ...] = ()
        self.pool = WorkerPool(
            clock=self._clock, on_report=self._on_report, on_lost=self._on_lost
        )
        self._loaded: LoadedSettings
        self.settings: Settings
        self.flows: FlowCatalogue
        self.warnings: tuple[str, ...] = ()
        self.calls: CallManager
        self.http: HttpServer
        self.endpoint: SipEndpoint
        self.speech: SpeechCache
        self.recordings: Recordings
        self.captures: Captures
        self.faults: FaultBook
        self.outbox: Outbox
        self.token: str | None = None

    @property
    def listeners(self) -> tuple[BoundListener, ...]:
        """The open SIP listeners."""
        return self._listeners

    async def start(self) -> None:
        """Come up; return when calls can be taken.

        Raises:
            ConfigError: Settings, flows or ports are not usable.
        """
        from emulator.sip.transport.descriptors import raise_descriptor_limit

        # Before the workers are there: they inherit it.
        self._descriptors = raise_descriptor_limit()
        try:
            self._stack.push_async_callback(self.pool.close)
            await self.pool.spawn()
            self._read_files()
            http_socket = self._bind_http()
            self._configure_pool()
            self._build_endpoint()
            self._build_calls(http_socket)
            await self._start_http(http_socket)
            await self.pool.ready()
            await self._start_sip()
        except BaseException:
            await self._stack.aclose()
            raise

    async def stop(self) -> int:
        """End calls, then listeners, then workers; return how many calls were cut.

        Bots get ``stop``, callers a BYE; what lasts beyond
        ``calls.shutdown_deadline_s`` is cut.
        """
        self._is_draining = True
        deadline_s = self.settings.calls.shutdown_deadline_s
        self.endpoint.stop_accepting()
        cut = await self.calls.drain(deadline_s)
        await self.pool.drain(deadline_s)
        await self._stack.aclose()
        return cut

    def readiness(self) -> Mapping[str, bool]:
        """Return each condition of taking calls."""
        return {
            "sip": bool(self._listeners),
            "flows": len(self.flows) > 0,
            "workers": self.pool.all_alive,
            "accepting": not self._is_draining,
        }

    # Building, in the order of ``start``.

    def _read_files(self) -> None:
        from emulator.logs import set_up_logging

        self._loaded = read_settings(self._options)
        self.settings = self._loaded.settings
        set_up_logging(self.settings.logs.level, self.settings.logs.format)
        self.flows, traps = self._load_flows()
        self.warnings = tuple(map(str, traps))
        self._check_numbers(self.flows)

    def _load_flows(self) -> tuple[FlowCatalogue, tuple[Problem, ...]]:
        from emulator.calls.flow_facts import stream_url_rules
        from emulator.calls.verbs.registry import CAPABILITIES
        from emulator.flow.catalogue import load_catalogue
        from emulator.flow.loader import LoadRules

        limits = stream_url_rules(self.settings)
        files = find_flow_files([Path(self.settings.flow.directory)])
        return load_catalogue(files, LoadRules(CAPABILITIES, self._options.env, limits))

    def _check_numbers(self, flows: FlowCatalogue) -> None:
        from emulator.documents import did_you_mean

        names = [flow.flow for flow in flows]
        unknown = tuple(
            self._loaded.problem(
                ("numbers", index, "flow"),
                f"number {number.number} wants flow {number.flow!r}"
                f"{did_you_mean(number.flow, names)}",
            )
            for index, number in enumerate(self.settings.numbers)
            if number.flow not in names
        )
        if unknown:
            raise ConfigError(
                f"{self.settings.flow.directory} has {', '.join(names)} "
                "(settings numbers, flow.directory)",
                unknown,
            )

    def _bind_http(self) -> socket.socket:
        from emulator.api.server import bind_http

        sock = bind_http(self.settings.http.bind, self.settings.http.port)
        self._stack.callback(sock.close)
        return sock

    def _configure_pool(self) -> None:
        media = self.settings.media
        self.pool.configure(
            workers=media.workers,
            bind_ip=media.bind,
            rtp_port_min=media.rtp_range[0],
            rtp_port_max=media.rtp_range[1],
            options=engine_options(self.settings),
        )

    def _build_calls(self, http_socket: socket.socket) -> None:
        from emulator.calls.audio_urls import AudioUrls
        from emulator.calls.captures import Captures
        from emulator.calls.doorkeeper import Doorkeeper
        from emulator.calls.manager import CallManager
        from emulator.calls.outbox import Outbox
        from emulator.calls.recordings import Recordings
        from emulator.calls.services import CallServices
        from emulator.calls.streams import StreamLimit
        from emulator.calls.webhooks import Webhooks
        from emulator.config.telephone import canonical
        from emulator.faults import FaultBook
        from emulator.speech.cache import SpeechCache

        bus: Bus[str] = Bus()
        self.faults = FaultBook(canonical)
        asked = self.settings.faults
        self.faults.replace(asked.as_rules(), asked.seed)
        data = Path(self.settings.data_dir)
        self.speech = SpeechCache(data / "speech", self.settings.speech.voice)
        webhooks = Webhooks(self.settings.webhooks)
        self._stack.push_async_callback(webhooks.close)
        self.outbox = Outbox(self.settings.flow.outbox_max_messages)
        self.captures = Captures(data, self.settings.media)
        self.captures.clean()
        self._stack.callback(self.captures.close)
        self.recordings = Recordings(
            data,
            self.settings.account.sid,
            self.settings.recordings,
            own_url=self._own_url(http_socket),
        )
        services = CallServices(
            settings=self.settings,
            clock=self._clock,
            ids=IdSource(sid_style=self.settings.stream.sid_style),
            workers=self.pool,
            speech=self.speech,
            phone=self.endpoint,
            streams=StreamLimit(self.settings.stream.max_streams),
            faults=self.faults,
            recordings=self.recordings,
            captures=self.captures,
            announce=bus.publish,
            webhooks=webhooks,
            audio_urls=AudioUrls(webhooks, data / "audio", self.settings),
            outbox=self.outbox,
        )
        doorkeeper = Doorkeeper(
            self.settings, self._clock, IdSource(), SIP_REALM, self._registered_at
        )
        self.calls = CallManager(services, self.flows, doorkeeper, bus)
        self._begin_rendering()
        self._stack.push_async_callback(self._end_rendering)

    async def reload_flows(self) -> tuple[Problem, ...]:
        """Read the flows again, for the calls from now on; return the traps found.

        Raises:
            ConfigError: With every problem; the flows stay as they were.
        """
        flows, traps = await asyncio.to_thread(self._load_flows)
        self._check_numbers(flows)
        self.flows = self.calls.flows = flows
        await self._end_rendering()
        self._begin_rendering()
        return traps

    def _begin_rendering(self) -> None:
        self._rendering = asyncio.create_task(self._render_speech(), name="speech")

    async def _end_rendering(self) -> None:
        self._rendering.cancel()
        await asyncio.gather(self._rendering, return_exceptions=True)

    def _own_url(self, http_socket: socket.socket) -> str:
        """Return where this machine reaches the HTTP listener."""
        ip, port = http_socket.getsockname()[:2]
        if ipaddress.ip_address(ip).is_unspecified:
            ip = "::1" if ":" in ip else "127.0.0.1"
        return f"http://[{ip}]:{port}" if ":" in ip else f"http://{ip}:{port}"

    async def _render_speech(self) -> None:
        """Speak the flows' texts beforehand; a call waits only for what is missing."""
        renderings = await self.speech.render(self.flows.texts())
        errors = {entry.error for entry in renderings.values() if entry.path is None}
        for error in errors:
            logger.warning("no speech, two-tone prompts instead: %s", error)

    def _build_endpoint(self) -> None:
        from emulator.calls.endpoint_options import endpoint_options
        from emulator.sip.endpoint import SipEndpoint

        options = endpoint_options(
            self.settings, self._transports(), SIP_REALM, self._descriptors
        )
        wanted = self.settings.sip.limits.max_connections
        if (most := options.limits.max_connections) < wanted:
            warning = (
                f"ulimit -n allows {self._descriptors} open files: {most} SIP "
                f"connections at most, not {wanted} (sip.limits.max_connections)"
            )
            self.warnings += (warning,)
        self.endpoint = SipEndpoint(
            options,
            self._clock,
            IdSource(),
            on_invite=self._on_invite,
            observe=self._on_trace,
        )

    async def _start_sip(self) -> None:
        self._listeners = await self.endpoint.start()
        deadline_s = self.settings.calls.shutdown_deadline_s
        self._stack.push_async_callback(self.endpoint.stop, deadline_s)

    def _transports(self) -> tuple[Transport, ...]:
        """Leave TLS out where no certificate can be had, rather than not start."""
        sip = self.settings.sip
        if (
            sip.tls_certificate
            or "tls" not in sip.transports
            or shutil.which("openssl")
        ):
            return sip.transports
        self.warnings += ("no TLS: openssl is needed once to make its certificate",)
        return tuple(name for name in sip.transports if name != "tls")

    def _registered_at(self, ip: str) -> str | None:
        """Return the user who has registered from an address."""
        for user in self.settings.users:
            for binding in self.endpoint.bindings(user.name):
                if binding.target.host == ip:
                    return user.name
        return None

    async def _start_http(self, sock: socket.socket) -> None:
        from emulator.api.loading import load_fastapi

        load_fastapi()
        from emulator.api.app import create_app
        from emulator.api.connections import limits_of
        from emulator.api.control import ControlContext
        from emulator.api.flows import FlowContext
        from emulator.api.recordings import access_of, recordings_router
        from emulator.api.server import HttpServer
        from emulator.diagnostics import take_diagnostics

        self.token = self._control_token()
        diagnose = partial(take_diagnostics, self.endpoint, self.calls, self.pool)
        flows = FlowContext(lambda: self.flows, self.reload_flows, self.outbox)
        context = ControlContext(
            self.calls,
            self.readiness,
            self.token,
            diagnose,
            self.faults,
            flows,
            self.captures,
        )
        recordings = recordings_router(self.recordings, access_of(self.settings))
        app = create_app(context, recordings)
        self.http = HttpServer(app, sock, limits_of(self.settings.http))
        await self.http.start()
        self._stack.push_async_callback(self.http.stop)

    def _control_token(self) -> str | None:
        """Return the control API's token; a loopback listener needs none."""
        given = self.settings.http.token
        if given is not None:
            return given.get_secret_value()
        if ipaddress.ip_address(self.settings.http.bind).is_loopback:
            return None
        return secrets.token_urlsafe(16)

    # What the rooms tell.

    def _on_invite(self, invite: IncomingInvite) -> None:
        self.calls.on_invite(invite)

    def _on_trace(self, trace: SipTrace) -> None:
        self.calls.on_trace(trace)

    def _on_report(self, report: Report) -> None:
        self.calls.on_report(report)

    def _on_lost(self, worker: int, reason: str, leg_ids: frozenset[str]) -> None:
        self.calls.on_worker_lost(worker, reason, leg_ids)
