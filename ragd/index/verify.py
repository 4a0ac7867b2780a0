"""The proof that an index equals the catalog, and its repair from stored vectors."""

from __future__ import annotations

import time

import numpy as np

from ragd.domain.index import Depth, HalfVectors, Ids, VerifyReport
from ragd.domain.ports import VectorSource
from ragd.index.generation import Generation

_SLICE_ROWS = 4096


def verify(
    generation: Generation, source: VectorSource, generation_id: int, *, depth: Depth = Depth.DIGEST
) -> VerifyReport:
    """Compares the index with what the catalog says it must hold; row by row only where their digests differ.

    `Depth.DIGEST` takes both digests as they were kept, `Depth.ROWS` counts the index's anew from its memory, and
    `Depth.FULL` compares every row as well. Call it where no change is committed meanwhile, or what is on its way
    shows as a difference. Ids in the report are sorted.
    """
    started = time.monotonic()
    before = generation.digest if depth is Depth.DIGEST else generation.recount()
    kept, held = source.digest(generation_id), generation.digest
    missing = ghosts = differing = np.empty(0, np.int64)
    if depth is Depth.FULL or kept != held:
        live, ids = source.live_ids(generation_id), generation.ids()
        missing = np.setdiff1d(live, ids, assume_unique=True)
        ghosts = np.setdiff1d(ids, live, assume_unique=True)
        common = np.intersect1d(live, ids, assume_unique=True)
        differing = _differing(generation, source, generation_id, common)
    is_equal = not (missing.size or ghosts.size or differing.size)
    return VerifyReport(
        catalog_chunks=kept.rows,
        index_chunks=held.rows,
        missing=tuple(missing.tolist()),
        ghosts=tuple(ghosts.tolist()),
        differing=tuple(differing.tolist()),
        # The rows are the same and what was counted of them is not: the counting is wrong, on one side or the other.
        is_miscounted=is_equal and (kept != held or before != held),
        seconds=time.monotonic() - started,
    )


def repair(generation: Generation, source: VectorSource, generation_id: int, report: VerifyReport) -> int:
    """Mends what `report` names, in place and without embedding; returns how many ids were touched.

    Each id is read again from the catalog, so a report that is a little old does no harm.
    """
    wrong = np.array(sorted({*report.missing, *report.ghosts, *report.differing}), np.int64)
    for start in range(0, wrong.size, _SLICE_ROWS):
        part = wrong[start : start + _SLICE_ROWS]
        live, vectors = source.live_vectors(generation_id, part)
        generation.apply(live, vectors, np.setdiff1d(part, live))
    generation.recount()
    return int(wrong.size)


def _differing(generation: Generation, source: VectorSource, generation_id: int, ids: Ids) -> Ids:
    found = [ids[:0]]
    for start in range(0, ids.size, _SLICE_ROWS):
        part = ids[start : start + _SLICE_ROWS]
        live, theirs = _by_id(*source.live_vectors(generation_id, part))
        held, ours = _by_id(*generation.stored(part))
        both, in_live, in_held = np.intersect1d(live, held, assume_unique=True, return_indices=True)
        if both.size:
            # By their bits: float16 goes through FAISS unchanged, and 0.0 is not -0.0.
            is_same = (theirs[in_live].view(np.uint16) == ours[in_held].view(np.uint16)).all(axis=1)
            found.append(both[~is_same])
    return np.concatenate(found)


def _by_id(ids: Ids, vectors: HalfVectors) -> tuple[Ids, HalfVectors]:
    order = np.argsort(ids)
    return ids[order], vectors[order]
