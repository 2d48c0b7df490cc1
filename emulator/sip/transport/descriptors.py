"""Open files: how many the system allows, and how many connections that leaves."""

from __future__ import annotations

import resource
from typing import Final

# No process here needs more; some systems say "unlimited" and refuse it.
_MOST_WANTED: Final = 65_536
# What is not a SIP connection: HTTP, links to media workers, webhooks, recordings.
_SHARE: Final = 2


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard one; return what it is now.

    Child processes inherit it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_WANTED
    if hard != resource.RLIM_INFINITY:
        wanted = min(hard, wanted)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft if soft != resource.RLIM_INFINITY else _MOST_WANTED
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        return soft
    return wanted


def affordable_connections(wanted: int, descriptors: int) -> int:
    """Return how many SIP connections may be open: half of the files at most."""
    return max(1, min(wanted, descriptors // _SHARE))
