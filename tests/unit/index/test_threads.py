from __future__ import annotations

from threading import Thread

import faiss

from ragd.index.threads import building_threads, faiss_threads


def test_threads_are_set_for_the_block_alone() -> None:
    before = faiss.omp_get_max_threads()
    with faiss_threads(1):
        assert faiss.omp_get_max_threads() == 1
        with faiss_threads(building_threads()):
            assert faiss.omp_get_max_threads() == building_threads()
        assert faiss.omp_get_max_threads() == 1
    assert faiss.omp_get_max_threads() == before


def test_every_thread_has_its_own_number_so_each_call_must_set_it() -> None:
    seen: list[int] = []
    with faiss_threads(1):
        fresh = Thread(target=lambda: seen.append(faiss.omp_get_max_threads()))
        fresh.start()
        fresh.join()
    with faiss_threads(3):
        other = Thread(target=lambda: seen.append(faiss.omp_get_max_threads()))
        other.start()
        other.join()
    assert seen[0] == seen[1]


def test_a_batch_of_rows_is_assigned_by_blas_and_a_single_query_is_not() -> None:
    threshold = faiss.cvar.distance_compute_blas_threshold
    assert 1 * 384 < threshold < 8 * 384
