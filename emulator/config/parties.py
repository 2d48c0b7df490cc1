"""Who there is: the account, its numbers, people and trunks."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from emulator.config.section import Network, Section, TelephoneNumber

# What a trunk is called at; names are looked up when it is called.
_DESTINATION = re.compile(
    r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?:;transport=(?:udp|tcp|tls))?"
)


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

    number: TelephoneNumber = Field(description="Any spelling: 0…, 91…, +91….")
    flow: str = Field(description="Name of the flow that answers.")
    voip: bool = Field(
        True, description="A VoIP ExoPhone: custom SIP headers reach the bot."
    )


class UserSettings(Section):
    """A person with a SIP phone."""

    name: str = Field(description="SIP user name.")
    password: SecretStr = Field(description="SIP password.")
    number: TelephoneNumber | None = Field(
        None, description="The person's own telephone number."
    )
    srtp: bool = Field(False, description="Calls to the person's phones offer SRTP.")


class TrunkNumberSettings(Section):
    """A number that is mapped to a trunk."""

    number: TelephoneNumber = Field(description="An ExoPhone, any spelling.")
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
    destination_credentials: TrunkCredentialSettings | None = Field(
        None,
        description="Answers a 401 or 407 of a destination; unset: the first of "
        "credentials (assumed).",
    )
    external_alias: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9+_.-]{1,64}$",
        description="Called instead of the ExoPhone at destinations that are names.",
    )
    destinations: tuple[str, ...] = Field(
        (), description="host:port;transport=… to call, tried in order."
    )
    srtp: bool = Field(
        False, description="Calls to the trunk offer SRTP; the platform does over TLS."
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


class SubscriberSettings(Section):
    """A simulated person: a number that answers without a phone."""

    number: TelephoneNumber = Field(description="The number, any spelling.")
    answers_after_s: float = Field(
        1.0, ge=0, le=600, description="Ring time before the answer."
    )
    busy: bool = Field(False, description="Is busy: 486.")
    rejects: bool = Field(
        False, description="Rings for answers_after_s, then declines: 603."
    )
    no_answer: bool = Field(False, description="Rings for ever.")
    plays: str | None = Field(
        None, description="WAV or MP3 file that is heard after the answer."
    )
    presses: str = Field(
        "",
        pattern=r"^[0-9A-Da-d*#]{0,64}$",
        description="Keys that are pressed after the answer.",
    )
    hangs_up_after_s: float | None = Field(
        None, gt=0, description="Seconds after the answer; unset: never."
    )

    @model_validator(mode="after")
    def _does_one_thing(self) -> SubscriberSettings:
        moods = [
            name for name in ("busy", "rejects", "no_answer") if getattr(self, name)
        ]
        if len(moods) > 1:
            raise ValueError(f"cannot be {' and '.join(moods)} at once")
        if self.plays is not None and not Path(self.plays).is_file():
            raise ValueError(f"plays: there is no file {self.plays}")
        return self


def default_numbers() -> tuple[NumberSettings, ...]:
    return (
        NumberSettings(number="08010000001", flow="voicebot", voip=True),
        NumberSettings(number="08010000002", flow="echo", voip=True),
        NumberSettings(number="08010000003", flow="agent_assist", voip=True),
        NumberSettings(number="08010000004", flow="ivr", voip=True),
        NumberSettings(number="08010000005", flow="handover", voip=True),
    )


def default_users() -> tuple[UserSettings, ...]:
    return (
        UserSettings(name="alice", password=SecretStr("alice"), number="09900000001"),
        UserSettings(name="bob", password=SecretStr("bob"), number="09900000002"),
    )
