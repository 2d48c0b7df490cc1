"""``docs/faults.md``, made of the declarations."""

from __future__ import annotations

from collections.abc import Iterator

from emulator.faults.kinds import KINDS, FaultKind, Layer, Parameter

_HEAD = """\
# Faults

Everything that can go wrong on purpose, so that you see what your bot makes of it
before your callers do. This page is made of the declarations in
`emulator/faults/kinds.py` (`python -m emulator.faults`).

A rule is one fault and the calls that it is for. Rules stand in the settings:

```yaml
faults:
  seed: 7                       # the same seed and calls give the same faults
  rules:
    - {kind: refuse, status: 503, number: "08010000002", calls: 1}
    - {kind: drop, after_s: 20, how: rst, probability: 0.1}
    - {kind: rtp, direction: from_caller, loss: 0.05, jitter_ms: 40}
```

or are put in force while the emulator runs, for calls that begin from then on:

```console
$ curl -X PUT -H 'Content-Type: application/json' \\
    -d '{"rules": [{"kind": "half_dead", "after_s": 3, "stops": "writing"}]}' \\
    http://127.0.0.1:8080/emulator/v1/faults
```

`faults` in the body of `POST /emulator/v1/calls` are rules for that one call. `GET` on
`/emulator/v1/faults` shows the rules in force and how many calls each has met, `DELETE`
clears them.

| A rule's conditions | |
|---|---|
| `number` | only calls on this ExoPhone, in any spelling |
| `caller` | only calls with this other party, as `start.from` shows it |
| `probability` | only this part of the matching calls, from 0 to 1 |
| `calls` | at most so many calls, then the rule is spent |

A call shows its faults on its timeline: `fault.chosen` when it begins, `fault.acted`
when one first does something and, with its count, at the end of the stream; for `rtp`
at the end of the call. What a fault still held by then is counted there too:
`never_left` towards the bot (`stream.closed` counts those messages as sent: the stream
handed them over), `never_came` from it.
"""

_TITLES = {
    Layer.HANDSHAKE: "The handshake with the bot",
    Layer.SOCKET: "The socket to the bot",
    Layer.MESSAGES: "The messages of the stream",
    Layer.RTP: "The caller's audio",
    Layer.WEBHOOK: "Requests to your web server",
}


def render_page() -> str:
    """Return the page."""
    return "\n".join([_HEAD, *_sections()])


def _sections() -> Iterator[str]:
    for layer, title in _TITLES.items():
        yield f"## {title}\n"
        for kind in KINDS:
            if kind.layer is layer:
                yield from _describe(kind)


def _describe(kind: FaultKind) -> Iterator[str]:
    yield f"### `{kind.name}`\n\n{kind.does}\n\n*Stands for:* {kind.stands_for}\n"
    if kind.parameters:
        yield "| Parameter | Default | Legal | |\n|---|---|---|---|"
        for parameter in kind.parameters:
            unit = f" {parameter.unit}" if parameter.unit else ""
            yield (
                f"| `{parameter.name}` | {parameter.default}{unit} | "
                f"{_legal(parameter)} | {parameter.why} |"
            )
        yield ""


def _legal(parameter: Parameter) -> str:
    if parameter.choices:
        return ", ".join(parameter.choices)
    return f"{parameter.minimum:.12g} to {parameter.maximum:.12g}"
