"""Loads the bundled and the installed plugins; a broken one is named and blocked, never fatal."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from importlib import metadata

import pluggy

from ragd.domain.ports import Reader
from ragd.hooks import spec

ENTRY_POINT_GROUP = "ragd"
BUNDLED_PACKAGE = "ragd.bundled"


@dataclass(frozen=True, slots=True)
class PluginProblem:
    """Why a plugin is not used: its name and one line of cause."""

    plugin: str
    reason: str


class Plugins:
    """The plugins of this process. Installed plugins come before bundled ones; order is by name."""

    def __init__(self) -> None:
        self._pluggy = pluggy.PluginManager("ragd")
        self._pluggy.add_hookspecs(spec)
        self._order: list[str] = []
        self._problems: list[PluginProblem] = []
        self._readers: tuple[Reader, ...] = ()

    def names(self) -> tuple[str, ...]:
        """The names of the plugins in use, those that take precedence first."""
        return tuple(self._order)

    def problems(self) -> tuple[PluginProblem, ...]:
        """The plugins that are not used, with the reason."""
        return tuple(self._problems)

    def readers(self) -> tuple[Reader, ...]:
        """Every reader on offer, those that take precedence first."""
        return self._readers

    def add(self, name: str, load: Callable[[], object]) -> None:
        """Registers what `load` returns under `name`; whatever goes wrong becomes a problem."""
        try:
            plugin = load()
            refused = self._refusal(plugin)
            if refused:
                self._block(name, refused)
                return
            self._pluggy.register(plugin, name)
            readers = self._offered(name)
        except Exception as error:  # noqa: BLE001 - a plugin may fail in any way, and must not take the rest along
            self._block(name, f"{type(error).__name__}: {' '.join(str(error).split())}")
            return
        self._order.append(name)
        self._readers += readers

    def _block(self, name: str, reason: str) -> None:
        if self._pluggy.has_plugin(name):
            self._pluggy.unregister(name=name)
        self._pluggy.set_blocked(name)
        self._problems.append(PluginProblem(name, reason))

    def _refusal(self, plugin: object) -> str:
        """Why the plugin is not acceptable: an unknown hook, or a hook that was not marked; "" if it is."""
        for attribute in dir(plugin):
            is_marked = self._pluggy.parse_hookimpl_opts(plugin, attribute) is not None
            if is_marked and not hasattr(spec, attribute):
                return f"implements the unknown hook {attribute}"
            if attribute.startswith("ragd_") and not is_marked and callable(getattr(plugin, attribute)):
                return f"{attribute} is not marked with @hookimpl"
        return ""

    def _offered(self, name: str) -> tuple[Reader, ...]:
        """The readers of one plugin, checked. Raises TypeError for what is not a Reader."""
        readers: list[Reader] = []
        for implementation in self._pluggy.hook.ragd_readers.get_hookimpls():
            if implementation.plugin_name != name:
                continue
            offered = implementation.function()
            if not isinstance(offered, list):
                raise TypeError(f"ragd_readers returned {type(offered).__name__}, not a list")
            for reader in offered:
                if not isinstance(reader, Reader):
                    raise TypeError(f"ragd_readers returned {type(reader).__name__}, which is not a Reader")
                readers.append(reader)
        return tuple(readers)


def load(entry_points: Iterable[metadata.EntryPoint] | None = None) -> Plugins:
    """Every installed plugin (entry point group `ragd`, or those given) and every bundled one."""
    plugins = Plugins()
    installed = metadata.entry_points(group=ENTRY_POINT_GROUP) if entry_points is None else entry_points
    for entry_point in sorted(installed, key=lambda point: point.name):
        plugins.add(entry_point.name, entry_point.load)
    package = importlib.import_module(BUNDLED_PACKAGE)
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda module: module.name):
        plugins.add(module.name, partial(importlib.import_module, f"{BUNDLED_PACKAGE}.{module.name}"))
    return plugins
