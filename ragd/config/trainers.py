"""The tables of trainers, `[trainers.NAME]`: one value with one origin, but a mistake in it has its own line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ragd.config.keys import TRAINERS, Key, nearest, trainer_keys
from ragd.config.origin import Setting, shown

OPTIONS = "options"


def checked(setting: Setting, problems: list[str]) -> Setting:
    """The setting without what its tables get wrong by name or kind, each of which is added to `problems`."""
    if not isinstance(setting.value, Mapping):
        problems.append(f"{setting.origin}: {TRAINERS} = {shown(setting.value)} is not accepted; give {_TABLES}")
        return Setting({}, setting.origin)
    by_leaf = {key.leaf: key for key in trainer_keys()}
    tables = {name: _table(name, table, by_leaf, setting, problems) for name, table in setting.value.items()}
    return Setting({name: table for name, table in tables.items() if table is not None}, setting.origin, setting.within)


def complaint(loc: tuple[str | int, ...], value: object, told: str) -> tuple[str, str]:
    """(dotted name below `trainers`, what is wrong with it) for a value that the schema refused at `loc`."""
    by_leaf = {key.leaf: key for key in trainer_keys()}
    parts = [str(part) for part in loc]
    key = by_leaf.get(parts[1]) if len(parts) > 1 else None
    if key is None:
        return parts[0], f"{TRAINERS}.{parts[0]} = {shown(value)} is not accepted; give {told or _TABLES}"
    # What follows an option's name is how pydantic numbers the kinds that it tried.
    name = ".".join(parts[:3] if key.leaf == OPTIONS else parts[:2])
    accepts = "a text, a number, true or false" if key.leaf == OPTIONS and len(parts) > 2 else key.accepts
    return name, f"{TRAINERS}.{name} = {shown(value)} is not accepted; give {told or accepts}"


_TABLES = f"a table for each trainer: [{TRAINERS}.NAME]"


def _table(
    name: str, table: object, by_leaf: Mapping[str, Key], setting: Setting, problems: list[str]
) -> dict[str, Any] | None:
    def problem(part: str, text: str) -> None:
        problems.append(f"{setting.origin_of(part)}: {text}")

    if not isinstance(table, Mapping):
        remedy = f"{name} stands in the table of a trainer: [{TRAINERS}.NAME]" if name in by_leaf else ""
        remedy = remedy or f"write [{TRAINERS}.{name}] and its keys below"
        problem(name, f"{TRAINERS}.{name} = {shown(table)} is not accepted; {remedy}")
        return None
    found: dict[str, Any] = {}
    for leaf, value in table.items():
        key = by_leaf.get(leaf)
        full = f"{TRAINERS}.{name}.{leaf}"
        if key is None:
            near = nearest(leaf, by_leaf)
            remedy = (
                f"did you mean {near}?" if near else f"what the trainer is told stands in [{TRAINERS}.{name}.options]"
            )
            problem(f"{name}.{leaf}", f"unknown key {full}; {remedy}")
        elif not key.fits(value):
            problem(f"{name}.{leaf}", f"{full} = {shown(value)} is not accepted; give {key.accepts}")
        else:
            found[leaf] = value
    return found
