"""The flow document.

A file holds one flow:

```yaml
flow: voicebot            # the name that numbers and other flows refer to
app_id: "1001"            # the platform's id of the flow, digits in quotes
start: greet              # the first applet
applets:                  # node name: applet
  greet: {type: greeting, text: "Hello.", next: bot}
  bot:   {type: voicebot, url: "wss://bot.example/media", next: bye}
  bye:   {type: hangup}
```

An applet's ``type`` chooses its fields: the models in ``emulator.flow.applets``. A
field such as ``next`` is an *exit*: it names another node, or is left out. Digits and
telephone numbers are text; ``${VAR}`` and ``${VAR:-default}`` are taken from the
environment. JSON Schema: ``exotel-emulator flow schema``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field

from emulator.flow.applet import Applet
from emulator.flow.applets.connect import Connect
from emulator.flow.applets.email import Email
from emulator.flow.applets.gather import Gather
from emulator.flow.applets.greeting import Greeting
from emulator.flow.applets.hangup import HangupApplet
from emulator.flow.applets.ivr import IvrMenu
from emulator.flow.applets.passthru import Passthru
from emulator.flow.applets.sms import Sms
from emulator.flow.applets.stream import Stream
from emulator.flow.applets.switch import Switch
from emulator.flow.applets.timing import Timing
from emulator.flow.applets.transfer import Transfer
from emulator.flow.applets.voicebot import Voicebot
from emulator.flow.applets.voicemail import Voicemail
from emulator.flow.fields import AppId, FlowName, NodeName
from emulator.flow.ports import Capability

# A flow that needs more is written by a machine; the picture would be no help.
MAX_APPLETS = 500

AnyApplet: TypeAlias = (
    Greeting | Voicebot | Stream | Passthru | Connect | Gather | IvrMenu | Switch
    | Timing | Transfer | Voicemail | Sms | Email | HangupApplet
)  # fmt: skip

APPLETS: dict[str, type[Applet]] = {
    get_args(kind.model_fields["type"].annotation)[0]: kind
    for kind in get_args(AnyApplet)
}


class FlowHead(BaseModel):
    """A flow file but for its applets."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    flow: FlowName
    app_id: AppId
    start: NodeName
    applets: Annotated[dict[NodeName, Any], Field(min_length=1, max_length=MAX_APPLETS)]


class Flow(FlowHead):
    """A flow; those that ``loader`` returns have no exit that leads nowhere."""

    applets: Annotated[
        dict[NodeName, Annotated[AnyApplet, Field(discriminator="type")]],
        Field(min_length=1, max_length=MAX_APPLETS),
    ]

    def texts(self) -> Iterator[str]:
        """Yield every text that this flow will speak."""
        for applet in self.applets.values():
            yield from applet.texts()

    def asks_servers(self) -> bool:
        """Tell whether an applet of this flow asks a customer's server."""
        asking = {Capability.FETCH, Capability.AUDIO_URL}
        applets = self.applets.values()
        return any(need.capability in asking for a in applets for need in a.needs())
