"""SIPp as a test's peer: scenario files with parts, run to their end.

A scenario in ``tests/data/sipp`` is SIPp's own XML and, besides, may put in a part of
``tests/data/sipp/parts``, as requests are alike but for a few words::

    <include part="request" method="BYE" cseq="2"/>

In a part, ``{{cseq}}`` is the attribute of that name and ``{{branch|[branch]}}`` has a
value of its own for when there is none, which ``cseq=" "`` keeps out; a line that comes
out empty is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.processes import ROOT, Process, free_port

SCENARIOS = ROOT / "tests" / "data" / "sipp"
END_DEADLINE_S = 50.0
# What the emulator of the fixture `at_once` answers: a bot at once; a short silence,
# then it hangs up.
DIRECT = "08010000001"
BRIEF = "08010000002"

_INCLUDE = re.compile(
    r'<include\s+part="(?P<part>\w+)"(?P<attributes>(?:[^">]|"[^"]*")*)/>'
)
_ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')
_PLACE = re.compile(r"\{\{(\w+)(?:\|([^}]*))?\}\}")
_LONE_PLACE = re.compile(r"^[ \t]*\{\{(\w+)\}\}[ \t]*\n", re.MULTILINE)


def scenario_text(name: str) -> str:
    """Return a scenario with its parts put in."""
    return _expand((SCENARIOS / f"{name}.xml").read_text())


def _expand(text: str) -> str:
    return _INCLUDE.sub(_part, text)


def _part(include: re.Match[str]) -> str:
    values = {
        name: _without_blank_lines(value) if "\n" in value else value
        for name, value in _ATTRIBUTE.findall(include["attributes"])
    }
    text = (SCENARIOS / "parts" / f"{include['part']}.xml").read_text()
    text = _LONE_PLACE.sub(lambda m: m[0] if values.get(m[1]) else "", text)
    return _expand(_PLACE.sub(lambda m: values.get(m[1]) or m[2] or "", text))


def _without_blank_lines(text: str) -> str:
    """One would end the header of a message."""
    return "\n".join(line for line in text.splitlines() if line.strip())


@dataclass
class Peer:
    """One run of SIPp.

    Args:
        port: Of the SIP server that it calls.
        transport: ``u1`` (UDP) or ``t1`` (TCP).
        options: Further arguments.
    """

    program: str
    directory: Path
    port: int
    number: str = "08010000002"
    transport: str = "u1"
    options: tuple[str, ...] = ()
    messages: Path = field(init=False)

    def start(self, name: str) -> Process:
        """Start a scenario; the caller ends the process."""
        file = self.directory / f"{name}.xml"
        file.write_text(scenario_text(name))
        self.messages = self.directory / f"{name}.messages"
        return Process(
            self.program, f"127.0.0.1:{self.port}", "-sf", str(file),
            "-s", self.number, "-m", "1",
            # A port of its own: nothing late of another test's call comes here.
            "-t", self.transport, "-i", "127.0.0.1", "-p", str(free_port()),
            "-mi", "127.0.0.1", "-mp", str(free_port()), "-rtp_echo",
            "-nostdin", "-trace_msg", "-message_file", str(self.messages),
            "-trace_err", "-error_file", str(self.directory / f"{name}.errors"),
            *self.options, cwd=self.directory,
        )  # fmt: skip

    def play(self, name: str, deadline_s: float = END_DEADLINE_S) -> str:
        """Play a scenario to its end and return every message, as SIPp saw it.

        Raises:
            AssertionError: The scenario did not end as written; says at which message.
        """
        process = self.start(name)
        try:
            status = process.wait(deadline_s)
        finally:
            process.end()
        errors = self.directory / f"{name}.errors"
        said = errors.read_text() if errors.exists() else ""
        messages = self.read_messages()
        # The end says why; the beginning of a loop says nothing.
        assert status == 0, f"{name}: {status}\n{messages[-5000:]}\n{said[-5000:]}"
        return messages

    def read_messages(self) -> str:
        """Return the messages so far."""
        return self.messages.read_text() if self.messages.exists() else ""


def of_kind(story: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Return the data of a timeline's entries of one kind."""
    return [entry["data"] for entry in story if entry["kind"] == kind]
