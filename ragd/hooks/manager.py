"""Loads plugins into this process and keeps what they offer; a broken one is named and blocked, never fatal."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pluggy

from ragd.domain.deciding import TriggerPolicy
from ragd.domain.errors import PluginRefused
from ragd.domain.learning import Trainer
from ragd.domain.plugins import Event, Launcher, Tracker
from ragd.domain.ports import EncoderKind, Reader
from ragd.domain.training import PluginSource
from ragd.hooks import sources, spec
from ragd.hooks.offers import Offers, offers_of

_CHECK_HINT = "correct it; `ragd plugins check` says when it is in order"
# Readers of a file go before those of a package, and those before the bundled ones.
_PRECEDENCE = (sources.FILE, sources.INSTALLED, sources.BUNDLED)


@dataclass(frozen=True, slots=True)
class PluginProblem:
    """Why a plugin is not used: its name, one line of cause, and what to do."""

    plugin: str
    reason: str
    hint: str = ""


class Plugins:
    """The plugins of this process, those that take precedence first: in the order in which they are added."""

    def __init__(self) -> None:
        self._pluggy = pluggy.PluginManager("ragd")
        self._pluggy.add_hookspecs(spec)
        self._offers: dict[str, Offers] = {}
        self._problems: list[PluginProblem] = []

    def names(self) -> tuple[str, ...]:
        """The names of the plugins in use."""
        return tuple(self._offers)

    def problems(self) -> tuple[PluginProblem, ...]:
        """The plugins that are not used, with the reason."""
        return tuple(self._problems)

    def offers(self) -> Mapping[str, Offers]:
        """What each plugin in use offers, by its name."""
        return dict(self._offers)

    def readers(self) -> tuple[Reader, ...]:
        """Every reader on offer."""
        return tuple(reader for offers in self._offers.values() for reader in offers.readers)

    def trainers(self) -> tuple[Trainer, ...]:
        """Every trainer on offer, each name once."""
        return tuple(trainer for offers in self._offers.values() for trainer in offers.trainers)

    def encoders(self) -> tuple[EncoderKind, ...]:
        """Every kind of encoder on offer."""
        return tuple(kind for offers in self._offers.values() for kind in offers.encoders)

    def policies(self) -> tuple[TriggerPolicy, ...]:
        """Every trigger policy on offer."""
        return tuple(policy for offers in self._offers.values() for policy in offers.policies)

    def launchers(self) -> tuple[Launcher, ...]:
        """Every launcher on offer."""
        return tuple(launcher for offers in self._offers.values() for launcher in offers.launchers)

    def trackers(self) -> tuple[Tracker, ...]:
        """Every tracker on offer."""
        return tuple(tracker for offers in self._offers.values() for tracker in offers.trackers)

    def commands(self) -> Mapping[str, Callable[..., Any]]:
        """The commands on offer, by name."""
        return {name: function for offers in self._offers.values() for name, function in offers.commands.items()}

    def tell(self, event: Event) -> None:
        """Tells every plugin that listens; what one raises passes through."""
        self._pluggy.hook.ragd_event(event=event)

    def add(self, name: str, load: Callable[[], object]) -> None:
        """Registers what `load` returns under `name`; whatever goes wrong becomes a problem."""
        try:
            plugin = load()
            offers = offers_of(plugin)
            self._check_distinct(offers)
            self._pluggy.register(plugin, name)
            self._pluggy.check_pending()
        except PluginRefused as error:
            self._block(name, str(error), error.hint or _CHECK_HINT)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may fail in any way, and must not take the rest along
            self._block(name, _told(error, name), _CHECK_HINT)
        else:
            self._offers[name] = offers

    def _check_distinct(self, offers: Offers) -> None:
        taken = {trainer.name: plugin for plugin, held in self._offers.items() for trainer in held.trainers}
        for trainer in offers.trainers:
            if trainer.name in taken:
                raise PluginRefused(
                    f"offers the trainer {trainer.name}, as the plugin {taken[trainer.name]} does already",
                    hint="give the trainer another name",
                )

    def _block(self, name: str, reason: str, hint: str = "") -> None:
        if name not in self._offers:
            if self._pluggy.has_plugin(name):
                self._pluggy.unregister(name=name)
            self._pluggy.set_blocked(name)
        self._problems.append(PluginProblem(name, reason, hint))


def load(wanted: Iterable[PluginSource] | None = None) -> Plugins:
    """The given plugins, or every bundled and installed one; files first, then installed, then bundled ones.

    Their code runs here: give what a roster found usable, so that none hangs this process.
    """
    chosen = [*sources.installed(), *sources.bundled()] if wanted is None else list(wanted)
    plugins = Plugins()
    for source in sorted(chosen, key=lambda one: (_PRECEDENCE.index(one.source), one.name)):
        plugins.add(source.name, partial(sources.import_plugin, source))
    return plugins


def load_one(source: PluginSource) -> Plugins:
    """One plugin alone, as the process of its run needs it. Raises PluginRefused with the reason."""
    plugins = load([source])
    for problem in plugins.problems():
        raise PluginRefused(f"the plugin {problem.plugin} is not used: {problem.reason}", hint=problem.hint)
    return plugins


def _told(error: BaseException, name: str) -> str:
    """The error in one line, with the last line of the plugin's own file that had a part in it."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).stem == name]
    where = f" (line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}"
