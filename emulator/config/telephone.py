"""Telephone numbers: one ExoPhone, many spellings.

Indian numbers have ten national digits, written after ``0``, ``91`` or ``+91``, or
alone. Anything else is compared digit by digit.
"""

from __future__ import annotations

import re

_WITHOUT_SEPARATORS = str.maketrans("", "", "-.() ")
_NUMBER = re.compile(r"\+?[0-9]{3,15}")
_NATIONAL_DIGITS = 10
_INDIAN_PREFIXES = frozenset({"", "0", "91", "+91", "0091"})


def is_number(text: str) -> bool:
    """Tell whether ``text`` is a telephone number once separators are gone."""
    return _NUMBER.fullmatch(strip_separators(text)) is not None


def strip_separators(text: str) -> str:
    """Return ``text`` without RFC 3966's visual separators ``-.()`` and blanks."""
    return text.translate(_WITHOUT_SEPARATORS)


def canonical(text: str) -> str:
    """Return the form under which spellings of one number compare equal.

    E.164 with ``+91`` for an Indian number of ten national digits, else the digits as
    they are.
    """
    digits = strip_separators(text)
    prefix, national = digits[:-_NATIONAL_DIGITS], digits[-_NATIONAL_DIGITS:]
    if len(national) == _NATIONAL_DIGITS and prefix in _INDIAN_PREFIXES:
        return f"+91{national}"
    return digits


def is_e164(text: str) -> bool:
    """Tell whether ``text`` is spelt ``+`` and country code, as the platform asks."""
    return text.startswith("+")


def local_format(text: str) -> str:
    """Return ``0`` and the national digits: how the platform writes Indian numbers."""
    number = canonical(text)
    return f"0{number[3:]}" if number.startswith("+91") else number
