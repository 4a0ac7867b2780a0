"""Loading: defaults, then the file, then RAGD_ variables, then flags, with the origin of every value."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from ragd.config import file as toml
from ragd.config.folders import default_plugins_folder, default_state
from ragd.config.keys import (
    COLLECTIONS,
    KNOWN_VARIABLES,
    PREFIX,
    TEST_PREFIX,
    TRAINERS,
    Key,
    collection_keys,
    keys,
    nearest,
    sections,
)
from ragd.config.origin import Layer, Origin, Setting, shown
from ragd.config.schema import Config
from ragd.config.trainers import checked, complaint
from ragd.domain.errors import ConfigInvalid

_ALWAYS_A_PATH = frozenset({"state", "http.socket", "plugins.folder", "learn.generator"})
_MAYBE_A_PATH = frozenset({"redis.server", "embed.model"})  # a bare name is a program or a model, not a file
_MOST_SECRET_BYTES = 4096
_UNLESS_AN_ADDRESS = frozenset({"learn.teacher"})
_PATHS = frozenset({"learn.pairs", "learn.prompts"})
_JSON_EXAMPLES = MappingProxyType(
    {
        COLLECTIONS: '[{"name": "docs", "folders": ["…"]}]',
        TRAINERS: '{"query_adapter": {"changed_chunks": 1000}}',
    }
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, the origin of each of its keys by dotted name, and the file that was read, if any."""

    config: Config
    origins: Mapping[str, Origin]
    file: Path | None


def load(file: Path | None, env: Mapping[str, str], flags: Mapping[str, object], *, cwd: Path | None = None) -> Loaded:
    """Joins the layers into one validated configuration.

    `file` is what `--config` named; `flags` holds values by dotted key. Relative paths in a file are
    relative to the file, others to `cwd`. Raises ConfigInvalid with one line for each thing that is
    wrong, naming the file and line, variable or flag, the key, and what is accepted.
    """
    base = cwd or _current_folder()
    problems: list[str] = []
    path = toml.find(file, env, base)
    settings: dict[str, Setting] = {}
    if path is not None:
        settings |= _anchored(toml.read(path, problems), path.parent, env)
    settings |= _anchored(_from_variables(env, problems), base, env)
    settings |= _anchored(_from_flags(flags), base, env)
    for name, default in (("state", default_state(env)), ("plugins.folder", default_plugins_folder(env))):
        if name not in settings or settings[name].value == "":
            settings[name] = Setting(str(default), Origin(Layer.DEFAULT))
    config = _validated(settings, problems)
    origins = {key.name: settings[key.name].origin if key.name in settings else Origin(Layer.DEFAULT) for key in keys()}
    return Loaded(config, origins, path)


def _current_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise ConfigInvalid("the current folder no longer exists", hint="change to a folder that exists") from error


def _from_variables(env: Mapping[str, str], problems: list[str]) -> dict[str, Setting]:
    by_variable = {key.variable: key for key in keys()}
    tables = [key.variable for key in keys() if key.is_structured]
    by_file = {key.file_variable: key for key in keys() if key.file_variable}
    of_sections = {PREFIX + name.upper(): name for name in sections()}
    found: dict[str, Setting] = {}
    for variable in sorted(env):
        if not variable.startswith(PREFIX) or variable in KNOWN_VARIABLES or variable.startswith(TEST_PREFIX):
            continue
        key = by_variable.get(variable)
        if variable in by_file:
            if env[variable]:
                found |= _from_secret_file(by_file[variable], env, problems)
        elif key is None:
            near = next((name for name in tables if variable.startswith(f"{name}__")), "") or nearest(
                variable, [*by_variable, *by_file, *KNOWN_VARIABLES]
            )
            remedy = f"did you mean {near}?" if near else toml.LIST_KEYS_HINT
            if variable in of_sections:
                remedy = f"{of_sections[variable]} is a section; its keys are {variable}__…"
            problems.append(f"{variable}: unknown variable; {remedy}")
        elif env[variable] or key.kind is str:
            # An empty variable means "not set" where empty is not a value: compose files pass them on.
            found |= _from_variable(key, variable, env[variable], problems)
    return found


def _from_secret_file(key: Key, env: Mapping[str, str], problems: list[str]) -> dict[str, Setting]:
    """A secret that stands in a file, as container engines and service managers hand it over; its last line break is
    not part of it."""
    variable, path = key.file_variable, env[key.file_variable]
    if env.get(key.variable):
        problems.append(f"{variable}: {key.variable} is set as well; give one of them")
        return {}
    try:
        text = Path(path).read_bytes()[: _MOST_SECRET_BYTES + 1].decode()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        problems.append(f"{variable}: {path} cannot be read: {why}")
        return {}
    if len(text) > _MOST_SECRET_BYTES or not text.strip():
        problems.append(f"{variable}: {path} holds no secret: it is {'too long' if text.strip() else 'empty'}")
        return {}
    return {key.name: Setting(text.rstrip("\r\n"), Origin(Layer.VARIABLE, variable))}


