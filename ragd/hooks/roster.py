"""Every plugin there is and how it stands, kept up to date; no plugin's code but ragd's own runs in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from ragd.domain.errors import PluginRefused
from ragd.domain.plugins import PluginFacts, TrainerFacts
from ragd.domain.training import PluginSource
from ragd.hooks import cache, facts, sources, trust
from ragd.hooks.describe import described
from ragd.hooks.look import Look

_LOOKS_AT_ONCE = 2
_WAIT_S = 0.02
_READERS_S = 5.0


class Roster:
    """The plugins of one configuration: bundled, installed, and files of the plugin folder.

    `step` is cheap (a few stats) and never waits: a plugin that is not known yet is looked at in a child, and stands as
    "being looked at" until then. `refresh` waits for all. What a healthy plugin offers is remembered by its hash in the
    state folder. Not for use by two threads at once; `facts` may be read from any.
    """

    def __init__(
        self,
        folder: Path,
        state: Path,
        *,
        disabled: Collection[str] = (),
        entry_points: Iterable[metadata.EntryPoint] | None = None,
        look: Callable[[PluginSource], Look] = Look,
    ) -> None:
        self._folder = folder
        self._state = state
        self._disabled = frozenset(disabled)
        self._look = look
        self._bundled = tuple(described(source) for source in sources.bundled())
        self._installed = sources.installed(entry_points)
        self._keys = {source: _installed_key(source) for source in self._installed}
        self._known: dict[str, PluginFacts] = dict(cache.remembered(state))
        self._looks: dict[str, Look] = {}
        self._marks: object = None
        self._files: tuple[PluginFacts, ...] = ()
        self._facts: tuple[PluginFacts, ...] = ()

    @property
    def facts(self) -> tuple[PluginFacts, ...]:
        """Every plugin as of the last step: bundled, installed, files, each by name."""
        return self._facts

    @property
    def is_looking(self) -> bool:
        """Whether plugins are being looked at."""
        return bool(self._looks)

    def trainers(self) -> Mapping[str, TrainerFacts]:
        """The trainers of plugins in use, by name."""
        return {trainer.name: trainer for one in self._facts if not one.problem for trainer in one.trainers}

    def source(self, plugin: str) -> PluginSource:
        """Where the code of a plugin in use is. Raises PluginRefused with the reason when it is not used."""
        for one in self._facts:
            if one.name == plugin:
                if one.problem:
                    raise PluginRefused(f"the plugin {plugin} is not used: {one.problem}", hint=one.hint)
                return _source(one)
        raise PluginRefused(f"there is no plugin {plugin}", hint="see `ragd plugins list`")

    def usable(self) -> tuple[PluginSource, ...]:
        """Where the code of every plugin in use is: for processes that load them."""
        return tuple(_source(one) for one in self._facts if not one.problem)

    def step(self) -> bool:
        """Takes in what changed in the folder or came out of a look; returns whether a plugin stands otherwise now."""
        marks = self._marked()
        if marks != self._marks:
            self._marks, self._files = marks, self._found_files()
        self._collect()
        before, self._facts = self._facts, self._settled()
        return before != self._facts

    def readers(self) -> tuple[PluginSource, ...]:
        """Where the code of the plugins in use is that offer readers: for processes that read files."""
        return tuple(_source(one) for one in self._facts if one.readers and not one.problem)

    def refresh(self, timeout_s: float | None = None) -> tuple[PluginFacts, ...]:
        """Looks at everything and waits for it: up to 20 s for each two plugins that hang, or `timeout_s` in all."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self.step()
        while self._looks and (deadline is None or time.monotonic() < deadline):
            time.sleep(_WAIT_S)
            self.step()
        return self._facts

    def close(self) -> None:
        """Ends the looks under way."""
        for look in self._looks.values():
            look.end()
        self._looks.clear()

    def _marked(self) -> object:
        """Changes when a plugin file, its rights or a pin does."""
        found = []
        for path in (*sources.plugin_files(self._folder), self._folder, self._state / trust.PINS_NAME):
            with suppress(OSError):
                facts = path.lstat()
                found.append((path, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size, facts.st_ino))
        return found

    def _found_files(self) -> tuple[PluginFacts, ...]:
        """The files of the folder: those that may run without a problem, their hash as the key to what they offer."""
        try:
            pins, refused = trust.read_pins(self._state), ("", "")
        except PluginRefused as error:
            pins, refused = {}, (str(error), error.hint)
        taken = {one.name for one in self._bundled} | {source.name for source in self._installed}
        found = []
        for path in sources.plugin_files(self._folder):
            try:
                problem, hint, sha256 = trust.problem_of(path, pins)
            except OSError:
                continue  # gone again
            if path.stem in taken:
                problem, hint = "another plugin has this name", f"rename {path.name}, then trust it by its new name"
            elif refused[0] and problem == trust.NOT_TRUSTED:
                problem, hint = refused
            found.append(PluginFacts(path.stem, sources.FILE, str(path), sha256, problem=problem, hint=hint))
        return tuple(found)

    def _collect(self) -> None:
        """Takes what finished looks found, and looks at what is unknown; a look at what is gone is ended."""
        wanted = dict(self._wanted())
        for key, look in list(self._looks.items()):
            if key not in wanted:
                look.end()
                del self._looks[key]
            elif (found := look.poll()) is not None:
                self._known[key] = found
                del self._looks[key]
                self._remember()
        for key, source in wanted.items():
            if key not in self._known and key not in self._looks and len(self._looks) < _LOOKS_AT_ONCE:
                self._looks[key] = self._look(source)

    def _wanted(self) -> Iterable[tuple[str, PluginSource]]:
        """The plugins whose facts are needed, each with the key that stands for its code."""
        for source in self._installed:
            if source.name not in self._disabled:
                yield self._keys[source], source
        for one in self._files:
            if not one.problem and one.name not in self._disabled:
                yield _file_key(one), _source(one)

    def _settled(self) -> tuple[PluginFacts, ...]:
        """Every plugin, with the trainers of each name used once: bundled before installed before files."""
        rows = [*self._bundled]
        rows += [self._looked(self._keys[source], _blank(source)) for source in self._installed]
        rows += [one if one.problem else self._looked(_file_key(one), one) for one in self._files]
        taken: dict[str, str] = {}
        settled = []
        for row in rows:
            one = replace(row, problem=facts.DISABLED, hint="") if row.name in self._disabled else row
            twice = [trainer.name for trainer in one.trainers if trainer.name in taken]
            if not one.problem and twice:
                problem = f"offers the trainer {twice[0]}, as the plugin {taken[twice[0]]} does already"
                one = replace(one, problem=problem, hint="give the trainer another name")
            if not one.problem:
                taken |= {trainer.name: one.name for trainer in one.trainers}
            settled.append(one)
        return tuple(settled)

    def _looked(self, key: str, blank: PluginFacts) -> PluginFacts:
        known = self._known.get(key)
        if known is None:
            return replace(blank, problem=facts.LOOKING)
        return replace(known, name=blank.name, path=blank.path)

    def _remember(self) -> None:
        wanted = {key for key, _ in self._wanted() if not key.startswith(_UNKEPT)}
        cache.remember(self._state, {key: one for key, one in self._known.items() if key in wanted and not one.problem})


