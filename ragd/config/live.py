"""The configuration that holds now: one name, replaced whole by a reload; what cannot change while running stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ragd.config.keys import Key, keys
from ragd.config.schema import Config

_LIVE_SECTIONS = frozenset({"watch", "read", "search", "retain", "budget", "gate", "log"})
_LIVE_KEYS = frozenset(
    {
        "collections",
        "trainers",
        "workers.extract",
        "workers.embed",
        "index.snapshot_s",
        "learn.workers",
        "learn.generator",
        "learn.teacher",
        "learn.journal",
        "learn.journal_days",
        "learn.launcher",
        "learn.trackers",
        "learn.threads",
        "learn.memory_mb",
        "learn.disk_mb",
        "learn.processes",
        "learn.timeout_s",
        "learn.device",
        "learn.keep_runs",
    }
)


class LiveConfig:
    """Where parts of a daemon that follow a reload read the configuration, each time they need it; from any thread."""

    def __init__(self, config: Config) -> None:
        self._now = config

    @property
    def now(self) -> Config:
        """The whole of it; take it once for values that belong together."""
        return self._now

    def replace(self, config: Config) -> None:
        """Makes another one hold, at once and for everybody."""
        self._now = config


@dataclass(frozen=True, slots=True)
class Change:
    """A configuration that was read anew: what holds from now on, the keys that changed, and those that wait."""

    config: Config
    changed: tuple[str, ...]
    needs_restart: tuple[str, ...]

    def touches(self, *names: str) -> bool:
        """Whether one of these keys or sections changed."""
        return any(key == name or key.startswith(f"{name}.") for key in self.changed for name in names)


def is_live(key: Key) -> bool:
    """Whether a reload changes this key; any other one keeps its value until the daemon starts anew."""
    return key.section in _LIVE_SECTIONS or key.name in _LIVE_KEYS


def change(before: Config, wanted: Config) -> Change:
    """What of `wanted` can hold at once, on top of `before`."""
    differing = [key for key in keys() if _value(before, key) != _value(wanted, key)]
    waiting = [key for key in differing if not is_live(key)]
    return Change(
        config=_kept(wanted, before, waiting),
        changed=tuple(key.name for key in differing if is_live(key)),
        needs_restart=tuple(key.name for key in waiting),
    )


def _kept(wanted: Config, before: Config, waiting: list[Key]) -> Config:
    updates: dict[str, object] = {}
    for section in dict.fromkeys(key.section for key in waiting):
        leaves = {key.leaf: _value(before, key) for key in waiting if key.section == section}
        updates |= {section: getattr(wanted, section).model_copy(update=leaves)} if section else leaves
    return wanted.model_copy(update=updates)


def _value(config: Config, key: Key) -> object:
    return getattr(getattr(config, key.section) if key.section else config, key.leaf)


Load = Callable[[], Config]
"""Reads the configuration anew, from everywhere it was read at the start. Raises ConfigInvalid."""
