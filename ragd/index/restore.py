"""A generation as the catalog says it must be: the newest good snapshot and what changed since, or built anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

import numpy as np

from ragd.domain.index import EmbeddingSpace, Ids, IndexPolicy
from ragd.domain.ports import VectorSource
from ragd.index.building import built
from ragd.index.generation import Generation
from ragd.index.policy import kind_for
from ragd.index.snapshot import Loaded, good_snapshots

_SLICE_ROWS = 4096


class Origin(StrEnum):
    """Where a restored generation came from: a snapshot with its replay, or the catalog's vectors."""

    SNAPSHOT = "snapshot"
    REBUILT = "rebuilt"


@dataclass(frozen=True, slots=True)
class Restored:
    """A generation equal to the catalog, how it came about, how many ids were replayed, and what was refused."""

    generation: Generation
    origin: Origin
    replayed: int
    refused: tuple[str, ...]


def restore(
    folder: Path,
    space: EmbeddingSpace,
    source: VectorSource,
    generation_id: int,
    policy: IndexPolicy,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Restored:
    """The generation `generation_id` of `source`, from the snapshots in `folder` where that is possible.

    Nothing is embedded and nothing in the folder changes. `progress` hears (rows done, rows in all). A
    snapshot is passed over when it is damaged, of another space, newer than the catalog (which then was put
    back from a copy), or older than the catalog's log of changes. No change may be committed meanwhile.
    """
    refused: list[str] = []
    for loaded in good_snapshots(folder, space, policy, refused):
        changed = _changed(loaded, source, generation_id, refused)
        if changed is not None:
            _replay(loaded.generation, source, generation_id, changed, progress)
            return Restored(loaded.generation, Origin.SNAPSHOT, int(changed.size), tuple(refused))
    rebuilt = rebuild(space, source, generation_id, policy, progress=progress)
    return Restored(rebuilt, Origin.REBUILT, 0, tuple(refused))


def rebuild(
    space: EmbeddingSpace,
    source: VectorSource,
    generation_id: int,
    policy: IndexPolicy,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Generation:
    """A generation built from the stored vectors alone, in slices, in the kind that its size asks for."""
    sequence = source.change_sequence()
    ids = source.live_ids(generation_id)
    fetch = partial(source.live_vectors, generation_id)

    def step(done: int) -> None:
        if progress is not None:
            progress(done, int(ids.size))

    index = built(kind_for(ids.size, policy), ids, fetch, space.dimension, policy, step)
    return Generation(index, policy, sequence=sequence)


def _changed(loaded: Loaded, source: VectorSource, generation_id: int, refused: list[str]) -> Ids | None:
    """The ids that changed after the snapshot; None, with the reason in `refused`, when that is not known."""
    sequence, newest = loaded.manifest.sequence, source.change_sequence()
    if sequence > newest:
        refused.append(f"the snapshot at change {sequence} is newer than the catalog at {newest}")
        return None
    changed = source.changed_since(generation_id, sequence)
    if changed is None:
        refused.append(f"the snapshot at change {sequence} is older than the catalog's log of changes")
    return changed


def _replay(
    generation: Generation,
    source: VectorSource,
    generation_id: int,
    changed: Ids,
    progress: Callable[[int, int], None] | None,
) -> None:
    sequence = source.change_sequence()
    for start in range(0, changed.size, _SLICE_ROWS):
        part = changed[start : start + _SLICE_ROWS]
        live, vectors = source.live_vectors(generation_id, part)
        generation.apply(live, vectors, np.setdiff1d(part, live))
        if progress is not None:
            progress(min(start + _SLICE_ROWS, changed.size), int(changed.size))
    generation.advance(sequence)
