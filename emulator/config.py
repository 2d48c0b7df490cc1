"""Settings: one frozen tree, loaded once, each field with its unit and reason.

Sources, later wins: defaults, the YAML file, ``EXOTEL_EMULATOR_…`` variables (``__``
nests), command-line options. Only ``service`` and the command line load them; every
room receives its own part as a plain value.
"""

from __future__ import annotations

import copy
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    create_model,
    field_validator,
)

from emulator.documents import Document, load_document, validate
from emulator.errors import ConfigError, Problem
from emulator.events import JsonValue
from emulator.stream_options import PROFILES as STREAM_PROFILES
from emulator.stream_options import Knob, StreamOptions, knobs

ENV_PREFIX = "EXOTEL_EMULATOR_"
# Variables that the emulator hands to others; they are no settings.
EXPORTED_VARIABLES = frozenset({"EXOTEL_EMULATOR_URL", "EXOTEL_EMULATOR_TOKEN"})

Port = Annotated[int, Field(ge=1, le=65535)]
# Tests and demos let the system choose; a phone wants a fixed port.
ListenPort = Annotated[int, Field(ge=0, le=65535)]
Network = str


# Only the platform sets such headers; two spellings of its guides (decisions).
RESERVED_HEADER_PREFIXES = (
    "x-exotel-", "x-veeno-", "x-veen-", "exotel-", "veeno-", "veen-",
)  # fmt: skip


# What a trunk is called at; names are looked up when it is called.
_DESTINATION = re.compile(
    r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?:;transport=(?:udp|tcp|tls))?"
)


