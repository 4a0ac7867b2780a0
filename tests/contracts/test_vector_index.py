"""What every VectorIndex promises, held against each implementation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragd.domain.errors import GenerationCorrupt
from ragd.domain.index import Ids, IndexPolicy, Vectors
from ragd.domain.ports import VectorIndex
from ragd.index.exact import ExactIndex
from ragd.index.ivf import IvfIndex

DIMENSION = 16
Make = Callable[[], VectorIndex]


def unit(rows: int, seed: int, dimension: int = DIMENSION) -> Vectors:
    vectors: Vectors = np.random.default_rng(seed).standard_normal((rows, dimension), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def ids_of(*ids: int) -> Ids:
    return np.array(ids, np.int64)


def make_exact() -> VectorIndex:
    return ExactIndex(DIMENSION)


def make_ivf() -> VectorIndex:
    # Every list is looked at, so that answers can be compared with exact ones.
    index = IvfIndex(DIMENSION)
    index.fit(unit(500, seed=99), IndexPolicy(nprobe=64))
    return index


READERS: dict[str, Callable[[Path], VectorIndex]] = {
    "exact": ExactIndex.read,
    "ivf": lambda path: IvfIndex.read(path, nprobe=64),
}


@pytest.fixture(params=[make_exact, make_ivf], ids=["exact", "ivf"])
def make(request: pytest.FixtureRequest) -> Make:
    factory: Make = request.param
    return factory


@pytest.fixture
def index(make: Make) -> VectorIndex:
    return make()


def test_it_is_a_vector_index_of_its_dimension(index: VectorIndex) -> None:
    promised: VectorIndex = index
    assert promised.dimension == DIMENSION


def test_an_empty_index_answers_with_nothing(index: VectorIndex) -> None:
    scores, ids = index.search(unit(2, seed=1), 3)
    assert ids.tolist() == [[-1] * 3] * 2
    assert scores.shape == (2, 3)
    assert len(index) == 0
    assert index.ids().tolist() == []
    assert index.remove(ids_of(1, 2)) == 0
    assert index.facts().chunks == 0


def test_a_row_is_found_by_its_own_vector_with_its_inner_product(index: VectorIndex) -> None:
    vectors = unit(300, seed=2)
    ids = np.arange(300, dtype=np.int64) * 1_000_003
    index.upsert(ids, vectors)
    scores, found = index.search(vectors[:50], 1)
    assert found[:, 0].tolist() == ids[:50].tolist()
    assert np.allclose(scores[:, 0], 1.0, atol=2e-3)


def test_scores_descend_and_equal_the_inner_products(index: VectorIndex) -> None:
    vectors, query = unit(200, seed=3), unit(1, seed=4)
    index.upsert(np.arange(200), vectors)
    scores, found = index.search(query, 20)
    assert (np.diff(scores[0]) <= 0).all()
    assert np.allclose(scores[0], vectors[found[0]] @ query[0], atol=2e-3)
    assert scores[0, 0] == pytest.approx(float((vectors @ query[0]).max()), abs=2e-3)


def test_more_hits_than_rows_are_filled_with_minus_one(index: VectorIndex) -> None:
    index.upsert(ids_of(7, 8), unit(2, seed=5))
    scores, found = index.search(unit(1, seed=6), 5)
    assert sorted(found[0, :2].tolist()) == [7, 8]
    assert found[0, 2:].tolist() == [-1, -1, -1]
    assert np.isneginf(scores[0, 2:]).all()


def test_no_hits_or_no_queries_asked_for_give_empty_answers(index: VectorIndex) -> None:
    index.upsert(ids_of(1), unit(1, seed=5))
    assert index.search(unit(2, seed=6), 0)[1].shape == (2, 0)
    assert index.search(unit(0, seed=6), 4)[1].shape == (0, 4)


def test_an_upsert_replaces_the_row_with_its_id(index: VectorIndex) -> None:
    old, new = unit(2, seed=7)
    index.upsert(ids_of(5), old[None])
    index.upsert(ids_of(5), new[None])
    assert len(index) == 1
    assert index.search(new[None], 3)[1].tolist() == [[5, -1, -1]]
    assert np.allclose(index.vectors(ids_of(5))[0], new, atol=1e-3)


def test_of_equal_ids_in_one_upsert_the_last_stays(index: VectorIndex) -> None:
    vectors = unit(4, seed=8)
    index.upsert(ids_of(3, 9, 3, 3), vectors)
    assert index.ids().tolist() == [3, 9]
    assert np.allclose(index.vectors(ids_of(3))[0], vectors[3], atol=1e-3)


def test_removed_rows_are_counted_gone_and_never_found(index: VectorIndex) -> None:
    vectors = unit(600, seed=9)
    index.upsert(np.arange(600), vectors)
    assert index.remove(np.arange(0, 900, 3)) == 200
    assert len(index) == 400
    found = index.search(vectors[::3], 10)[1]
    assert not np.isin(found, np.arange(0, 600, 3)).any()
    assert index.ids().tolist() == [i for i in range(600) if i % 3]
    assert index.search(vectors[1:2], 1)[1].tolist() == [[1]]


def test_removing_every_row_leaves_an_index_that_can_be_filled_again(index: VectorIndex) -> None:
    index.upsert(np.arange(50), unit(50, seed=10))
    assert index.remove(np.arange(50)) == 50
    index.upsert(ids_of(1), unit(1, seed=11))
    assert index.search(unit(1, seed=11), 2)[1].tolist() == [[1, -1]]


def test_an_id_named_twice_in_a_removal_counts_once(index: VectorIndex) -> None:
    index.upsert(ids_of(1, 2), unit(2, seed=10))
    assert index.remove(ids_of(2, 2, 2)) == 1
    assert index.ids().tolist() == [1]


def test_only_allowed_ids_are_considered(index: VectorIndex) -> None:
    vectors = unit(400, seed=12)
    index.upsert(np.arange(400), vectors)
    allowed = np.array([3, 50, 399, 12345], np.int64)
    found = index.search(vectors[:5], 10, allowed=allowed)[1]
    for row in found:
        assert sorted(row[row >= 0].tolist()) == [3, 50, 399]
    assert (index.search(vectors[:1], 3, allowed=ids_of())[1] == -1).all()
    assert (index.search(vectors[:1], 3, allowed=ids_of(10**12))[1] == -1).all()


def test_allowed_ids_may_be_sparse_and_huge(index: VectorIndex) -> None:
    vectors = unit(3, seed=13)
    ids = ids_of(1, 2**40, 2**62)
    index.upsert(ids, vectors)
    assert index.search(vectors[2:], 3, allowed=ids_of(2**62, 1))[1][0, :2].tolist() in ([2**62, 1],)
    assert index.ids().tolist() == ids.tolist()


def test_stored_vectors_come_back_in_the_order_asked_for(index: VectorIndex) -> None:
    vectors = unit(300, seed=14)
    index.upsert(np.arange(300), vectors)
    asked = np.random.default_rng(0).permutation(300)
    assert np.allclose(index.vectors(asked), vectors[asked], atol=1e-3)
    assert index.vectors(ids_of()).shape == (0, DIMENSION)
    with pytest.raises(KeyError, match="300"):
        index.vectors(ids_of(1, 300))


@pytest.mark.parametrize(
    ("ids", "vectors"),
    [
        (ids_of(1, 2), unit(3, seed=1)),
        (ids_of(1), unit(1, seed=1, dimension=DIMENSION + 1)),
        (ids_of(-1), unit(1, seed=1)),
        (ids_of(1), np.full((1, DIMENSION), np.nan, np.float32)),
    ],
    ids=["rows", "dimension", "negative", "nan"],
)
def test_rows_that_make_no_sense_are_refused_and_change_nothing(index: VectorIndex, ids: Ids, vectors: Vectors) -> None:
    with pytest.raises(ValueError, match="must"):
        index.upsert(ids, vectors)
    assert len(index) == 0


def test_facts_tell_kind_chunks_and_memory(index: VectorIndex) -> None:
    index.upsert(np.arange(100), unit(100, seed=15))
    facts = index.facts()
    assert facts.kind in READERS
    assert (facts.chunks, facts.dimension) == (100, DIMENSION)
    assert facts.size_bytes >= 100 * DIMENSION * 2
    assert (facts.lists > 0) == (facts.kind == "ivf")


def test_a_written_index_is_read_back_and_changes_on(index: VectorIndex, tmp_path: Path) -> None:
    vectors = unit(500, seed=16)
    index.upsert(np.arange(500), vectors)
    index.remove(np.arange(0, 500, 2))
    path = tmp_path / "index"
    index.write(path)
    again = READERS[index.facts().kind](path)
    assert again.facts() == index.facts()
    assert again.ids().tolist() == index.ids().tolist()
    assert again.search(vectors[1:40:2], 5)[1].tolist() == index.search(vectors[1:40:2], 5)[1].tolist()
    again.remove(ids_of(1))
    again.upsert(ids_of(600), vectors[:1])
    assert again.search(vectors[:2], 1)[1][0].tolist() == [600]
    assert 1 not in again.ids()


def test_an_empty_index_is_written_and_read_back(index: VectorIndex, tmp_path: Path) -> None:
    index.write(tmp_path / "index")
    again = READERS[index.facts().kind](tmp_path / "index")
    again.upsert(ids_of(4), unit(1, seed=1))
    assert again.ids().tolist() == [4]


@pytest.mark.parametrize("keep", [0, 7, 40, 0.5, 0.99], ids=str)
def test_a_torn_file_is_refused(index: VectorIndex, tmp_path: Path, keep: float) -> None:
    index.upsert(np.arange(200), unit(200, seed=17))
    path = tmp_path / "index"
    index.write(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(GenerationCorrupt, match="index"):
        READERS[index.facts().kind](path)


def test_a_file_of_another_kind_is_refused(make: Make, index: VectorIndex, tmp_path: Path) -> None:
    index.write(tmp_path / "index")
    other = {"exact": "ivf", "ivf": "exact"}[index.facts().kind]
    with pytest.raises(GenerationCorrupt):
        READERS[other](tmp_path / "index")


def test_a_full_disk_is_an_error_and_not_a_short_file(index: VectorIndex) -> None:
    with pytest.raises(OSError, match="No space left"):
        index.write(Path("/dev/full"))


operations = st.lists(
    st.tuples(
        st.sampled_from(["upsert", "remove", "reread"]),
        st.lists(st.integers(0, 60), min_size=0, max_size=30),
        st.integers(0, 2**16),
    ),
    max_size=25,
)


@pytest.mark.parametrize("factory", [make_exact, make_ivf], ids=["exact", "ivf"])
@settings(max_examples=60, deadline=None)
@given(operations=operations)
def test_any_operations_leave_what_a_dict_would_hold(
    factory: Make, operations: list[tuple[str, list[int], int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    index = factory()
    model: dict[int, Vectors] = {}
    path = tmp_path_factory.getbasetemp() / "operations.index"
    for name, chosen, seed in operations:
        ids = np.array(chosen, np.int64)
        if name == "upsert":
            vectors = unit(len(chosen), seed)
            index.upsert(ids, vectors)
            model.update(zip(chosen, vectors, strict=True))
        elif name == "remove":
            assert index.remove(ids) == sum(model.pop(key, None) is not None for key in set(chosen))
        else:
            index.write(path)
            index = READERS[index.facts().kind](path)
        assert len(index) == len(model)
    assert index.ids().tolist() == sorted(model)
    query = unit(1, seed=1)
    _, found = index.search(query, 100)
    assert sorted(found[found >= 0].tolist()) == sorted(model)
    if model:
        held = np.array([model[key] for key in sorted(model)])
        assert np.allclose(index.vectors(index.ids()), held, atol=1e-3)
        assert np.isin(found[0, 0], np.array(sorted(model))[held @ query[0] >= (held @ query[0]).max() - 4e-3])
