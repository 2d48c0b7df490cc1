"""Properties are judged by what they say, not by how long an example takes."""

from __future__ import annotations

from hypothesis import settings

# Hypothesis' own limit is 200 ms of real time for each example: one that a busy machine
# interrupts fails, and is called flaky then. Where time is the claim, a test takes it.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
