"""How often each chunk was found, counted without the queries, so that a new space is filled where it matters first."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from ragd.catalog.store import Store

_HALVED_EVERY_S = 7 * 86400.0
_LEAST = 0.25


class Found:
    """Writes the found table of one store; only the daemon's main thread does."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock

    def add(self, hits: Mapping[int, int]) -> None:
        """Counts hits by chunk id, without chunks that are gone; once a week all are halved, so that old fame fades."""
        with self._store.transaction() as db:
            db.executemany(
                "INSERT INTO found SELECT id, ? FROM chunks WHERE id = ?"
                " ON CONFLICT DO UPDATE SET hits = hits + excluded.hits",
                [(count, chunk_id) for chunk_id, count in hits.items()],
            )
            now = self._clock()
            row = db.execute("SELECT value FROM facts WHERE name = 'found_halved_at'").fetchone()
            if row is None or now - row[0] >= _HALVED_EVERY_S:
                db.execute(
                    "INSERT INTO facts VALUES ('found_halved_at', ?) ON CONFLICT DO UPDATE SET value = excluded.value",
                    (now,),
                )
                if row is not None:
                    db.execute("UPDATE found SET hits = hits / 2")
                    db.execute("DELETE FROM found WHERE hits < ?", (_LEAST,))
