"""What one plugin offers, checked: hooks by name, mark and arguments, and each thing it returns by its Protocol."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pluggy

from ragd.domain.deciding import TriggerPolicy
from ragd.domain.errors import PluginRefused
from ragd.domain.learning import Data, Needs, Role, Trainer
from ragd.domain.plugins import Event, Launcher, Tracker
from ragd.domain.ports import EncoderKind, Reader
from ragd.hooks import spec

HOOKS = tuple(sorted(name for name in vars(spec) if name.startswith("ragd_")))
# The commands that ragd has itself; a test compares them with the command line.
BUILT_IN_COMMANDS = frozenset({
    "backup", "config", "confirm-delete", "doctor", "documents", "failed", "feedback", "mcp", "models", "plugins",
    "receipts", "reload", "rescan", "restore", "retry", "run", "runs", "search", "service", "spend", "status", "token",
    "top", "train", "triggers", "verify", "version", "worker",
})  # fmt: skip
BUILT_IN_LAUNCHERS = frozenset({"local"})
BUILT_IN_ENCODERS = frozenset({"onnx", "sbert", "openai"})
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}\Z")
_MARKER = pluggy.PluginManager("ragd")


@dataclass(frozen=True, slots=True)
class Offers:
    """Everything one plugin offers; `event` is its `ragd_event`, None when it does not listen."""

    hooks: tuple[str, ...] = ()
    readers: tuple[Reader, ...] = ()
    trainers: tuple[Trainer, ...] = ()
    encoders: tuple[EncoderKind, ...] = ()
    policies: tuple[TriggerPolicy, ...] = ()
    launchers: tuple[Launcher, ...] = ()
    trackers: tuple[Tracker, ...] = ()
    commands: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    event: Callable[[Event], None] | None = None


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a hook offers: a Protocol, its methods with the number of arguments, and names that are taken."""

    protocol: Any
    methods: Mapping[str, int]
    taken: frozenset[str] = frozenset()


_KINDS = {
    "ragd_readers": _Kind(Reader, {"read": 2}),
    "ragd_trainers": _Kind(Trainer, {"train": 1}),
    "ragd_encoders": _Kind(EncoderKind, {"open": 2}, BUILT_IN_ENCODERS),
    "ragd_trigger_policies": _Kind(TriggerPolicy, {"decide": 1}),
    "ragd_launchers": _Kind(Launcher, {"launch": 3}, BUILT_IN_LAUNCHERS),
    "ragd_trackers": _Kind(Tracker, {"started": 2, "logged": 3, "ended": 3}),
}


def implemented(plugin: object) -> tuple[str, ...]:
    """The hooks that a plugin implements. Raises PluginRefused for an unknown hook, a missing mark, other arguments."""
    found = []
    for name in dir(plugin):
        is_marked = _MARKER.parse_hookimpl_opts(plugin, name) is not None
        if is_marked and name not in HOOKS:
            raise PluginRefused(f"implements the unknown hook {name}", hint=f"there are {', '.join(HOOKS)}")
        if name.startswith("ragd_") and not is_marked and callable(getattr(plugin, name)):
            raise PluginRefused(f"{name} is not marked with @hookimpl")
        if is_marked:
            _check_arguments(name, getattr(plugin, name))
            found.append(name)
    return tuple(found)


def _check_arguments(name: str, function: Callable[..., Any]) -> None:
    wanted = list(inspect.signature(getattr(spec, name)).parameters)
    given = list(inspect.signature(function).parameters)
    if given != wanted:
        raise PluginRefused(f"{name}({', '.join(given)}) should be {name}({', '.join(wanted)})")


def offers_of(plugin: object) -> Offers:
    """Calls every hook that the plugin implements (but `ragd_event`: nothing happened) and checks what it returns.

    Raises PluginRefused, or what the hook raises.
    """
    hooks = implemented(plugin)
    found = {name: _listed(name, getattr(plugin, name)()) for name in hooks if name in _KINDS}
    commands = _commands(plugin.ragd_commands()) if "ragd_commands" in hooks else {}  # type: ignore[attr-defined]
    return Offers(
        hooks,
        readers=tuple(found.get("ragd_readers", ())),
        trainers=tuple(found.get("ragd_trainers", ())),
        encoders=tuple(found.get("ragd_encoders", ())),
        policies=tuple(found.get("ragd_trigger_policies", ())),
        launchers=tuple(found.get("ragd_launchers", ())),
        trackers=tuple(found.get("ragd_trackers", ())),
        commands=commands,
        event=getattr(plugin, "ragd_event", None),
    )


