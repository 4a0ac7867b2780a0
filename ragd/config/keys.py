"""Every configuration key as a value: its name, variable, flag, default, and in words what it accepts."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args, get_origin

import annotated_types
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from ragd.config.learning import TrainerSettings
from ragd.config.schema import Collection, Config

FLAGS = types.MappingProxyType(
    {
        "state": "--state",
        "collections": "FOLDERS",
        "redis.url": "--redis-url",
        "http.tcp": "--tcp",
        "workers.embed": "--embed-workers",
        "log.level": "--log-level, --verbose, --quiet",
        "log.format": "--log-format",
    }
)
COLLECTIONS = "collections"
TRAINERS = "trainers"
# Secrets that stand in no file, and where commands find a daemon on another machine.
KNOWN_VARIABLES = frozenset({"RAGD_CONFIG", "RAGD_TEACHER_KEY", "RAGD_URL", "RAGD_TOKEN"})
TEST_PREFIX = "RAGD_TEST_"
PREFIX = "RAGD_"


@dataclass(frozen=True, slots=True)
class Key:
    """One configuration key. `name` is dotted (`watch.settle_s`); `accepts` completes "give …".

    `kind` is the type of its value; `default` is None where it depends on the environment.
    """

    name: str
    kind: object
    accepts: str
    default: object
    description: str

    @property
    def section(self) -> str:
        """The table it stands in, empty for a key at the top."""
        return self.name.rpartition(".")[0]

    @property
    def leaf(self) -> str:
        """Its name inside its section."""
        return self.name.rpartition(".")[2]

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + self.name.upper().replace(".", "__")

    @property
    def file_variable(self) -> str:
        """The environment variable that names a file which holds a secret, empty for other keys."""
        return f"{self.variable}_FILE" if self.is_secret else ""

    @property
    def flag(self) -> str:
        """The command-line flag that sets it, empty when there is none."""
        return FLAGS.get(self.name, "")

    @property
    def is_secret(self) -> bool:
        """True when its value must never be shown."""
        return self.kind is SecretStr

    @property
    def is_number(self) -> bool:
        """True when a file must give it as a number, not as text."""
        return self.kind in (int, float)

    @property
    def is_flag(self) -> bool:
        """True when a file must give it as true or false."""
        return self.kind is bool or self.kind == bool | None

    @property
    def is_structured(self) -> bool:
        """True when a variable must give it as JSON: a list, or tables by name."""
        return get_origin(self.kind) in (tuple, dict)

    def fits(self, value: object) -> bool:
        """Whether a file or JSON gives it as the kind of value it is; what it may be is for the schema to say."""
        if self.is_flag:
            return isinstance(value, bool)
        return not self.is_number or (isinstance(value, int | float) and not isinstance(value, bool))


def keys() -> tuple[Key, ...]:
    """Every key, in the order of the schema; `collections` is one key, and so is `trainers`."""
    return tuple(_walk(Config, ""))


def collection_keys() -> tuple[Key, ...]:
    """The keys of one collection's table, named `collections.name` and so on."""
    return tuple(_walk(Collection, f"{COLLECTIONS}."))


def trainer_keys() -> tuple[Key, ...]:
    """The keys of one trainer's table, named `trainers.enabled` and so on."""
    return tuple(_walk(TrainerSettings, f"{TRAINERS}."))


def sections() -> dict[str, str]:
    """Each section's name and what it is about, in the order of the schema."""
    return {
        name: (field.annotation.__doc__ or "")
        for name, field in Config.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like `name`, also by its last part alone; empty when none is near."""
    names = list(known)
    by_leaf: dict[str, str] = {}
    for known_name in names:
        by_leaf.setdefault(_leaf(known_name), known_name)
    if _leaf(name) in by_leaf:
        return by_leaf[_leaf(name)]
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return close[0]
    close = difflib.get_close_matches(_leaf(name), list(by_leaf), n=1, cutoff=0.75)
    return by_leaf[close[0]] if close else ""


def _leaf(name: str) -> str:
    return name.rpartition(".")[2].rpartition("__")[2]


def _walk(model: type[BaseModel], prefix: str) -> Iterator[Key]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _walk(kind, f"{prefix}{name}.")
            continue
        default = None if field.is_required() or field.default_factory else field.default
        yield Key(f"{prefix}{name}", kind, _accepts(field), default, field.description or "")


def _accepts(field: FieldInfo) -> str:
    kind = field.annotation
    if get_origin(kind) is Literal:
        choices = [f'"{choice}"' for choice in get_args(kind)]
        return f"{', '.join(choices[:-1])} or {choices[-1]}"
    if get_origin(kind) is tuple:
        item = get_args(kind)[0]
        if item is Collection:
            return "a list of tables, each with a name and folders"
        least = any(isinstance(rule, annotated_types.MinLen) for rule in field.metadata)
        return f"a list of {'paths' if item is Path else 'texts'}" + (", at least one" if least else "")
    if get_origin(kind) is dict:
        is_trainers = get_args(kind)[1] is TrainerSettings
        return "a table for each trainer" if is_trainers else "a table of texts, numbers, true or false"
    if kind is bool or kind == bool | None:
        return "true or false"
    if kind in (int, float):
        return ("a whole number" if kind is int else "a number") + _range(field)
    if kind is Path:
        return "a path"
    if any(getattr(rule, "pattern", None) for rule in field.metadata):
        return "a name of up to 64 letters, digits, dots, dashes and underscores"
    return "text"


def _range(field: FieldInfo) -> str:
    low = next((f"{rule.ge:,}" for rule in field.metadata if isinstance(rule, annotated_types.Ge)), "")
    above = next((f"{rule.gt:,}" for rule in field.metadata if isinstance(rule, annotated_types.Gt)), "")
    high = next((f"{rule.le:,}" for rule in field.metadata if isinstance(rule, annotated_types.Le)), "")
    below = next((f"{rule.lt:,}" for rule in field.metadata if isinstance(rule, annotated_types.Lt)), "")
    if low and high:
        return f" from {low} to {high}"
    words = {"at least": low, "above": above, "at most": high, "below": below}
    return "".join(f", {word} {bound}" for word, bound in words.items() if bound)
