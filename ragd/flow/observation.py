"""Looks at what comes in, documents and queries, in a thread of its own: no commit ever waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ragd.catalog.reader import CatalogReader
from ragd.config.events import get_log
from ragd.domain.clock import is_due
from ragd.domain.deciding import Window
from ragd.domain.errors import DiskFull, StateCorrupt
from ragd.domain.index import HalfVectors
from ragd.flow.generations import Generations, Live
from ragd.flow.journal import QueryJournal
from ragd.learn.observe import Observer, spread_blocks
from ragd.learn.remembered import recalled, remember

_LOG = get_log("ragd.learn")
_ROUND_S = 2.0
_SAVE_S = 300.0
_MOST_ROWS = 4000  # taken in one round, so that a stop never waits long
KINDS = ("documents", "queries")


class Observation:
    """Feeds an observer of each kind; the main thread collects the windows they filled.

    New document vectors are read from the catalog by its change sequence, query vectors from the journal's memory. In
    another embedding space everything is learned anew. While the folder is being indexed for the first time nothing is
    looked at: what is usual is learned from a spread of the whole, once it is there.
    """

    def __init__(
        self,
        reader: CatalogReader,
        generations: Generations,
        journal: QueryJournal,
        folder: Path,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._reader, self._generations, self._journal = reader, generations, journal
        self._folder = folder
        self._clock = clock
        self._observers: dict[str, Observer] = {}
        self._sequence: int | None = None
        self._heard = 0
        self._lock = threading.Lock()
        self._windows: list[Window] = []
        self._charged_s = 0.0
        self._renewing: set[str] = set()
        self._stopping = threading.Event()
        self._saved_at = clock()
        self._thread = threading.Thread(target=self._run, name="observe", daemon=True)

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; what was learned is kept for the next start."""
        self._stopping.set()
        self._thread.join(10.0)

    def collect(self) -> tuple[list[Window], float]:
        """The windows filled since the last call, oldest first, and the CPU seconds that looking took. Any thread."""
        with self._lock:
            windows, self._windows = self._windows, []
            total = sum(observer.cost_s for observer in self._observers.values())
            cost_s, self._charged_s = max(0.0, total - self._charged_s), total
        return windows, cost_s

    def renew(self) -> None:
        """What came in lately counts as usual from here on: a model was trained on it. Any thread."""
        with self._lock:
            self._renewing.update(KINDS)

    def missing(self) -> dict[str, int]:
        """How many full windows each kind still needs before it can tell drift."""
        return {kind: observer.missing for kind, observer in self._observers.items()}

    def step(self) -> None:
        """One round; the thread's, or a test's."""
        serving = self._generations.serving
        self._follow(serving)
        with self._lock:
            renewing, self._renewing = self._renewing, set()
        for kind in renewing:
            self._observers[kind].renew()
        self._add("documents", self._new_documents(serving))
        self._add("queries", self._new_queries(serving))
        if is_due(self._clock(), self._saved_at, _SAVE_S):
            self._save()

    def _run(self) -> None:
        while not self._stopping.wait(_ROUND_S):
            try:
                self.step()
            except Exception:  # noqa: BLE001 - an edge: observing must never take the daemon along
                _LOG.exception("observation_broke")
        self._save()

    def _follow(self, serving: Live) -> None:
        """Observers for the space that serves now."""
        space, dimension = serving.space.fingerprint, serving.space.dimension
        if self._observers and self._observers["documents"].space == space:
            return
        observers = {kind: self._recalled(kind, space, dimension) for kind in KINDS}
        with self._lock:
            self._observers = observers
            self._charged_s = sum(observer.cost_s for observer in observers.values())
        self._sequence = None
        self._heard = 0

    def _recalled(self, kind: str, space: str, dimension: int) -> Observer:
        path = self._folder / f"{kind}.safetensors"
        try:
            return recalled(path, kind, space, dimension)
        except StateCorrupt as error:
            _LOG.warning("observer_forgotten", kind=kind, reason=error)
            path.unlink(missing_ok=True)
            return recalled(path, kind, space, dimension)

    def _new_documents(self, serving: Live) -> HalfVectors | None:
        replay = self._reader.replay
        observer = self._observers["documents"]
        if self._sequence is None:
            if any(self._reader.overview.waiting()):
                return None
            self._sequence = replay.change_sequence()
            if not observer.missing:
                return None
            ids = replay.live_ids(serving.id)
            chosen = np.array([row for block in spread_blocks(len(ids), observer.lens) for row in block], np.int64)
            return replay.live_vectors(serving.id, ids[chosen])[1] if chosen.size else None
        newest = replay.change_sequence()
        changed = replay.changed_since(serving.id, self._sequence)
        self._sequence = newest
        if changed is None or not changed.size:
            return None
        return replay.live_vectors(serving.id, changed[-_MOST_ROWS:])[1]

    def _new_queries(self, serving: Live) -> HalfVectors | None:
        heard, vectors = self._journal.recent(serving.space.fingerprint)
        new = min(heard - self._heard, len(vectors))
        self._heard = heard
        return vectors[len(vectors) - new :] if new > 0 else None

    def _add(self, kind: str, vectors: HalfVectors | None) -> None:
        if vectors is None or not len(vectors):
            return
        windows = self._observers[kind].add(vectors, self._clock())
        with self._lock:
            self._windows.extend(windows)

    def _save(self) -> None:
        self._saved_at = self._clock()
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for kind, observer in self._observers.items():
                remember(observer, self._folder / f"{kind}.safetensors")
        except DiskFull as error:
            _LOG.warning("observers_not_kept", reason=error)
