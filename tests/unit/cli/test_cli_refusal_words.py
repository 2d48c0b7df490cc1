"""What ``emulator call`` says of a refusal."""

from __future__ import annotations

from emulator.cli.caller import _why
from emulator.sip.headers import Headers
from emulator.sip.message import Response


def test_the_words_of_the_server_are_shown() -> None:
    headers = Headers([("Warning", '399 exotel-emulator "no user"')])
    assert _why(Response(403, "Forbidden", headers)) == (
        ': 399 exotel-emulator "no user"'
    )