def _from_variable(key: Key, variable: str, text: str, problems: list[str]) -> dict[str, Setting]:
    origin = Origin(Layer.VARIABLE, variable)
    if not key.is_structured:
        return {key.name: Setting(text, origin)}
    try:
        setting = Setting(json.loads(text), origin)
    except (ValueError, RecursionError) as error:
        example = _JSON_EXAMPLES.get(key.name, '["…"]')
        problems.append(f"{variable}: not JSON ({error}); give {example}")
        return {}
    return {key.name: checked(setting, problems) if key.name == TRAINERS else setting}


def _from_flags(flags: Mapping[str, object]) -> dict[str, Setting]:
    by_name = {key.name: key for key in keys()}
    return {
        name: Setting(str(value) if isinstance(value, Path) else value, Origin(Layer.FLAG, by_name[name].flag))
        for name, value in flags.items()
    }


def _anchored(settings: Mapping[str, Setting], base: Path, env: Mapping[str, str]) -> dict[str, Setting]:
    """The same settings with `~` expanded and relative paths resolved against `base`."""
    found = dict(settings)
    for name, setting in settings.items():
        value = setting.value
        if name == COLLECTIONS and isinstance(value, list):
            found[name] = Setting([_anchored_table(table, base, env) for table in value], setting.origin)
        elif name in _PATHS and isinstance(value, list):
            found[name] = Setting([_anchored_path(path, base, env) for path in value], setting.origin)
        elif isinstance(value, str) and value and _is_path(name, value):
            found[name] = Setting(_absolute(value, base, env), setting.origin)
    return found


def _is_path(name: str, value: str) -> bool:
    if name in _MAYBE_A_PATH:
        return value.startswith((".", "~"))
    return name in _ALWAYS_A_PATH or (name in _UNLESS_AN_ADDRESS and "://" not in value)


def _anchored_path(value: object, base: Path, env: Mapping[str, str]) -> object:
    return _absolute(str(value), base, env) if isinstance(value, str | Path) and str(value) else value


def _anchored_table(table: object, base: Path, env: Mapping[str, str]) -> object:
    if not isinstance(table, dict) or not isinstance(table.get("folders"), list | tuple):
        return table
    return {**table, "folders": [_anchored_path(folder, base, env) for folder in table["folders"]]}


def _absolute(text: str, base: Path, env: Mapping[str, str]) -> str:
    if (text == "~" or text.startswith("~/")) and env.get("HOME"):
        text = env["HOME"] + text[1:]
    return os.path.abspath(base / os.path.expanduser(text))


def _validated(settings: Mapping[str, Setting], problems: list[str]) -> Config:
    nested: dict[str, Any] = {}
    for name, setting in settings.items():
        section, _, leaf = name.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[leaf] = setting.value
    config: Config | None = None
    try:
        config = Config.model_validate(nested)
    except ValidationError as error:
        # Several kinds may be tried for one value, each with a complaint of its own.
        problems.extend(dict.fromkeys(_line(dict(item), settings) for item in error.errors()))
    if problems or config is None:
        raise ConfigInvalid("\n".join(problems), hint=toml.LIST_KEYS_HINT)
    return config


def _line(item: Mapping[str, Any], settings: Mapping[str, Setting]) -> str:
    """One problem that validation found, with the origin of the value and what is accepted instead."""
    told = str(item["ctx"]["error"]) if item["type"] == "value_error" else ""
    loc: tuple[str | int, ...] = item["loc"]
    if loc[:1] == (TRAINERS,) and len(loc) > 1:
        part, text = complaint(loc[1:], item["input"], told)
        return f"{settings[TRAINERS].origin_of(part)}: {text}"
    key = _key_at(loc)
    if key is None:
        return _line_of_several(told, settings)
    origin = settings[key.name].origin if key.name in settings else Origin(Layer.DEFAULT)
    if key.name == COLLECTIONS and len(loc) > 2:
        return f"{origin}: {_line_of_collection(item, int(loc[1]), str(loc[2]))}"
    value = shown(item["input"], is_secret=key.is_secret)
    return f"{origin}: {key.name} = {value} is not accepted; give {told or key.accepts}"


def _key_at(loc: tuple[str | int, ...]) -> Key | None:
    """The key of a value that validation refused; a place inside a list is a place in its key."""
    by_name = {key.name: key for key in keys()}
    if loc[:1] == (COLLECTIONS,):
        return by_name[COLLECTIONS]
    while loc and isinstance(loc[-1], int):
        loc = loc[:-1]
    return by_name.get(".".join(str(part) for part in loc))


def _line_of_collection(item: Mapping[str, Any], number: int, leaf: str) -> str:
    """One problem inside the table of a collection."""
    by_leaf = {key.leaf: key for key in collection_keys()}
    name = f"{COLLECTIONS}[{number}].{leaf}"
    if item["type"] == "extra_forbidden":
        near = nearest(leaf, by_leaf)
        return f"unknown key {name}; " + (f"did you mean {near}?" if near else f"known are {', '.join(by_leaf)}")
    if item["type"] == "missing":
        return f"{name} is missing; give {by_leaf[leaf].accepts}"
    return f"{name} = {shown(item['input'])} is not accepted; give {by_leaf[leaf].accepts}"


def _line_of_several(told: str, settings: Mapping[str, Setting]) -> str:
    """A rule between keys, followed by where those of them come from that somebody set."""
    named = [name for name in settings if re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", told)]
    origins = [f"{name} from {settings[name].origin}" for name in named]
    return f"{told} ({', '.join(origins)})" if origins else told