class Section(BaseModel):
    """A frozen part of the tree that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class AccountSettings(Section):
    """The one account that the emulator plays."""

    sid: str = Field("exotel1", description="Account SID.")
    region: Literal["mumbai", "singapore"] = Field(
        "mumbai", description="Trunks behind flows exist in mumbai only."
    )
    api_key: str = Field("emulator", description="API key: Basic user name.")
    api_token: SecretStr = Field(
        SecretStr("emulator"), description="API token: Basic password."
    )


class NumberSettings(Section):
    """One ExoPhone and the flow that answers it."""

    number: str = Field(description="Any spelling: 0…, 91…, +91….")
    flow: str = Field(description="Name of the flow that answers.")
    voip: bool = Field(
        True, description="A VoIP ExoPhone: custom SIP headers reach the bot."
    )


class UserSettings(Section):
    """A person with a SIP phone."""

    name: str = Field(description="SIP user name.")
    password: SecretStr = Field(description="SIP password.")
    number: str | None = Field(None, description="The person's own telephone number.")


class TrunkNumberSettings(Section):
    """A number that is mapped to a trunk."""

    number: str = Field(description="An ExoPhone, any spelling.")
    mode: Literal["flow", "pstn"] = Field(
        "pstn",
        description="flow: a call to it runs its flow; pstn: a call from it reaches "
        "people and other trunks.",
    )


class TrunkCredentialSettings(Section):
    """A digest user of a trunk."""

    user_name: str = Field(description="Digest user name.")
    password: SecretStr = Field(description="Digest password.")


class TrunkSettings(Section):
    """A SIP trunk: a PBX or a voice platform that calls in and is called."""

    name: str = Field(description="Trunk name; dialled as sip:<name>, with a note.")
    sid: str = Field(description="Trunk SID, trmum1…; dialled as sip:<sid>.")
    whitelisted_ips: tuple[Network, ...] = Field(
        (), description="Addresses or networks that may call."
    )
    numbers: tuple[TrunkNumberSettings, ...] = Field(
        (), description="Numbers of the trunk; empty: it may call every ExoPhone."
    )
    credentials: tuple[TrunkCredentialSettings, ...] = Field(
        (), description="With any, calls of the trunk are challenged (401)."
    )
    destinations: tuple[str, ...] = Field(
        (), description="host:port;transport=… to call, tried in order."
    )
    calls_per_minute: int = Field(
        200, ge=1, description="More calls of the trunk get 503."
    )

    @field_validator("destinations")
    @classmethod
    def _are_destinations(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            match = _DESTINATION.fullmatch(value)
            if match is None or int(match["port"] or 1) not in range(1, 65536):
                raise ValueError(f"{value!r} is no host:port;transport=udp, tcp or tls")
        return values

    @field_validator("whitelisted_ips")
    @classmethod
    def _are_networks(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            ipaddress.ip_network(value, strict=False)
        return values


class SipSettings(Section):
    """The SIP side."""

    bind: str = Field("127.0.0.1", description="Address of the SIP listeners.")
    port: ListenPort = Field(5060, description="UDP and TCP port.")
    tls_port: ListenPort = Field(5061, description="TLS port.")
    transports: tuple[Literal["udp", "tcp", "tls"], ...] = Field(
        ("udp", "tcp", "tls"), min_length=1, description="Which transports listen."
    )
    strict_transport: bool = Field(
        False, description="403 to calls over UDP, which the trunk manuals exclude."
    )
    tls_certificate: str | None = Field(
        None, description="PEM file; unset: a self-signed one is made at first start."
    )
    tls_key: str | None = Field(None, description="PEM file of the certificate's key.")
    advertise_address: str | None = Field(
        None,
        description="Address to put in Contact and SDP for peers beyond a NAT; "
        "unset: the one that the peer dialled.",
    )
    digest_algorithms: tuple[Literal["SHA-256", "MD5"], ...] = Field(
        ("MD5",),
        min_length=1,
        description="Challenged with, stronger first; older phones, baresip 1.0 among "
        "them, give up when SHA-256 is offered at all. Answers with either are taken.",
    )
    rtp_timeout_s: float = Field(
        30.0, gt=0, description="A call without RTP for so long is ended."
    )
    custom_headers: tuple[str, ...] = Field(
        ("X-UUI", "X-Custom-Header", "X-Custom-Headers"),
        description="INVITE headers that the bot sees, without X-.",
    )
    custom_header_max_bytes: int = Field(
        45, gt=0, description="A longer custom header value is dropped, with a note."
    )
    require_account_header: bool = Field(
        False, description="403 to an INVITE without X-Exotel-AccountSid."
    )
    require_account_domain: bool = Field(
        False, description="403 unless From's host is {account}.pstn.exotel.com."
    )
    require_e164: bool = Field(
        False, description="484 to every dialled number that is not E.164."
    )

    @field_validator("custom_headers")
    @classmethod
    def _are_not_reserved(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name.lower().startswith(RESERVED_HEADER_PREFIXES):
                raise ValueError(f"{name} is reserved for the platform")
        return names


class MediaSettings(Section):
    """The RTP side."""

    bind: str = Field("127.0.0.1", description="Address of the RTP sockets.")
    rtp_port_min: Port = Field(10000, description="First RTP port; even.")
    rtp_port_max: Port = Field(20000, description="Last port of the range.")
    workers: int = Field(1, ge=1, le=64, description="Media worker processes.")
    codecs: tuple[Literal["PCMU", "PCMA"], ...] = Field(
        ("PCMA", "PCMU"), min_length=1, description="Offered and accepted, best first."
    )

    inband_dtmf: bool = Field(
        False, description="Hear digits in the audio of phones without RFC 4733."
    )

    @field_validator("rtp_port_max")
    @classmethod
    def _is_a_range(cls, value: int, info: ValidationInfo) -> int:
        least = info.data.get("rtp_port_min")
        if least is not None and value <= least:
            raise ValueError(f"must be above media.rtp_port_min, {least}")
        return value


def _checked(knob: Knob) -> Callable[[object], object]:
    def check(value: object) -> object:
        if problem := knob.problem(value):
            raise ValueError(problem)
        return value

    return check


def _stream_settings() -> type[Section]:
    """Make the section ``stream`` of the knobs, each described in one place."""
    hints = get_type_hints(StreamOptions)
    defaults = StreamOptions()
    fields: dict[str, Any] = {
        name: (
            Annotated[hints[name], AfterValidator(_checked(knob))],
            Field(getattr(defaults, name), description=knob.why),
        )
        for name, knob in knobs()
    }
    return create_model(
        "StreamSettings",
        __base__=Section,
        __doc__="The WebSocket stream to the bot; defaults: profile ``observed``.",
        **fields,
    )


if TYPE_CHECKING:

    class StreamSettings(Section):
        """The section as far as control itself reads it."""

        media_chunk_ms: int = 20
        close_mode: str = "abrupt"
        custom_params_max: int = 25
        custom_params_max_chars: int = 800

else:
    StreamSettings = _stream_settings()


class CallSettings(Section):
    """Calls and their memory."""

    ring_ms: int = Field(
        300, ge=0, description="Ring time before a flow answers; 0: at once."
    )
    max_concurrent: int = Field(
        1000, ge=1, description="More calls get 503: bounds memory and ports."
    )
    timeline_max_events: int = Field(
        2000, ge=100, description="Events kept per call; the middle goes first."
    )
    keep_ended: int = Field(
        1000, ge=0, description="Ended calls kept in memory for the API."
    )
    shutdown_deadline_s: float = Field(
        5.0, gt=0, description="Calls still up so long after SIGTERM are cut."
    )


class FlowSettings(Section):
    """Flows."""

    directory: str = Field("flows", description="Where the *.yaml flows are.")
    max_steps: int = Field(
        1000, ge=1, description="Applets one call may pass: bounds loops."
    )
    silent_greeting_ms: int = Field(
        1000, ge=0, description="Length of a greeting text without words, as '...'."
    )


class SpeechSettings(Section):
    """Text to speech for Greeting."""

    voice: str = Field("en", description="An eSpeak NG voice.")


class HttpSettings(Section):
    """The HTTP listener: API and page."""

    bind: str = Field("127.0.0.1", description="Address of the HTTP listener.")
    port: ListenPort = Field(8080, description="HTTP port.")
    token: SecretStr | None = Field(
        None,
        description="Bearer token of the control API; needed unless bind is loopback.",
    )


class LogSettings(Section):
    """Logging."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least level that is written."
    )
    format: Literal["console", "json"] = Field(
        "console", description="For people or for machines."
    )


