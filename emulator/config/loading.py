"""Merges every source of settings and validates the whole."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from emulator.config.crosschecks import SettingPath, contradictions
from emulator.config.names import with_known_name
from emulator.config.tree import Settings
from emulator.documents import Document, format_path, load_document, validate
from emulator.errors import ConfigError, Problem
from emulator.events import JsonValue
from emulator.stream_options import PROFILES as STREAM_PROFILES
from emulator.stream_options import setting_of

ENV_PREFIX = "EXOTEL_EMULATOR_"
# Variables that the emulator hands to others; they are no settings.
EXPORTED_VARIABLES = frozenset({"EXOTEL_EMULATOR_URL", "EXOTEL_EMULATOR_TOKEN"})

UNUSABLE = "the settings cannot be used"
# A profile is a set of knobs; what a user sets beats it (decisions: two profiles).
_OWN_PROFILES: Mapping[str, Mapping[str, JsonValue]] = {
    "documented": {"passthru.timeout_s": 15.0, "quirks.no_greeting_disconnect": True}
}
PROFILES: Mapping[str, Mapping[str, JsonValue]] = {
    name: {
        **{setting_of(knob): value for knob, value in values.items()},
        **_OWN_PROFILES.get(name, {}),
    }
    for name, values in STREAM_PROFILES.items()
}


@dataclass(frozen=True)
class LoadedSettings:
    """Settings and where each value that is no default came from.

    ``origins`` maps a dotted path to ``file:line``, ``$VARIABLE`` or ``--option``.
    """

    settings: Settings
    origins: Mapping[str, str]

    def problem(self, path: SettingPath, message: str) -> Problem:
        """Return a problem at a setting, or at its nearest ancestor that was given."""
        for end in range(len(path), 0, -1):
            origin = self.origins.get(".".join(map(str, path[:end])))
            if origin is not None:
                return _problem_at(origin, path, message)
        return _problem_at("", path, message)


def _problem_at(origin: str, path: SettingPath, message: str) -> Problem:
    file, _, line = origin.rpartition(":")
    if not line.isdecimal():
        file, line = origin, "0"
    return Problem(file, int(line), 1, format_path(path), message)


def load_settings(
    *,
    file: str | None,
    text: str,
    env: Mapping[str, str],
    options: Mapping[str, tuple[str, JsonValue]],
) -> LoadedSettings:
    """Merge every source and validate the whole.

    Args:
        file: Name of the YAML file for messages; None when there is none.
        text: Its content.
        env: The process environment.
        options: Dotted path to (option as typed, value).

    Raises:
        ConfigError: Lists every problem with file and line, variable or option.
    """
    document = load_document(file or "defaults", text, env)
    data: Any = copy.deepcopy(document.data) if document.data is not None else {}
    if not isinstance(data, dict):
        raise ConfigError(
            UNUSABLE,
            (document.problem((), "a mapping of settings was expected"),),
        )
    origins = {
        ".".join(map(str, path)): f"{document.file}:{line}"
        for path, (line, _) in document.marks.items()
        if path
    }
    overlay = _from_environment(env)
    overlay.update(options)
    for path, (origin, value) in overlay.items():
        _put(data, path.split("."), value)
        for inside in [known for known in origins if known.startswith(f"{path}.")]:
            del origins[inside]
        origins[path] = origin
    _apply_profile(data, origins)
    merged = replace(document, data=data)
    loaded = LoadedSettings(_validate(merged, overlay), origins)
    problems = tuple(
        loaded.problem(*found) for found in contradictions(loaded.settings)
    )
    if problems:
        raise ConfigError(UNUSABLE, problems)
    return loaded


def _validate(
    document: Document, overlay: Mapping[str, tuple[str, JsonValue]]
) -> Settings:
    try:
        return validate(document, Settings)
    except ConfigError as error:
        raise ConfigError(
            UNUSABLE,
            tuple(
                _blame(with_known_name(problem, Settings), document, overlay)
                for problem in error.problems
            ),
        ) from None


def _blame(
    problem: Problem,
    document: Document,
    overlay: Mapping[str, tuple[str, JsonValue]],
) -> Problem:
    """Name the variable or option when the bad value did not come from the file."""
    from_file = tuple(problem.path.split(".")) in document.marks
    for path, (origin, _) in overlay.items():
        inside = problem.path == path or problem.path.startswith(
            (f"{path}.", f"{path}[")
        )
        around = not from_file and path.startswith(f"{problem.path}.")
        if inside or around:
            return replace(problem, file=origin, line=0, column=0)
    return problem


def _from_environment(env: Mapping[str, str]) -> dict[str, tuple[str, JsonValue]]:
    found: dict[str, tuple[str, JsonValue]] = {}
    for name in sorted(env):
        if not name.startswith(ENV_PREFIX) or name in EXPORTED_VARIABLES:
            continue
        path = name.removeprefix(ENV_PREFIX).lower().replace("__", ".")
        found[path] = (f"${name}", load_document(f"${name}", env[name], {}).data)
    return found


def _apply_profile(data: dict[str, Any], origins: dict[str, str]) -> None:
    profile = str(data.get("profile", "observed"))
    for path, value in PROFILES.get(profile, {}).items():
        *sections, key = path.split(".")
        inside: Any = data
        for section in sections:
            if inside.get(section) is None:
                inside[section] = {}
            inside = inside[section]
            if not isinstance(inside, dict):
                break
        else:
            if key not in inside:
                inside[key] = value
                origins[path] = f"profile {profile}"


def _put(data: dict[str, Any], path: list[str], value: JsonValue) -> None:
    for key in path[:-1]:
        child = data.get(key)
        if not isinstance(child, dict):
            child = data[key] = {}
        data = child
    data[path[-1]] = value
