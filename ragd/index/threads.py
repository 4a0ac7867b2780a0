"""How many OpenMP threads FAISS takes: one beside searches, more only where a whole index is built."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import faiss

SERVING_THREADS = 1

# FAISS 1.15 turns to BLAS only from 128,000 values in the queries on (queries x dimension), a figure for many
# threads; with one thread BLAS is four times faster from about 800 on (facebookresearch/faiss pull request 5109).
# It decides how long a commit takes to find its rows' lists. FAISS keeps one number for the whole process.
faiss.cvar.distance_compute_blas_threshold = 800


def building_threads() -> int:
    """Threads for k-means and bulk assignment: two where the machine has them."""
    return min(2, os.cpu_count() or 1)


@contextmanager
def faiss_threads(count: int) -> Iterator[None]:
    """FAISS uses `count` OpenMP threads for calls made by this thread inside the block.

    OpenMP keeps the number for each calling thread apart, and a new thread starts with one per core;
    so every door into FAISS sets it, and no call at start-up can do it for all.
    """
    before = faiss.omp_get_max_threads()
    if before == count:
        yield
        return
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
