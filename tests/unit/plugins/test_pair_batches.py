"""Batches of pairs: nobody's answer is somebody's negative, weights count, and every number gives the same batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from plugins._pair_batches import PairBatches
from plugins.encoder_finetune import FinetuneOptions, chosen_loss
from ragd.domain.errors import TooFewExamples
from ragd.domain.learning import Chunk, Pair
from ragd.testing.corpus import MemorySnapshot
from ragd.testing.runs import fake_run

CHUNKS = tuple(Chunk(10 * i, i // 2, "c", "p.md", f"text {i}") for i in range(40))  # two chunks a document


def snapshot(pairs: tuple[Pair, ...], folder: Path) -> MemorySnapshot:
    vectors = fake_run(folder / "any", subjects=5).data.vectors[:40]
    return MemorySnapshot(CHUNKS, vectors, pairs)


def some_pairs(count: int = 30, *, negatives: int = 0) -> tuple[Pair, ...]:
    return tuple(
        Pair(f"q{i}", (10 * (i % 20),), tuple(10 * ((i + 7 + 2 * j) % 40) for j in range(negatives)))
        for i in range(count)
    )


@pytest.mark.parametrize("negatives", [0, 2])
def test_no_document_that_answers_one_query_is_a_candidate_of_another(negatives: int, tmp_path: Path) -> None:
    data = snapshot(some_pairs(negatives=negatives), tmp_path)
    document = {chunk.id: chunk.document for chunk in CHUNKS}
    batches = PairBatches(data, size=8, negatives=negatives, seed=1)
    for number in range(12):
        rows = batches.examples(number)
        for row in rows:
            relevant = {document[chunk] for chunk in data.pairs[row.pair].positives}
            others = [document[c] for other in rows if other != row for c in (other.positive, *other.negatives)]
            assert not relevant & set(others)


def test_an_epoch_shows_every_pair_once(tmp_path: Path) -> None:
    data = snapshot(some_pairs(20), tmp_path)
    batches = PairBatches(data, size=5, negatives=0, seed=1)
    seen = [row.pair for batch in batches._epoch(0) for row in batch]
    assert len(set(seen)) == len(seen) >= 18  # one that fits in no batch may be left out


def test_a_heavy_pair_is_drawn_more_often(tmp_path: Path) -> None:
    pairs = some_pairs(20)
    data = snapshot((replace(pairs[0], weight=3.0), *pairs[1:]), tmp_path)
    batches = PairBatches(data, size=5, negatives=0, seed=1)
    drawn = [row.pair for number in range(200) for row in batches.examples(number)]
    assert 2 < drawn.count(0) / drawn.count(5) < 4.5


def test_the_same_number_gives_the_same_batch_whatever_was_asked_before(tmp_path: Path) -> None:
    data = snapshot(some_pairs(negatives=1), tmp_path)
    first, second = (PairBatches(data, size=4, negatives=1, seed=3) for _ in range(2))
    late = second.texts(40)
    assert [first.texts(number) for number in range(41)][40] == late
    assert PairBatches(data, size=4, negatives=1, seed=4).texts(40) != late


def test_texts_come_as_columns(tmp_path: Path) -> None:
    batches = PairBatches(snapshot(some_pairs(negatives=2), tmp_path), size=4, negatives=2, seed=0)
    queries, columns = batches.texts(0)
    assert len(columns) == 3
    assert all(len(column) == len(queries) for column in columns)
    assert all(text.startswith("text ") for column in columns for text in column)


def test_a_pair_without_negatives_is_filled_up_from_other_documents(tmp_path: Path) -> None:
    pairs = (*some_pairs(10, negatives=2), Pair("alone", (390,)))
    batches = PairBatches(snapshot(pairs, tmp_path), size=4, negatives=2, seed=0)
    filled = [row for number in range(6) for row in batches.examples(number) if row.pair == 10]
    assert filled
    assert all(len(row.negatives) == 2 and not {380, 390} & set(row.negatives) for row in filled)


def test_pairs_that_one_document_answers_cannot_be_contrasted(tmp_path: Path) -> None:
    data = snapshot((Pair("a", (0,)), Pair("b", (10,))), tmp_path)
    with pytest.raises(TooFewExamples, match="no two pairs are answered by different documents"):
        PairBatches(data, size=4, negatives=0, seed=0).examples(0)


def test_too_few_usable_pairs_are_counted(tmp_path: Path) -> None:
    with pytest.raises(TooFewExamples, match="1 pairs have an answer among the chunks"):
        PairBatches(snapshot((Pair("a", (0,)), Pair("b", (7,))), tmp_path), size=4, negatives=0, seed=0)


@pytest.mark.parametrize(
    ("options", "scores", "loss"),
    [
        (FinetuneOptions(), (None, None), "mnrl"),
        (FinetuneOptions(), (1.0, 3.0), "mnrl"),  # grades of relevance
        (FinetuneOptions(), (0.8, 0.1), "cosine"),
        (FinetuneOptions(), (1.0, 0.0), "cosine"),
        (FinetuneOptions(mini_batch=8), (None, None), "cached_mnrl"),
        (FinetuneOptions(teacher="t"), (None, None), "margin_mse"),
        (FinetuneOptions(teacher="t", loss="kl"), (0.5, None), "kl"),
        (FinetuneOptions(loss="triplet"), (0.5, 0.1), "triplet"),
    ],
)
def test_the_labels_choose_the_loss(options: FinetuneOptions, scores: tuple[float | None, ...], loss: str) -> None:
    assert chosen_loss(options, [Pair("q", (0,), score=score) for score in scores]) == loss
