"""Cuts back what grows to its limit: what is due at each turn, in slices so short that no job waits for them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable

from ragd.app import App
from ragd.catalog.purge import crowded_out, give_back, purge
from ragd.config.events import get_log
from ragd.index.snapshot import kept_sequences

_LOG = get_log("ragd.daemon")
_BUDGET_S = 0.05
_DAY_S = 86400.0
_MIB = 1024 * 1024

Slice = Callable[[], int]
"""Does a bounded part of something; returns how much it did, 0 when nothing is left."""


class Retention:
    """One `step` a tick, in the main thread: each `retain.turn_s` a turn begins, and goes on until it is done.

    `may_drop` says whether vectors of retired generations may go now, `dropped` hears of a generation that is gone.
    """

    def __init__(
        self,
        app: App,
        *,
        may_drop: Callable[[], bool],
        dropped: Callable[[int], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._app = app
        self._limits = app.config.retain
        self._may_drop, self._dropped = may_drop, dropped
        self._clock = clock
        self._begun = 0.0
        self._before = 0.0
        self._left: list[Slice] = []

    def step(self) -> None:
        """Slices of what is left of the turn, for some milliseconds. Raises DiskFull."""
        now = self._clock()
        if not self._left and now - self._begun >= self._limits.turn_s:
            self._begun = now
            self._begin(now)
        started = time.perf_counter()
        while self._left and time.perf_counter() - started < _BUDGET_S:
            if not self._left[0]():
                self._left.pop(0)

    def _begin(self, now: float) -> None:
        app, limits = self._app, self._limits
        for live in app.generations.all:
            kept = kept_sequences(app.places.generation(live.id))
            app.tables.vectors.trim_changes(live.id, kept[-1] if kept else 0, limits.changes)
        self._before = max(now - limits.days * _DAY_S, crowded_out(app.tables.store, limits.chunks))
        self._remove_strange_folders()
        self._left = [
            lambda: app.tables.receipts.trim(limits.receipts),
            self._drop_retired,
            lambda: purge(app.tables.store, self._before),
            lambda: give_back(app.tables.store, limits.free_mb * _MIB),
        ]

    def _drop_retired(self) -> int:
        if not self._may_drop():
            return 0
        rows, gone = self._app.tables.vectors.drop_retired(limit=1000)
        for generation in gone:
            self._dropped(generation)
            shutil.rmtree(self._app.places.generation(generation), ignore_errors=True)
            _LOG.info("dropped", generation=generation)
        return rows + len(gone)

    def _remove_strange_folders(self) -> None:
        """Snapshots of generations that the catalog does not know: left by a kill between the one and the other."""
        known = {str(generation) for generation in self._app.tables.vectors.known()}
        folder = self._app.places.generations
        for place in folder.iterdir() if folder.is_dir() else ():
            if place.name.isdigit() and place.name not in known:
                shutil.rmtree(place, ignore_errors=True)
                _LOG.info("dropped", generation=place.name, reason="unknown")
