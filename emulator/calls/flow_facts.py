"""What a flow is told of its call and of the settings, in the flow room's words."""

from __future__ import annotations

import dataclasses

from emulator.config import Settings
from emulator.flow.context import FlowOptions, PassthruOptions, QuirkOptions
from emulator.flow.urls import StreamUrlRules


def flow_options(settings: Settings) -> FlowOptions:
    """Return the engine's knobs out of the settings."""
    flow = settings.flow
    quirks = settings.quirks
    names = [field.name for field in dataclasses.fields(QuirkOptions)]
    return FlowOptions(
        max_steps=flow.max_steps,
        silent_greeting_ms=flow.silent_greeting_ms,
        resolver_timeout_s=flow.resolver_timeout_s,
        passthru=PassthruOptions(**dict(settings.passthru)),
        quirks=QuirkOptions(**{name: getattr(quirks, name) for name in names}),
        stream_url=stream_url_rules(settings),
    )


def stream_url_rules(settings: Settings) -> StreamUrlRules:
    """Return what the settings say about the URLs of bots."""
    stream = settings.stream
    return StreamUrlRules(
        count=stream.custom_params.max,
        chars=stream.custom_params.max_chars,
        accepts_underscore=stream.accept_sample_rate_underscore,
    )
