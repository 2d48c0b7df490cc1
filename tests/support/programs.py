"""Other people's programs: where they are, or a skip that says what did not run."""

from __future__ import annotations

import shutil

import pytest

PACKAGES = {
    "sipp": "sip-tester",
    "baresip": "baresip-core",
    "linphonec": "linphone-cli",
    "kamailio": "kamailio",
    "openssl": "openssl",
    "tshark": "tshark",
}


def find(program: str) -> str:
    """Return the path of a program; skip the test loudly where it is missing."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(
            f"{program} is not installed: this test did NOT run "
            f"(apt-get install {PACKAGES[program]})"
        )
    return path
