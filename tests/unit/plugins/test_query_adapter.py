"""Query adapters: they learn what is asked, leave alone what is not, and end alike when they were cut off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from plugins._infonce import Setting, gradients, initial, turned
from plugins._ranking_task import Floats, Pool, Task, build, ndcg
from plugins.query_adapter import QueryAdapter
from ragd.domain.errors import TooFewExamples, TrainingFailed
from ragd.domain.learning import Chunk, Pair
from ragd.testing.corpus import MemorySnapshot
from ragd.testing.runs import FakeRun, fake_run
from ragd.testing.served import reciprocal_rank

SMALL: dict[str, Any] = {"epochs": 6, "batch_size": 16, "temperatures": "0.05,0.1", "learning_rate": 0.005}
SETTING = Setting(0.1, 0.01, 0.0, rank=0, batch_size=8, columns=1000)


def rows(*members: int) -> Any:
    return np.array(members, dtype=np.int64)


def toy(seed: int = 0) -> tuple[Pool, Task]:
    """Six documents of two chunks each, and four queries."""
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((12, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    pool = Pool(vectors, np.repeat(np.arange(6), 2), np.arange(0, 12, 2))
    queries = random.standard_normal((4, 6)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    task = Task(
        queries,
        np.array([1, 2, 0.5, 1], dtype=np.float32),
        positives=(rows(0), rows(2, 3), rows(4), rows(7)),
        masked=(rows(1), rows(), rows(5), rows(6)),
        negatives=(rows(8), rows(), rows(9, 10), rows()),
        documents=(rows(0), rows(1), rows(2), rows(3)),
    )
    return pool, task


def loss_of(weights: dict[str, Floats], pool: Pool, task: Task, setting: Setting = SETTING) -> float:
    return gradients(weights, task, np.arange(4), pool, setting, np.random.default_rng(0))[0]


@pytest.mark.parametrize("rank", [0, 3])
def test_gradients_are_those_of_finite_differences(rank: int) -> None:
    pool, task = toy()
    random = np.random.default_rng(1)
    start = initial(replace(SETTING, rank=rank), 6, 0)
    weights = {name: random.normal(0, 0.3, array.shape).astype(np.float32) for name, array in start.items()}
    _, found = gradients(weights, task, np.arange(4), pool, SETTING, random)
    for name, array in weights.items():
        for place in [(0, 0), (1, 2), (2, 1)]:
            up, down = array.copy(), array.copy()
            up[place] += 1e-2
            down[place] -= 1e-2
            slope = (loss_of({**weights, name: up}, pool, task) - loss_of({**weights, name: down}, pool, task)) / 2e-2
            assert found[name][place] == pytest.approx(slope, abs=2e-3, rel=2e-2)


def test_another_chunk_of_the_document_that_answers_counts_neither_way() -> None:
    pool, task = toy()
    losses = []
    for vector in (task.queries[0], -task.queries[0]):
        pool.vectors[1] = vector
        draw = np.random.default_rng(0)
        losses.append(gradients(initial(SETTING, 6, 0), task, rows(0), pool, SETTING, draw)[0])
    assert losses[0] == pytest.approx(losses[1])


def test_ties_do_not_count_as_found() -> None:
    pool, task = toy()
    pool.vectors[:] = pool.vectors[0]
    assert ndcg(pool, task.queries, task).max() < 0.5


def test_it_ranks_unseen_documents_better_after_training(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run", settings=SMALL)
    artifact = QueryAdapter().train(run)
    assert reciprocal_rank(run, artifact.folder) > reciprocal_rank(run) + 0.05
    losses = [report.metrics["loss"] for report in run.reports]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    assert artifact.facts["validation_ndcg_after"] > artifact.facts["validation_ndcg_before"]  # type: ignore[operator]


def test_labels_that_say_nothing_leave_queries_as_they_are(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run", settings=SMALL)
    chunks, order = run.data.chunks, np.random.default_rng(3).permutation(len(run.data.chunks))
    wrong = {chunk.id: (chunks[int(place)].id,) for chunk, place in zip(chunks, order, strict=True)}
    told = [replace(pair, positives=wrong[pair.positives[0]]) for pair in (*run.data.pairs, *run.data.validation_pairs)]
    split = len(run.data.pairs)
    data = MemorySnapshot(tuple(chunks), run.data.vectors, tuple(told[:split]), tuple(told[split:]))
    artifact = QueryAdapter().train(with_data(run, data))
    assert not load_file(artifact.folder / "transform.safetensors")["weight"].any()
    assert artifact.facts["share"] == 0


@pytest.mark.slow
def test_a_run_that_was_cut_off_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = QueryAdapter().train(fake_run(tmp_path / "whole", settings=SMALL))
    steps = len(fake_run(tmp_path / "x", settings=SMALL).data.pairs) // 16 * 6
    for stop_after in (3, steps // 2, steps):  # each attempt goes on from the one before
        cut = fake_run(tmp_path / "cut", settings=SMALL, stop_after=stop_after)
        with pytest.raises(TrainingFailed, match="stopped"):
            QueryAdapter().train(cut)
    again = fake_run(tmp_path / "cut", settings=SMALL)
    resumed = QueryAdapter().train(again)
    assert again.reports[0].done > 3
    before, after = (load_file(one.folder / "transform.safetensors")["weight"] for one in (whole, resumed))
    assert np.array_equal(before, after)
    assert resumed.facts["last_loss"] == whole.facts["last_loss"]


def test_equal_queries_are_one_whose_answers_are_all_right(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run")
    first, second = run.data.pairs[0], replace(run.data.pairs[1], query=run.data.pairs[0].query)
    data = MemorySnapshot(
        tuple(run.data.chunks),
        run.data.vectors,
        (first, second, *run.data.pairs[2:]),
        tuple(run.data.validation_pairs),
    )
    _, task, _ = build(with_data(run, data), most_rows=10_000)
    assert len(task) == len(data.pairs) - 1
    assert len(task.positives[0]) == 2
    assert task.weights[0] == pytest.approx(2 * task.weights[1])


def test_without_validation_pairs_documents_are_set_aside_for_it(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run")
    data = MemorySnapshot(tuple(run.data.chunks), run.data.vectors, tuple(run.data.pairs))
    _, task, validation = build(with_data(run, data), most_rows=10_000)
    trained = {int(document) for documents in task.documents for document in documents}
    judged = {int(document) for documents in validation.documents for document in documents}
    assert len(judged) >= 10
    assert not trained & judged


def test_the_pool_is_cut_but_keeps_what_answers(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run")
    pool, task, _ = build(run, most_rows=10)
    assert len(pool.vectors) == len(run.data.pairs) + len(run.data.validation_pairs)
    assert all(pool.document[task.positives[i]] == task.documents[i] for i in range(len(task)))


def test_a_chunk_that_is_gone_and_a_pair_without_weight_are_left_out(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run")
    pairs = (replace(run.data.pairs[0], positives=(1,)), replace(run.data.pairs[1], weight=0.0), *run.data.pairs[2:])
    data = MemorySnapshot(tuple(run.data.chunks), run.data.vectors, pairs, tuple(run.data.validation_pairs))
    _, task, _ = build(with_data(run, data), most_rows=10_000)
    assert len(task) == len(pairs) - 2


def test_too_few_queries_are_counted(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run")
    chunks = (Chunk(1, 1, "c", "a.md", "a"), Chunk(2, 2, "c", "b.md", "b"))
    data = MemorySnapshot(chunks, run.data.vectors[:2], (Pair("a?", (1,)), Pair("b?", (2,))))
    with pytest.raises(TooFewExamples, match="2 queries have an answer among the chunks, at least 10 are needed"):
        QueryAdapter().train(with_data(run, data))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"temprature": 0.1}, "unknown option temprature"),
        ({"epochs": 1.5}, "option epochs is 1.5, which is not of type int"),
        ({"temperatures": "warm"}, "option could not convert string to float: 'warm'"),
        ({"temperatures": "0"}, "numbers above 0"),
        ({"batch_size": 0}, "at least 1"),
        ({"learning_rate": 1e30}, "loss is"),
    ],
)
def test_options_that_cannot_be_are_named(settings: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with np.errstate(all="ignore"), pytest.raises(TrainingFailed, match=reason):
        QueryAdapter().train(fake_run(tmp_path / "run", settings={**SMALL, **settings}))


def test_a_share_of_a_change_lies_between_nothing_and_all() -> None:
    _, task = toy()
    weights = {"weight": np.eye(6, k=1, dtype=np.float32)}
    assert np.allclose(turned(weights, task.queries, 0.0), task.queries, atol=1e-6)
    half, whole = (
        (turned(weights, task.queries, share) * turned(weights, task.queries)).sum(axis=1) for share in (0.5, 1.0)
    )
    assert (half <= whole + 1e-6).all()


def with_data(run: FakeRun, data: MemorySnapshot) -> FakeRun:
    """The same run over other data."""
    run._data = data
    return run
