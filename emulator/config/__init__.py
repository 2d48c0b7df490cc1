"""Settings: one frozen tree, loaded once, each field with its unit and reason.

Sources, later wins: defaults, the YAML file, ``EXOTEL_EMULATOR_…`` variables (``__``
nests), command-line options. Only ``service`` and the command line load them; every
room receives its own part as a plain value.
"""

from emulator.config.faults import FaultsSettings
from emulator.config.flows import (
    FlowSettings,
    PassthruSettings,
    QuirkSettings,
    WebhookSettings,
)
from emulator.config.loading import (
    ENV_PREFIX,
    EXPORTED_VARIABLES,
    PROFILES,
    LoadedSettings,
    load_settings,
)
from emulator.config.parties import (
    AccountSettings,
    NumberSettings,
    SubscriberSettings,
    TrunkCredentialSettings,
    TrunkNumberSettings,
    TrunkSettings,
    UserSettings,
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
from emulator.config.sip import RESERVED_HEADER_PREFIXES, SipSettings
from emulator.config.stream import StreamSettings
from emulator.config.tree import Settings

__all__ = [
    "ENV_PREFIX",
    "EXPORTED_VARIABLES",
    "PROFILES",
    "RESERVED_HEADER_PREFIXES",
    "AccountSettings",
    "CallSettings",
    "FaultsSettings",
    "FlowSettings",
    "HttpSettings",
    "LoadedSettings",
    "LogSettings",
    "MediaSettings",
    "NumberSettings",
    "PassthruSettings",
    "QuirkSettings",
    "RecordingSettings",
    "Section",
    "Settings",
    "SipSettings",
    "SpeechSettings",
    "StreamSettings",
    "SubscriberSettings",
    "TrunkCredentialSettings",
    "TrunkNumberSettings",
    "TrunkSettings",
    "UserSettings",
    "WebhookSettings",
    "load_settings",
]
