"""The proof that an index equals the catalog, and its repair from stored vectors."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from ragd.domain.index import HalfVectors, Ids, VerifyReport
from ragd.domain.ports import VectorSource
from ragd.index.generation import Generation

_SLICE_ROWS = 4096
# FAISS and numpy round to float16 differently in .006 % of the values, by one unit in the last place.
_UNIT = 2.0**-10
_SMALLEST = 2.0**-24


def verify(
    generation: Generation, source: VectorSource, generation_id: int, *, sample: int | None = 10_000, seed: int = 0
) -> VerifyReport:
    """Compares every id, and the vectors of `sample` common ids chosen at random (None: of all).

    Call it where no change is committed meanwhile, or what is on its way shows as a difference. Vectors
    are equal when no value is further off than one unit of float16. Ids in the report are sorted.
    """
    started = time.monotonic()
    live, held = source.live_ids(generation_id), generation.ids()
    common = np.intersect1d(live, held, assume_unique=True)
    if sample is not None and sample < common.size:
        common = np.sort(np.random.default_rng(seed).choice(common, sample, replace=False))
    return VerifyReport(
        catalog_chunks=int(live.size),
        index_chunks=int(held.size),
        missing=_listed(np.setdiff1d(live, held, assume_unique=True)),
        ghosts=_listed(np.setdiff1d(held, live, assume_unique=True)),
        differing=_listed(_differing(generation, source, generation_id, common)),
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
    return int(wrong.size)


def _differing(generation: Generation, source: VectorSource, generation_id: int, ids: Ids) -> Ids:
    found = [ids[:0]]
    for start in range(0, ids.size, _SLICE_ROWS):
        part = ids[start : start + _SLICE_ROWS]
        live, theirs = _by_id(*source.live_vectors(generation_id, part))
        held, ours = _by_id(*generation.stored(part))
        both, in_live, in_held = np.intersect1d(live, held, assume_unique=True, return_indices=True)
        if both.size:
            found.append(both[~_is_same(theirs[in_live], ours[in_held])])
    return np.concatenate(found)


def _by_id(ids: Ids, vectors: HalfVectors) -> tuple[Ids, HalfVectors]:
    order = np.argsort(ids)
    return ids[order], vectors[order]


def _is_same(left: HalfVectors, right: HalfVectors) -> npt.NDArray[np.bool_]:
    a, b = left.astype(np.float32), right.astype(np.float32)
    allowed = np.maximum(np.abs(a), np.abs(b)) * _UNIT + _SMALLEST
    is_same: npt.NDArray[np.bool_] = (np.abs(a - b) <= allowed).all(axis=1)
    return is_same


def _listed(ids: Ids) -> tuple[int, ...]:
    return tuple(ids.tolist())
