"""What the daemon does between jobs, in its main thread: lost work, index upkeep, snapshots, retention."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ragd.app import App
from ragd.config.events import get_log
from ragd.daemon.retention import Retention
from ragd.disk.leftovers import sweep
from ragd.domain.clock import is_due
from ragd.domain.errors import DiskFull, RagdError
from ragd.domain.index import Depth
from ragd.flow.generations import Live
from ragd.index.snapshot import kept_sequences, write_snapshot

_LOG = get_log("ragd.daemon")
_LOST_EVERY_S = 5.0
_FOUND_EVERY_S = 30.0
_LEFT_S = 600.0
_AGAIN_S = 60.0


@dataclass(slots=True)
class _Due:
    """When each kind of upkeep was done last, and building an index failed last, Unix seconds."""

    lost: float = 0.0
    snapshot: float = 0.0
    found: float = 0.0
    proven: float = 0.0
    index: float = 0.0


class Upkeep:
    """One `step` a tick; each does a bounded slice, so that jobs never wait long."""

    def __init__(
        self,
        app: App,
        *,
        is_alive: Callable[[str], bool],
        embed_workers: Callable[[], int],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._app = app
        self._is_alive = is_alive
        self._embed_workers = embed_workers
        self._clock = clock
        self._due = _Due(snapshot=clock(), found=clock(), proven=clock())
        swept = sweep(app.config.state, older_than=clock() - _LEFT_S)
        if swept:
            _LOG.info("leftovers_removed", names=", ".join(swept[:20]), count=len(swept))
        self._old_roots: list[int] = []
        self.roots_changed()
        self._snapshot: threading.Thread | None = None
        self._retention = Retention(app, may_drop=self._may_drop, dropped=self._forget, clock=clock)
        self._written = {
            live.id: _state_of(live) for live in app.generations.all if live.origin.startswith("snapshot, 0 ")
        }
        self.problems: dict[str, str] = {}

    def roots_changed(self) -> None:
        """Other folders are configured: documents of those that are no more are removed, a slice a turn."""
        self._old_roots = [r.id for r in self._app.tables.documents.roots() if r.id not in self._app.roots]

    def step(self) -> None:
        """A turn of everything that is due."""
        now = self._clock()
        self._app.ingest.step()
        if self._old_roots and not self._app.ingest.drop_root(self._old_roots[-1]):
            self._old_roots.pop()
        if is_due(now, self._due.lost, _LOST_EVERY_S):
            self._due.lost = now
            self._app.dispatch.embed_workers = self._embed_workers()
            lost = self._app.dispatch.find_lost(self._is_alive)
            if lost:
                _LOG.warning("jobs_sent_again", batches=lost)
                self._app.dispatch.step()
        self._maintain_indexes(now)
        self._app.promotions.step()
        if is_due(now, self._due.found, _FOUND_EVERY_S):
            self._due.found = now
            self._app.tables.found.add(self._app.answer.take_found())
        if is_due(now, self._due.snapshot, self._app.config.index.snapshot_s):
            self._due.snapshot = now
            self.start_snapshot()
        if self._app.prover.is_due or is_due(now, self._due.proven, self._app.config.index.verify_s):
            self._due.proven = now
            self._prove()
        self._retention.step()

    def start_snapshot(self) -> None:
        """Writes snapshots in the background of the indexes that changed since their last one."""
        if self._snapshot is not None and self._snapshot.is_alive():
            return
        if self._changed():
            self._snapshot = threading.Thread(target=self._write, name="snapshot", daemon=True)
            self._snapshot.start()

    def finish(self) -> None:
        """The last snapshots, written before the daemon stops."""
        if self._snapshot is not None:
            self._snapshot.join()
        self._write()

    @property
    def reasons(self) -> list[str]:
        """What is wrong here, and with models: one sentence each."""
        return [*self.problems.values(), *self._retention.reasons, *self._app.promotions.said.values()]

    @property
    def is_clearing(self) -> bool:
        """True while documents of folders that are no longer configured are being removed."""
        return bool(self._old_roots)

    def _changed(self) -> list[Live]:
        return [live for live in self._app.generations.all if not self._is_kept(live)]

    def _is_kept(self, live: Live) -> bool:
        """Whether a snapshot holds what the index holds now, and is still there: somebody may have removed it."""
        is_written = self._written.get(live.id) == _state_of(live)
        return is_written and bool(kept_sequences(self._app.places.generation(live.id)))

    def _write(self) -> None:
        for live in self._changed():
            state = _state_of(live)
            try:
                folder = self._app.places.generation(live.id)
                manifest = write_snapshot(folder, live.space, live.index, keep=self._app.config.retain.snapshots)
            except (DiskFull, OSError) as error:
                self.problems["snapshot"] = f"no snapshot of the index: {error}"
                _LOG.error("snapshot_failed", reason=error)
                return
            self._written[live.id] = (manifest.sequence, *state[1:])
            _LOG.info("snapshot_written", generation=live.id, sequence=manifest.sequence, chunks=manifest.chunks)
        self.problems.pop("snapshot", None)

    def _maintain_indexes(self, now: float) -> None:
        if not is_due(now, self._due.index, _AGAIN_S):
            return
        try:
            for live in self._app.generations.all:
                live.index.maintain()
            self.problems.pop("index", None)
        except (RagdError, MemoryError, RuntimeError) as error:
            self._due.index = now  # a build takes much memory and time: not at every tick again
            self.problems["index"] = f"the index could not change its kind: {error}"
            _LOG.error("index_upkeep_failed", reason=error)

    def _prove(self) -> None:
        self._app.prover.prove(Depth.ROWS, should_repair=True)
        if self._app.prover.proven_at is None:
            self.problems["proof"] = "the index differs from the catalog (see what: ragd verify --full)"
        else:
            self.problems.pop("proof", None)

    def _may_drop(self) -> bool:
        """Vectors that were given up go when those in their place are there, and no snapshot is being written."""
        is_writing = self._snapshot is not None and self._snapshot.is_alive()
        return not is_writing and self._app.reader.overview.waiting()[1] == 0

    def _forget(self, generation: int) -> None:
        self._written.pop(generation, None)


def _state_of(live: Live) -> tuple[int, str, int]:
    """What tells one snapshot from the next: the rows' change sequence, the fit of the lists, and how often built."""
    return live.index.sequence, live.index.fit_digest, live.index.builds
