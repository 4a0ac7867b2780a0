"""What the index must hold, read from the truth: whole for a rebuild, or what changed since a snapshot."""

from __future__ import annotations

import numpy as np

from ragd.catalog.connections import Connections
from ragd.catalog.digests import as_rows, digest_in
from ragd.domain.digest import Digest
from ragd.domain.index import HalfVectors, Ids

_SLICE = 512


class Replay:
    """A domain.ports.VectorSource over the catalog; usable from any thread."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def change_sequence(self) -> int:
        """The newest change of what is live; 0 when nothing ever was."""
        row = self._connections.mine.execute("SELECT seq FROM sqlite_sequence WHERE name = 'changes'").fetchone()
        return int(row[0]) if row else 0

    def changed_since(self, generation: int, sequence: int) -> Ids | None:
        """Chunks whose membership changed after `sequence`; None when the log no longer reaches back."""
        # The floor without a number is of a catalog that knew one generation only.
        floor = self._connections.mine.execute(
            "SELECT max(value) FROM facts WHERE name IN ('changes_floor', ?)", (f"changes_floor {generation}",)
        ).fetchone()[0]
        if floor is not None and sequence < floor:
            return None
        rows = self._connections.mine.execute(
            "SELECT DISTINCT chunk_id FROM changes WHERE seq > ? AND generation = ? ORDER BY chunk_id",
            (sequence, generation),
        )
        return np.fromiter((row[0] for row in rows), dtype=np.int64)

    def live_ids(self, generation: int) -> Ids:
        """Every chunk the index must hold, sorted."""
        rows = self._connections.mine.execute(
            "SELECT v.chunk_id FROM vectors v JOIN chunks c ON c.id = v.chunk_id"
            " WHERE v.generation = ? AND c.refs > 0 ORDER BY v.chunk_id",
            (generation,),
        )
        return np.fromiter((row[0] for row in rows), dtype=np.int64)

    def live_vectors(self, generation: int, ids: Ids) -> tuple[Ids, HalfVectors]:
        """Those of `ids` that are live now, with their vectors (n, dimension) as float16."""
        found: list[int] = []
        raw: list[bytes] = []
        for at in range(0, len(ids), _SLICE):
            part = [int(i) for i in ids[at : at + _SLICE]]
            marks = ",".join("?" * len(part))
            for chunk_id, vector in self._connections.mine.execute(
                f"SELECT v.chunk_id, v.vector FROM vectors v JOIN chunks c ON c.id = v.chunk_id"
                f" WHERE v.generation = ? AND v.chunk_id IN ({marks}) AND c.refs > 0",
                (generation, *part),
            ):
                found.append(chunk_id)
                raw.append(vector)
        return as_rows(found, raw)

    def digest(self, generation: int) -> Digest:
        """The digest of what the index must hold, as it was kept with every change."""
        return digest_in(self._connections.mine, generation)
