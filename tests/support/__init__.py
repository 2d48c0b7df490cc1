"""Fixtures of whole processes: the emulator, bots, SIPp and baresip."""
