"""``docs/applets.md`` and ``docs/sample-flows.md``: made of applets and flow files."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from emulator.flow.applet import Applet
from emulator.flow.drawing import draw_mermaid, draw_svg, draw_tree
from emulator.flow.model import APPLETS, Flow
from emulator.flow.picture import picture_of

_APPLETS_HEAD = """\
# Applets

Every applet of a flow file, made of the models in `emulator/flow/applets/`
(`python -m emulator.flow flows docs`). [flows.md](flows.md) explains the file;
`exotel-emulator flow schema` prints the JSON Schema for editors. A prompt is
`{text: …}`, `{file: …}` (WAV or MP3) or `{audio_url: …}`.
"""
_SAMPLES_HEAD = """\
# Sample flows

The flows that `serve` loads, one for each journey that the manuals draw. Made of the
files in `flows/` (`python -m emulator.flow flows docs`); `exotel-emulator flow show`
draws yours.
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """A flow of the samples, and what its file says about it in its first lines."""

    flow: Flow
    says: str


def comment_of(text: str) -> str:
    """Return the comment that a file begins with."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return " ".join(lines)


def applets_page() -> str:
    """Return ``docs/applets.md``."""
    return "\n".join(
        [
            _APPLETS_HEAD,
            *(part for name in APPLETS for part in _applet(name, APPLETS[name])),
        ]
    )


def _applet(name: str, kind: type[Applet]) -> Iterator[str]:
    yield f"## `{name}`\n"
    yield inspect.cleandoc(kind.__doc__ or "").replace("``", "`") + "\n"
    exits = ", ".join(f"`{name}`" for name in kind.EXITS)
    yield f"Exits: {exits or 'none'}.\n"
    fields = [
        field for field in kind.model_fields if field not in {"type", *kind.EXITS}
    ]
    if fields:
        yield "| Field | Default |\n|---|---|"
        yield from (_field(kind, field) for field in fields)
        yield ""


def _field(kind: type[Applet], name: str) -> str:
    field = kind.model_fields[name]
    default = "*required*" if field.is_required() else _shown(field.default)
    return f"| `{field.alias or name}` | {default} |"


def _shown(default: object) -> str:
    if default is None or default == {}:
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def samples_page(samples: Sequence[Sample]) -> str:
    """Return ``docs/sample-flows.md``."""
    parts = [_SAMPLES_HEAD]
    for sample in samples:
        name, picture = sample.flow.flow, picture_of(sample.flow)
        parts += [
            f"## `{name}`\n\n{sample.says}\n",
            f"```text\n{draw_tree(picture)}\n```\n",
            f"![{name}](flows/{name}.svg)\n",
            "<details><summary>Mermaid</summary>\n",
            f"```mermaid\n{draw_mermaid(picture)}\n```\n",
            "</details>\n",
        ]
    return "\n".join(parts)


def pages(samples: Sequence[Sample]) -> dict[str, str]:
    """Return every page and picture by its path under ``docs``."""
    pictures = {
        f"flows/{sample.flow.flow}.svg": draw_svg(picture_of(sample.flow)) + "\n"
        for sample in samples
    }
    return {
        "applets.md": applets_page(),
        "sample-flows.md": samples_page(samples),
        **pictures,
    }
