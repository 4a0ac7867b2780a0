"""The index's lists: centroids that fit the vectors, as many as suit, adopted by a real inverted file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from plugins.coarse_quantizer import CoarseQuantizer, lists_for
from ragd.domain.errors import TooFewExamples, TrainingFailed
from ragd.domain.index import IndexPolicy
from ragd.domain.learning import Chunk, Role
from ragd.index import policy
from ragd.index.centroids import read_centroids
from ragd.index.ivf import IvfIndex
from ragd.testing.corpus import MemorySnapshot
from ragd.testing.runs import FakeRun, fake_run

TOPICS = 16


def topics(rows: int, seed: int) -> Any:
    """Unit vectors around sixteen directions, float16 (rows, 24)."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(seed + 100).standard_normal((TOPICS, 24))
    found = centres[np.arange(rows) % TOPICS] + 0.15 * random.standard_normal((rows, 24))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16)


def run_over(vectors: Any, folder: Path, *, stop_after: int | None = None, **settings: Any) -> FakeRun:
    chunks = tuple(Chunk(i, i, "c", f"{i}.md", "") for i in range(len(vectors)))
    run = fake_run(folder, role=Role.INDEX, settings=settings, subjects=1, stop_after=stop_after)
    run._data = MemorySnapshot(chunks, vectors)
    return run


def test_the_number_of_lists_is_the_one_that_the_index_would_take() -> None:
    counts = [0, 1, 77, 78, 500, 5_000, 99_999, 100_000, 200_000, 1_000_000, 7_654_321]
    assert [lists_for(count) for count in counts] == [policy.lists_for(count) for count in counts]


def test_each_topic_gets_its_lists(tmp_path: Path) -> None:
    vectors = topics(1600, 1)
    artifact = CoarseQuantizer().train(run_over(vectors, tmp_path / "run"))
    centroids = read_centroids(artifact.folder / "centroids.safetensors", 24)
    assert np.allclose(np.linalg.norm(centroids, axis=1), 1, atol=1e-5)
    assert len(centroids) == policy.lists_for(1600) == artifact.facts["lists"]
    assigned = (vectors.astype(np.float32) @ centroids.T).argmax(axis=1)
    for chosen in range(len(centroids)):  # no list mixes topics
        assert len(set(np.flatnonzero(assigned == chosen) % TOPICS)) <= 2
    assert float(artifact.facts["mean_cosine"]) > 0.85


def test_a_refit_finds_a_new_topic_again(tmp_path: Path) -> None:
    old, new = topics(3200, 1), topics(400, 9)
    both = np.concatenate([old, new])
    index = IvfIndex(24, nprobe=1)
    index.fit(old, IndexPolicy(nprobe=1))
    index.upsert(np.arange(len(both)), both)
    before = index.ann_recall(new[:100].astype(np.float32))
    artifact = CoarseQuantizer().train(run_over(both, tmp_path / "run"))
    refitted = IvfIndex(24, nprobe=1)
    refitted.adopt(load_file(artifact.folder / "centroids.safetensors")["centroids"], IndexPolicy(nprobe=1))
    refitted.upsert(np.arange(len(both)), both)
    assert refitted.ann_recall(new[:100].astype(np.float32)) > before


def test_a_list_that_lost_its_rows_takes_over_others(tmp_path: Path) -> None:
    vectors = np.repeat(topics(8, 2), 200, axis=0)  # eight distinct rows, so that most starts fall together
    artifact = CoarseQuantizer().train(run_over(vectors, tmp_path / "run", lists=8, rows_per_list=200))
    assert float(artifact.facts["mean_cosine"]) > 0.99


def test_a_run_that_was_cut_off_ends_with_the_same_centroids(tmp_path: Path) -> None:
    vectors = topics(2000, 3)
    whole = CoarseQuantizer().train(run_over(vectors, tmp_path / "whole"))
    with pytest.raises(TrainingFailed, match="stopped"):
        CoarseQuantizer().train(run_over(vectors, tmp_path / "cut", stop_after=2))
    again = run_over(vectors, tmp_path / "cut")
    resumed = CoarseQuantizer().train(again)
    assert again.reports[0].done > 1
    before, after = (load_file(one.folder / "centroids.safetensors")["centroids"] for one in (whole, resumed))
    assert np.array_equal(before, after)


def test_more_lists_than_vectors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TooFewExamples, match="100 lists need at least as many vectors, and there are 50"):
        CoarseQuantizer().train(run_over(topics(50, 1), tmp_path / "run", lists=100))


@pytest.mark.parametrize("settings", [{"lists": -1}, {"iterations": 0}, {"rows_per_list": 1}, {"nprobe": 8}])
def test_options_that_cannot_be_are_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match="option"):
        CoarseQuantizer().train(run_over(topics(100, 1), tmp_path / "run", **settings))