def _default_numbers() -> tuple[NumberSettings, ...]:
    return (
        NumberSettings(number="08010000001", flow="voicebot", voip=True),
        NumberSettings(number="08010000002", flow="echo", voip=True),
    )


def _default_users() -> tuple[UserSettings, ...]:
    return (
        UserSettings(name="alice", password=SecretStr("alice"), number="09900000001"),
        UserSettings(name="bob", password=SecretStr("bob"), number="09900000002"),
    )


class Settings(Section):
    """The whole tree."""

    profile: Literal["observed", "documented"] = Field(
        "observed", description="observed: as captured; documented: as the manual says."
    )
    data_dir: str = Field(".emulator", description="Speech cache and recordings.")
    account: AccountSettings = AccountSettings()
    numbers: tuple[NumberSettings, ...] = Field(default_factory=_default_numbers)
    users: tuple[UserSettings, ...] = Field(default_factory=_default_users)
    trunks: tuple[TrunkSettings, ...] = ()
    sip: SipSettings = SipSettings()
    media: MediaSettings = MediaSettings()
    stream: StreamSettings = StreamSettings()
    calls: CallSettings = CallSettings()
    flow: FlowSettings = FlowSettings()
    speech: SpeechSettings = SpeechSettings()
    http: HttpSettings = HttpSettings()
    logs: LogSettings = LogSettings()


# A profile is a set of knobs; what a user sets beats it (decisions: two profiles).
PROFILES: Mapping[str, Mapping[str, JsonValue]] = {
    name: {f"stream.{knob}": value for knob, value in values.items()}
    for name, values in STREAM_PROFILES.items()
}


@dataclass(frozen=True)
class LoadedSettings:
    """Settings and where each value that is no default came from.

    ``origins`` maps a dotted path to ``file:line``, ``$VARIABLE`` or ``--option``.
    """

    settings: Settings
    origins: Mapping[str, str]


def load_settings(
    *,
    file: str | None,
    text: str,
    env: Mapping[str, str],
    options: Mapping[str, tuple[str, JsonValue]],
) -> LoadedSettings:
    """Merge every source and validate the whole.

    Args:
        file: Name of the YAML file for messages; None when there is none.
        text: Its content.
        env: The process environment.
        options: Dotted path to (option as typed, value).

    Raises:
        ConfigError: Lists every problem with file and line, variable or option.
    """
    document = load_document(file or "defaults", text, env)
    data: Any = copy.deepcopy(document.data) if document.data is not None else {}
    if not isinstance(data, dict):
        raise ConfigError(
            "the settings cannot be used",
            (document.problem((), "a mapping of settings was expected"),),
        )
    origins = {
        ".".join(map(str, path)): f"{document.file}:{line}"
        for path, (line, _) in document.marks.items()
        if path
    }
    overlay = _from_environment(env)
    overlay.update(options)
    for path, (origin, value) in overlay.items():
        _put(data, path.split("."), value)
        origins[path] = origin
    _apply_profile(data, origins)
    merged = replace(document, data=data)
    return LoadedSettings(_validate(merged, overlay), origins)


def _validate(
    document: Document, overlay: Mapping[str, tuple[str, JsonValue]]
) -> Settings:
    try:
        return validate(document, Settings)
    except ConfigError as error:
        raise ConfigError(
            "the settings cannot be used",
            tuple(_blame(problem, document, overlay) for problem in error.problems),
        ) from None


def _blame(
    problem: Problem,
    document: Document,
    overlay: Mapping[str, tuple[str, JsonValue]],
) -> Problem:
    """Name the variable or option when the bad value did not come from the file."""
    from_file = tuple(problem.path.split(".")) in document.marks
    for path, (origin, _) in overlay.items():
        inside = problem.path == path or problem.path.startswith(
            (f"{path}.", f"{path}[")
        )
        around = not from_file and path.startswith(f"{problem.path}.")
        if inside or around:
            return replace(problem, file=origin, line=0, column=0)
    return problem


def _from_environment(env: Mapping[str, str]) -> dict[str, tuple[str, JsonValue]]:
    found: dict[str, tuple[str, JsonValue]] = {}
    for name in sorted(env):
        if not name.startswith(ENV_PREFIX) or name in EXPORTED_VARIABLES:
            continue
        path = name.removeprefix(ENV_PREFIX).lower().replace("__", ".")
        found[path] = (f"${name}", load_document(f"${name}", env[name], {}).data)
    return found


def _apply_profile(data: dict[str, Any], origins: dict[str, str]) -> None:
    profile = str(data.get("profile", "observed"))
    for path, value in PROFILES.get(profile, {}).items():
        section, _, key = path.partition(".")
        if data.get(section) is None:
            data[section] = {}
        if isinstance(data[section], dict) and key not in data[section]:
            data[section][key] = value
            origins[path] = f"profile {profile}"


def _put(data: dict[str, Any], path: list[str], value: JsonValue) -> None:
    for key in path[:-1]:
        child = data.get(key)
        if not isinstance(child, dict):
            child = data[key] = {}
        data = child
    data[path[-1]] = value
