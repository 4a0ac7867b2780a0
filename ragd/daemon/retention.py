"""Cuts back what grows to its limit: what is due at each turn, in slices so short that no job waits for them."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable

from ragd.app import App
from ragd.catalog.purge import Crowd, give_back, purge
from ragd.config.events import get_log
from ragd.config.schema import Retain
from ragd.daemon.heaps import Trim
from ragd.domain.clock import Jumps, is_due, steady
from ragd.index.snapshot import kept_sequences

_LOG = get_log("ragd.daemon")
_BUDGET_S = 0.05
_DAY_S = 86400.0
_MIB = 1024 * 1024
_JUMP_S = 3600.0  # what is less may be summer time that somebody set by hand, or a clock that drifted
_DOUBT_S = _DAY_S

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
        steady: Callable[[], float] = steady,
    ) -> None:
        self._app = app
        self._may_drop, self._dropped = may_drop, dropped
        self._clock, self._steady = clock, steady
        self._jumps = Jumps(clock(), steady())
        self._astray_s = 0.0
        self._jumped_at = -math.inf
        self._begun = 0.0
        self._left: list[Slice] = []
        self._trim = Trim()

    @property
    def _limits(self) -> Retain:
        return self._app.config.retain

    def step(self) -> None:
        """Slices of what is left of the turn, for some milliseconds. Raises DiskFull."""
        now = self._clock()
        self._notice_jump(now)
        if not self._left and is_due(now, self._begun, self._limits.turn_s):
            self._begun = now
            self._begin(now)
        started = time.perf_counter()
        while self._left and time.perf_counter() - started < _BUDGET_S:
            if not self._left[0]():
                self._left.pop(0)

    @property
    def reasons(self) -> list[str]:
        """What is wrong with the clock that ages are told by, for a day after it jumped."""
        if not self._is_doubted():
            return []
        return [
            f"the clock was set forward by {_spoken(self._astray_s)}: nothing expires for a day (if the time is wrong, "
            "set it right, for example `sudo timedatectl set-ntp true`; if it is right now, nothing is to be done)"
        ]

    def _notice_jump(self, now: float) -> None:
        astray_s = self._jumps.astray_s(now, self._steady())
        moved_s, self._astray_s = astray_s - self._astray_s, astray_s
        if abs(moved_s) < _JUMP_S:
            return
        _LOG.warning("clock_jumped", seconds=round(moved_s), astray_s=round(astray_s))
        if moved_s > 0:
            self._jumped_at = self._steady()

    def _is_doubted(self) -> bool:
        return self._astray_s >= _JUMP_S and self._steady() - self._jumped_at < _DOUBT_S

    def _begin(self, now: float) -> None:
        app, limits = self._app, self._limits
        for live in app.generations.all:
            kept = kept_sequences(app.places.generation(live.id))
            app.tables.vectors.trim_changes(live.id, kept[-1] if kept else 0, limits.changes)
        # After a jump of the clock nothing is older than it was a moment ago.
        expired = 0.0 if self._is_doubted() else now - limits.days * _DAY_S
        crowd = Crowd(app.tables.store, limits.chunks)
        self._remove_strange_folders()
        self._left = [
            crowd.step,
            lambda: app.tables.receipts.trim(limits.receipts),
            self._drop_retired,
            lambda: purge(app.tables.store, max(expired, crowd.before)),
            lambda: give_back(app.tables.store, limits.free_mb * _MIB),
            self._trim.step,
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


def _spoken(seconds: float) -> str:
    return f"{seconds / _DAY_S:.1f} days" if seconds >= _DAY_S else f"{seconds / 3600:.1f} hours"
