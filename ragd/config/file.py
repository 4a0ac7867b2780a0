"""The configuration file: where it is looked for, what it says, and on which line."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ragd.config.keys import TRAINERS, Key, keys, nearest, sections
from ragd.config.origin import Layer, Origin, Setting, shown
from ragd.config.trainers import checked
from ragd.domain.errors import ConfigInvalid

FILE_NAME = "ragd.toml"
LIST_KEYS_HINT = "`ragd config show` lists every key"

_HEADER = re.compile(r"\s*\[\[?\s*([\w.\s\"'-]+?)\s*\]\]?")
_ENTRY = re.compile(r"\s*([\w.\"'-]+)\s*=")


def candidates(env: Mapping[str, str], cwd: Path) -> tuple[Path, ...]:
    """Where a configuration file is looked for when none is named, best first."""
    home = Path(env.get("HOME") or os.path.expanduser("~"))
    base = env.get("XDG_CONFIG_HOME", "")
    user = Path(base) if os.path.isabs(base) else home / ".config"
    return (cwd / FILE_NAME, user / "ragd" / FILE_NAME, Path("/etc/ragd") / FILE_NAME)


def find(named: Path | None, env: Mapping[str, str], cwd: Path) -> Path | None:
    """The file to read: the named one, else `$RAGD_CONFIG`, else the first candidate that exists.

    Raises ConfigInvalid when a file that was named is not there.
    """
    source = "--config"
    if named is None and env.get("RAGD_CONFIG"):
        named, source = Path(env["RAGD_CONFIG"]), "RAGD_CONFIG"
    if named is None:
        return next((path for path in candidates(env, cwd) if path.is_file()), None)
    path = cwd / named.expanduser()
    if not path.is_file():
        raise ConfigInvalid(
            f"{source}: there is no file {path}", hint=f"name one that exists, or write one: `ragd config init {path}`"
        )
    return path


def read(path: Path, problems: list[str]) -> dict[str, Setting]:
    """What the file sets, by dotted key; what it gets wrong is added to `problems`, a line each.

    Raises ConfigInvalid when the file cannot be read or is not TOML.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        tables = tomllib.loads(text)
    except OSError as error:
        raise ConfigInvalid(f"{path}: {error.strerror}", hint="check the file's permissions") from error
    except UnicodeDecodeError as error:
        raise ConfigInvalid(f"{path}: not UTF-8 at byte {error.start}", hint="save the file as UTF-8") from error
    except RecursionError as error:
        raise ConfigInvalid(f"{path}: nested too deeply", hint="no key of ragd is nested that deeply") from error
    except ValueError as error:  # tomllib's own, or int's for a number of thousands of digits
        raise ConfigInvalid(
            f"{path}: {error}", hint="the file must be TOML: texts in quotes, tables in [brackets]"
        ) from error
    return _Reading(path, _lines(text), problems).settings(tables)


class _Reading:
    """One pass over a parsed file: known keys become settings, the rest problems."""

    def __init__(self, path: Path, lines: Mapping[str, int], problems: list[str]) -> None:
        self._path = path
        self._lines = lines
        self._problems = problems
        self._keys = {key.name: key for key in keys()}
        self._sections = sections()

    def settings(self, tables: Mapping[str, Any]) -> dict[str, Setting]:
        found: dict[str, Setting] = {}
        for name, value in tables.items():
            if name in self._sections:
                found |= self._section(name, value)
            elif name == TRAINERS:
                found[name] = checked(self._tables(name, value), self._problems)
            elif name in self._keys:
                found |= self._leaf(self._keys[name], value)
            else:
                self._unknown(name, [*self._sections, *self._keys])
        return found

    def _section(self, section: str, table: object) -> dict[str, Setting]:
        if not isinstance(table, dict):
            self._problem(section, f"{section} is a section; write [{section}] and its keys below")
            return {}
        found: dict[str, Setting] = {}
        for leaf, value in table.items():
            key = self._keys.get(f"{section}.{leaf}")
            if key is None:
                self._unknown(f"{section}.{leaf}", self._keys)
            else:
                found |= self._leaf(key, value)
        return found

    def _leaf(self, key: Key, value: object) -> dict[str, Setting]:
        if not key.fits(value):
            self._problem(key.name, f"{key.name} = {shown(value)} is not accepted; give {key.accepts}")
            return {}
        return {key.name: Setting(value, self._origin(key.name))}

    def _tables(self, name: str, value: object) -> Setting:
        """A key whose value is tables by name, with the line of everything in them."""
        within = {part.removeprefix(f"{name}."): self._at(line) for part, line in self._inside(name)}
        return Setting(value, self._origin(name), within)

    def _inside(self, name: str) -> Iterator[tuple[str, int]]:
        return ((part, line) for part, line in self._lines.items() if part.startswith(f"{name}."))

    def _unknown(self, name: str, known: Iterable[str]) -> None:
        near = nearest(name, known) or nearest(name, self._keys)
        remedy = f"did you mean {near}?" if near else LIST_KEYS_HINT
        self._problem(name, f"unknown key {name}; {remedy}")

    def _problem(self, name: str, text: str) -> None:
        self._problems.append(f"{self._origin(name)}: {text}")

    def _origin(self, name: str) -> Origin:
        first_inside = next((line for _, line in self._inside(name)), None)
        return self._at(self._lines.get(name) or first_inside or self._lines.get(name.rpartition(".")[0]))

    def _at(self, line: int | None) -> Origin:
        return Origin(Layer.FILE, f"{self._path}:{line}" if line else str(self._path))


def _lines(text: str) -> dict[str, int]:
    """On which line each key and table first stands, by dotted name; for display only."""
    found: dict[str, int] = {}
    table, quoted = "", False
    for number, line in enumerate(text.splitlines(), start=1):
        was_quoted = quoted
        quoted ^= (line.count('"""') + line.count("'''")) % 2 == 1
        if was_quoted:
            continue
        if header := _HEADER.match(line):
            table = _dotted(header[1])
            found.setdefault(table, number)
        elif entry := _ENTRY.match(line):
            found.setdefault(f"{table}.{_dotted(entry[1])}".lstrip("."), number)
    return found


def _dotted(name: str) -> str:
    return ".".join(part.strip(" \t\"'") for part in name.split("."))