def readers_in(folder: Path, state: Path, disabled: Collection[str] = ()) -> tuple[PluginSource, ...]:
    """The plugins whose readers a process uses: the usable ones, which as a rule are known without looking.

    One that was never seen to load is not waited for longer than five seconds; its readers serve from the next start.
    """
    roster = Roster(folder, state, disabled=disabled)
    try:
        roster.refresh(_READERS_S)
        return roster.readers()
    finally:
        roster.close()


_UNKEPT = "editable:"


def _file_key(one: PluginFacts) -> str:
    return f"file:{one.name}:{one.sha256}"


def _source(one: PluginFacts) -> PluginSource:
    return PluginSource(one.name, one.source, one.path, one.sha256)


def _blank(source: PluginSource) -> PluginFacts:
    return PluginFacts(source.name, source.source, source.path, source.sha256)


def _installed_key(source: PluginSource) -> str:
    """Stands for the code of an installed plugin: its distribution's version; one being developed is not remembered."""
    for point in metadata.entry_points(group=sources.ENTRY_POINT_GROUP, name=source.name):
        if point.value == source.path and point.dist is not None:
            is_editable = '"editable": true' in (point.dist.read_text("direct_url.json") or "")
            name, version = point.dist.metadata["Name"], point.dist.version
            return f"{_UNKEPT if is_editable else 'installed:'}{source.name}:{source.path}:{name}:{version}"
    return f"{_UNKEPT}{source.name}:{source.path}"
