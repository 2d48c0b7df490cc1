"""The whole tree of settings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from emulator.config.faults import FaultsSettings
from emulator.config.flows import (
    FlowSettings,
    PassthruSettings,
    QuirkSettings,
    WebhookSettings,
)
from emulator.config.parties import (
    AccountSettings,
    NumberSettings,
    SubscriberSettings,
    TrunkSettings,
    UserSettings,
    default_numbers,
    default_users,
)
from emulator.config.section import Section, by_default
from emulator.config.sections import (
    CallSettings,
    HttpSettings,
    LogSettings,
    MediaSettings,
    RecordingSettings,
    SpeechSettings,
)
from emulator.config.sip import SipSettings
from emulator.config.stream import StreamSettings


class Settings(Section):
    """The whole tree."""

    profile: Literal["observed", "documented"] = Field(
        "observed", description="observed: as captured; documented: as the manual says."
    )
    data_dir: str = Field(".emulator", description="Speech cache and recordings.")
    account: AccountSettings = by_default()
    numbers: tuple[NumberSettings, ...] = Field(default_factory=default_numbers)
    users: tuple[UserSettings, ...] = Field(default_factory=default_users)
    trunks: tuple[TrunkSettings, ...] = ()
    subscribers: tuple[SubscriberSettings, ...] = ()
    sip: SipSettings = by_default()
    media: MediaSettings = by_default()
    recordings: RecordingSettings = by_default()
    stream: StreamSettings = by_default()
    calls: CallSettings = by_default()
    flow: FlowSettings = by_default()
    passthru: PassthruSettings = by_default()
    webhooks: WebhookSettings = by_default()
    quirks: QuirkSettings = by_default()
    speech: SpeechSettings = by_default()
    faults: FaultsSettings = by_default()
    http: HttpSettings = by_default()
    logs: LogSettings = by_default()