def check_offer(hook: str, thing: Any) -> None:
    """Checks one thing that a hook offers, as `offers_of` does. Raises PluginRefused."""
    _check_kind(hook, _KINDS[hook], thing)


def _listed(hook: str, offered: Any) -> Sequence[Any]:
    kind = _KINDS[hook]
    if not isinstance(offered, list):
        raise PluginRefused(f"{hook} returned {type(offered).__name__}, not a list")
    names: set[str] = set()
    for thing in offered:
        _check_kind(hook, kind, thing)
        if thing.name in names or thing.name in kind.taken:
            raise PluginRefused(f"{hook}: the name {thing.name} is taken already")
        names.add(thing.name)
    return offered


def _check_kind(hook: str, kind: _Kind, thing: Any) -> None:
    what = kind.protocol.__name__
    if isinstance(thing, type):
        raise PluginRefused(f"{hook} returned the class {thing.__name__}: call it, an object is wanted")
    if not isinstance(thing, kind.protocol):
        missing = [name for name in _members(kind.protocol) if not hasattr(thing, name)]
        raise PluginRefused(
            f"{hook} returned {type(thing).__name__}, which is not a {what}: it lacks {', '.join(missing)}"
        )
    if not isinstance(thing.name, str) or not _NAME.match(thing.name):
        raise PluginRefused(f"{hook}: {thing.name!r} is no name: use small letters, digits, _ and -, a letter first")
    for method, arguments in kind.methods.items():
        _check_method(
            f"{type(thing).__name__}.{method}", getattr(thing, method), getattr(kind.protocol, method), arguments
        )
    if kind.protocol is Trainer:
        _check_trainer(thing)
    elif kind.protocol is Reader:
        _check_reader(thing)


def _members(protocol: type) -> list[str]:
    return sorted(name for name in vars(protocol) if not name.startswith("_"))


def _check_method(name: str, method: Any, wanted: Callable[..., Any], arguments: int) -> None:
    if not callable(method):
        raise PluginRefused(f"{name} is not a method")
    try:
        inspect.signature(method).bind(*range(arguments))
    except TypeError:
        names = [parameter for parameter in inspect.signature(wanted).parameters if parameter != "self"]
        raise PluginRefused(f"{name} should take ({', '.join(names)})") from None


def _check_trainer(trainer: Any) -> None:
    name = trainer.name
    if not isinstance(trainer.role, Role):
        raise PluginRefused(f"the trainer {name}: role is {trainer.role!r}, not a Role such as Role.QUERY_ADAPTER")
    needs = trainer.needs
    if (
        not isinstance(needs, Needs)
        or not isinstance(needs.data, Data)
        or type(needs.least) is not int
        or needs.least < 1
    ):
        raise PluginRefused(f"the trainer {name}: needs is {needs!r}, not such as Needs(Data.PAIRS, least=100)")
    cost = trainer.cost_s
    if isinstance(cost, bool) or not isinstance(cost, int | float) or not math.isfinite(cost) or cost < 0:
        raise PluginRefused(f"the trainer {name}: cost_s is {cost!r}, not a number of seconds per thousand examples")


def _check_reader(reader: Any) -> None:
    if not isinstance(reader.version, str):
        raise PluginRefused(f"the reader {reader.name}: version is {reader.version!r}, not a text")
    suffixes = reader.suffixes
    if not isinstance(suffixes, frozenset | set) or not all(
        isinstance(suffix, str) and suffix == suffix.lower() and suffix[:1] in ("", ".") for suffix in suffixes
    ):
        raise PluginRefused(f'the reader {reader.name}: suffixes is {suffixes!r}, not such as frozenset({{".md"}})')


def _commands(offered: object) -> Mapping[str, Callable[..., Any]]:
    if not isinstance(offered, dict):
        raise PluginRefused(f"ragd_commands returned {type(offered).__name__}, not a dict")
    for name, function in offered.items():
        if not isinstance(name, str) or not _NAME.match(name) or not callable(function):
            raise PluginRefused(f"ragd_commands: {name!r} should be a name with a function")
        if name in BUILT_IN_COMMANDS:
            raise PluginRefused(f"ragd_commands: {name} is a command of ragd itself")
    return dict(offered)
