"""Digits kept off the timeline while a stream with ``encrypt_dtmf`` runs.

What *Encrypt DTMF* changes on the platform is not described (streaming spec §6): this
keeps the keys out of what people can read later. The bot still gets them.
"""

from __future__ import annotations

from emulator.events import Event

HIDDEN = "hidden"


def without_digits(event: Event) -> Event:
    """Return the event with no key in it."""
    if event.kind == "digit":
        return event._replace(data={**event.data, "digit": HIDDEN})
    if event.kind == "sip.received" and str(event.data["summary"]).startswith("INFO"):
        head, blank, _ = str(event.data["text"]).partition("\n\n")
        return event._replace(data={**event.data, "text": f"{head}{blank}({HIDDEN})"})
    return event
