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
from emulator.config.section import Section
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
    account: AccountSettings = AccountSettings()
    numbers: tuple[NumberSettings, ...] = Field(default_factory=default_numbers)
    users: tuple[UserSettings, ...] = Field(default_factory=default_users)
    trunks: tuple[TrunkSettings, ...] = ()
    subscribers: tuple[SubscriberSettings, ...] = ()
    sip: SipSettings = SipSettings()
    media: MediaSettings = MediaSettings()
    recordings: RecordingSettings = RecordingSettings()
    stream: StreamSettings = StreamSettings()
    calls: CallSettings = CallSettings()
    flow: FlowSettings = FlowSettings()
    passthru: PassthruSettings = PassthruSettings()
    webhooks: WebhookSettings = WebhookSettings()
    quirks: QuirkSettings = QuirkSettings()
    speech: SpeechSettings = SpeechSettings()
    faults: FaultsSettings = FaultsSettings()
    http: HttpSettings = HttpSettings()
    logs: LogSettings = LogSettings()
