from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragd.domain.index import Depth, EmbeddingSpace, IndexPolicy, Vectors
from ragd.index.generation import Generation
from ragd.index.restore import Origin, Restored, rebuild, restore
from ragd.index.snapshot import write_snapshot
from ragd.index.verify import verify

DIMENSION = 16
POLICY = IndexPolicy(ivf_above=200, exact_below=100, nprobe=1024)
ONE = 1


def unit(rows: int, seed: int) -> Vectors:
    vectors: Vectors = np.random.default_rng(seed).standard_normal((rows, DIMENSION), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def snapshot_of(folder: Path, space: EmbeddingSpace, source: Any) -> Generation:
    generation = rebuild(space, source, ONE, POLICY)
    write_snapshot(folder, space, generation)
    return generation


def assert_true(restored: Restored, source: Any) -> None:
    assert verify(restored.generation, source, ONE, depth=Depth.FULL).is_clean
    assert restored.generation.sequence == source.change_sequence()


@pytest.mark.parametrize("rows", [0, 5, 199, 200, 900])
def test_without_a_snapshot_it_is_built_from_stored_vectors_in_the_right_kind(
    tmp_path: Path, space: EmbeddingSpace, source: Any, rows: int
) -> None:
    source.commit(range(rows), unit(rows, seed=1))
    steps: list[tuple[int, int]] = []
    restored = restore(tmp_path, space, source, ONE, POLICY, progress=lambda done, total: steps.append((done, total)))
    assert restored.origin is Origin.REBUILT
    assert restored.generation.facts().kind == ("ivf" if rows >= 200 else "exact")
    assert_true(restored, source)
    if rows:
        assert steps[-1] == (rows, rows)


def test_a_snapshot_is_brought_up_to_date_by_what_changed_since(
    tmp_path: Path, space: EmbeddingSpace, source: Any
) -> None:
    source.commit(range(300), unit(300, seed=1))
    snapshot_of(tmp_path, space, source)
    source.commit([0, 300, 301], unit(3, seed=2), remove=[5, 6, 301])
    restored = restore(tmp_path, space, source, ONE, POLICY)
    assert (restored.origin, restored.replayed, restored.refused) == (Origin.SNAPSHOT, 5, ())
    assert restored.generation.search(unit(3, seed=2), 1)[1][:2, 0].tolist() == [0, 300]
    assert_true(restored, source)


def test_nothing_changed_since_means_nothing_replayed(tmp_path: Path, space: EmbeddingSpace, source: Any) -> None:
    source.commit(range(30), unit(30, seed=1))
    snapshot_of(tmp_path, space, source)
    restored = restore(tmp_path, space, source, ONE, POLICY)
    assert (restored.origin, restored.replayed) == (Origin.SNAPSHOT, 0)
    assert_true(restored, source)


def test_a_damaged_snapshot_costs_a_longer_replay(tmp_path: Path, space: EmbeddingSpace, source: Any) -> None:
    source.commit(range(30), unit(30, seed=1))
    snapshot_of(tmp_path, space, source)
    source.commit(range(30, 40), unit(10, seed=2), remove=[1])
    snapshot_of(tmp_path, space, source)
    (tmp_path / "00000002" / "index.faiss").write_bytes(b"torn")
    restored = restore(tmp_path, space, source, ONE, POLICY)
    assert (restored.origin, restored.replayed) == (Origin.SNAPSHOT, 11)
    assert "index.faiss" in restored.refused[0]
    assert_true(restored, source)


def test_damage_to_every_snapshot_costs_a_rebuild(tmp_path: Path, space: EmbeddingSpace, source: Any) -> None:
    source.commit(range(30), unit(30, seed=1))
    snapshot_of(tmp_path, space, source)
    (tmp_path / "00000001" / "manifest.json").unlink()
    restored = restore(tmp_path, space, source, ONE, POLICY)
    assert restored.origin is Origin.REBUILT
    assert_true(restored, source)


def test_a_snapshot_newer_than_the_catalog_is_not_believed(tmp_path: Path, space: EmbeddingSpace, source: Any) -> None:
    source.commit(range(30), unit(30, seed=1))
    snapshot_of(tmp_path, space, source)
    source.log = source.log[:10]  # the catalog was put back from an older copy
    source.rows = {key: source.rows[key] for key in range(10)}
    restored = restore(tmp_path, space, source, ONE, POLICY)
    assert restored.origin is Origin.REBUILT
    assert "newer than the catalog" in restored.refused[0]
    assert_true(restored, source)


def test_a_log_that_does_not_reach_back_costs_a_rebuild(tmp_path: Path, space: EmbeddingSpace, source: Any) -> None:
    source.commit(range(30), unit(30, seed=1))
    snapshot_of(tmp_path, space, source)
    source.floor = source.commit([99], unit(1, seed=2))
    restored = restore(tmp_path, space, source, ONE, POLICY)
    assert restored.origin is Origin.REBUILT
    assert "older than the catalog's log" in restored.refused[0]
    assert_true(restored, source)


commits = st.lists(
    st.tuples(
        st.sets(st.integers(0, 400), max_size=150),
        st.sets(st.integers(0, 400), max_size=60),
        st.sampled_from(["nothing", "snapshot", "restart", "damage"]),
    ),
    max_size=8,
)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(history=commits)
def test_any_history_of_commits_snapshots_and_kills_ends_equal_to_the_catalog(
    history: list[tuple[set[int], set[int], str]],
    tmp_path_factory: pytest.TempPathFactory,
    new_source: Callable[[], Any],
) -> None:
    folder = tmp_path_factory.mktemp("generations")
    space = EmbeddingSpace("f" * 32, DIMENSION, "test", 256)
    source = new_source()
    generation = restore(folder, space, source, ONE, POLICY).generation
    for number, (add, gone, then) in enumerate(history):
        vectors = unit(len(add), seed=number)
        sequence = source.commit(sorted(add), vectors, remove=sorted(gone))
        if then != "restart":  # a kill between the catalog's commit and the index's
            ids = np.array(sorted(add), np.int64)
            generation.apply(ids, vectors, np.array(sorted(gone), np.int64), sequence=sequence)
        if then == "snapshot":
            write_snapshot(folder, space, generation)
        elif then == "damage":
            for path in sorted(folder.glob("0*/index.faiss"))[-1:]:
                path.write_bytes(path.read_bytes()[:-3])
        if then in ("restart", "damage"):
            generation.close()
            generation = restore(folder, space, source, ONE, POLICY).generation
        generation.maintain()
    generation.wait_settled(60)
    assert verify(generation, source, ONE, depth=Depth.FULL).is_clean
