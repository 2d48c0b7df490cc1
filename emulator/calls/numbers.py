"""Telephone numbers, as the settings read them too."""

from emulator.config.telephone import (
    canonical,
    is_e164,
    is_number,
    local_format,
    strip_separators,
)

__all__ = ["canonical", "is_e164", "is_number", "local_format", "strip_separators"]
