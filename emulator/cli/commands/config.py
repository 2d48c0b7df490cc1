"""``config``: the settings in force and where each came from."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel

from emulator.errors import ExitStatus
from emulator.service import ServeOptions, read_settings

HIDDEN = "***"
_USERINFO = re.compile(r"://[^\s'\"]{1,1000}@")


def show(config: Path | None) -> ExitStatus:
    """Print one line per setting: path, value, origin."""
    loaded = read_settings(ServeOptions(config=config, env=os.environ))
    rows = list(_rows(loaded.settings, ""))
    width = max(len(path) for path, _ in rows)
    for path, value in rows:
        print(f"{path:<{width}}  {value}  ({loaded.origins.get(path, 'default')})")
    return ExitStatus.OK


def _rows(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            setting = field.alias or name
            inside = f"{path}.{setting}" if path else setting
            yield from _rows(getattr(value, name), inside)
    elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        for n, item in enumerate(value):
            yield from _rows(item, f"{path}.{n}")
    else:
        # A secret prints as stars: its repr is made for that.
        yield path, _shown(list(value) if isinstance(value, tuple) else value)


def _shown(value: object) -> str:
    """Return a value without what others must not read: headers, URLs' userinfo."""
    if isinstance(value, Mapping):
        return str(dict.fromkeys(value, HIDDEN))
    return _USERINFO.sub(f"://{HIDDEN}@", str(value))
