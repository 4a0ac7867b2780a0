from __future__ import annotations

from typing import Any

import faiss
import numpy as np
import pytest

from ragd.domain.digest import Digest
from ragd.domain.index import Depth, EmbeddingSpace, IndexPolicy, Vectors
from ragd.index.exact import ExactIndex
from ragd.index.generation import Generation
from ragd.index.restore import rebuild
from ragd.index.verify import repair, verify

DIMENSION = 16
NOTHING = np.empty(0, np.int64)
ONE = 1


def unit(rows: int, seed: int) -> Vectors:
    vectors: Vectors = np.random.default_rng(seed).standard_normal((rows, DIMENSION), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def flip_a_bit(generation: Generation, chunk_id: int) -> None:
    """What a bad memory cell does: one bit of one stored vector changes, and nobody is told."""
    index: Any = generation._index
    if isinstance(index, ExactIndex):
        index._codes()[index._slot_of[chunk_id], 5] ^= 4
        return
    lists = index._faiss.invlists
    for number in range(index._faiss.nlist):
        at = np.flatnonzero(index._ids_in(number) == chunk_id)
        if at.size:
            width = index._faiss.code_size
            codes = faiss.rev_swig_ptr(lists.get_codes(number), lists.list_size(number) * width)
            codes[int(at[0]) * width + 5] ^= 4


@pytest.fixture(params=[10_000, 100], ids=["exact", "ivf"])
def generation(request: pytest.FixtureRequest, space: EmbeddingSpace, source: Any) -> Generation:
    source.commit(range(500), unit(500, seed=1))
    return rebuild(space, source, ONE, IndexPolicy(ivf_above=request.param, exact_below=50))


def test_an_index_equal_to_its_catalog_is_clean_at_every_depth(generation: Generation, source: Any) -> None:
    for depth in Depth:
        report = verify(generation, source, ONE, depth=depth)
        assert report.is_clean
        assert (report.catalog_chunks, report.index_chunks) == (500, 500)
        assert report.seconds >= 0


def test_missing_ghost_and_differing_rows_are_named_and_mended(generation: Generation, source: Any) -> None:
    generation.apply(np.array([7, 900, 901]), unit(3, seed=2), np.array([1, 2]))
    report = verify(generation, source, ONE)
    assert (report.missing, report.ghosts, report.differing) == ((1, 2), (900, 901), (7,))
    assert not report.is_clean
    assert repair(generation, source, ONE, report) == 5
    assert verify(generation, source, ONE, depth=Depth.FULL).is_clean
    assert np.array_equal(generation.vectors(np.array([7]))[0], source.rows[7].astype(np.float32))


def test_the_digest_follows_every_change_in_place(generation: Generation, source: Any) -> None:
    random = np.random.default_rng(5)
    for turn in range(30):
        upsert = random.choice(700, 20)  # some of them twice
        vectors = unit(20, seed=turn)
        remove = np.unique(random.choice(700, 5))
        generation.apply(upsert, vectors.astype(np.float16), remove)
        source.commit(upsert.tolist(), vectors, remove=remove.tolist())
        assert verify(generation, source, ONE).is_clean
    assert generation.recount() == generation.digest


def test_one_flipped_bit_in_memory_is_found_where_rows_are_counted(generation: Generation, source: Any) -> None:
    flip_a_bit(generation, 77)
    assert verify(generation, source, ONE).is_clean, "the digest as kept knows nothing of memory"
    report = verify(generation, source, ONE, depth=Depth.ROWS)
    assert (report.missing, report.ghosts, report.differing) == ((), (), (77,))
    repair(generation, source, ONE, report)
    assert verify(generation, source, ONE, depth=Depth.ROWS).is_clean


def test_rows_that_are_equal_under_digests_that_are_not_mean_a_wrong_count(generation: Generation, source: Any) -> None:
    source.kept = Digest(500, 1)
    report = verify(generation, source, ONE)
    assert (report.is_clean, report.is_miscounted) == (False, True)
    assert (report.missing, report.ghosts, report.differing) == ((), (), ())
    source.kept = None
    assert verify(generation, source, ONE).is_clean


def test_one_unit_in_the_last_place_is_a_difference(generation: Generation, source: Any) -> None:
    source.rows[3] = np.nextafter(source.rows[3], np.float16(2))
    assert verify(generation, source, ONE, depth=Depth.FULL).differing == (3,)


def test_an_index_that_was_built_anew_keeps_its_digest(source: Any, space: EmbeddingSpace) -> None:
    source.commit(range(300), unit(300, seed=1))
    generation = rebuild(space, source, ONE, IndexPolicy(ivf_above=350, exact_below=50))
    source.commit(range(300, 400), unit(100, seed=2))
    ids, vectors = source.live_vectors(ONE, np.arange(300, 400))
    generation.apply(ids, vectors, NOTHING)
    assert generation.builds == 0
    generation.maintain()
    generation.wait_settled(60)
    assert (generation.facts().kind, generation.builds) == ("ivf", 1)
    assert verify(generation, source, ONE, depth=Depth.ROWS).is_clean


def test_a_report_that_grew_old_does_no_harm(generation: Generation, source: Any) -> None:
    generation.apply(NOTHING, unit(0, seed=0), np.array([1, 2]))
    report = verify(generation, source, ONE)
    source.commit([], unit(0, seed=0), remove=[1])
    generation.apply(np.array([2]), np.asarray(source.rows[2], np.float32)[None], NOTHING)
    repair(generation, source, ONE, report)
    assert verify(generation, source, ONE, depth=Depth.FULL).is_clean


def test_an_empty_catalog_empties_the_index(generation: Generation, source: Any) -> None:
    source.commit([], unit(0, seed=0), remove=range(500))
    repair(generation, source, ONE, verify(generation, source, ONE))
    assert len(generation) == 0
    assert verify(generation, source, ONE).is_clean
