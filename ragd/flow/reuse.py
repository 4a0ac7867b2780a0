"""Puts vectors that an evaluation made anyway into a new generation, so that no worker makes them again."""

from __future__ import annotations

from pathlib import Path

from ragd.catalog.models import Model
from ragd.catalog.registry import Registry
from ragd.config.events import get_log
from ragd.domain.errors import ArtifactInvalid, DiskFull
from ragd.domain.index import EmbeddingSpace
from ragd.domain.training import RunPlaces
from ragd.flow.ingest import Ingest
from ragd.learn.encoded import read_encoded

_LOG = get_log("ragd.flow")
_SLICE_ROWS = 512


class Reuse:
    """Reads from the folder of the run that a model came out of; main thread only."""

    def __init__(self, registry: Registry, runs: Path, ingest: Ingest) -> None:
        self._registry, self._runs, self._ingest = registry, runs, ingest

    def __call__(self, model: Model, generation: int, space: EmbeddingSpace) -> int:
        """Takes what there is of this space; returns how many chunks now have their vector. Chunks that left meanwhile
        are passed over, and a damaged file or a full disk only costs the time to make the vectors again."""
        run_id = self._registry.show(model.id)["run_id"]
        taken = 0
        try:
            found = read_encoded(RunPlaces(self._runs / run_id).encoded, space) if run_id else None
            if found is None:
                return 0
            ids, vectors = found
            for at in range(0, len(ids), _SLICE_ROWS):
                part = slice(at, at + _SLICE_ROWS)
                taken += self._ingest.take_vectors(generation, tuple(ids[part].tolist()), vectors[part])
        except (ArtifactInvalid, DiskFull) as error:
            _LOG.warning("encoded_unusable", model=model.label, reason=error)
        _LOG.info("reused", model=model.label, chunks=taken)
        return taken
