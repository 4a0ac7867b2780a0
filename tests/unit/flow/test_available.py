"""What a run would get now is counted without encoding, and rarely."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ragd.catalog.reader import CatalogReader
from ragd.domain.learning import Data
from ragd.domain.training import Preparation
from ragd.flow.available import LEAST_REST_S, Available
from ragd.flow.prepare import prepare
from ragd.testing.embeddings import EmbeddingServer
from tests.unit.flow.lesson import DIMENSION, NEEDS, Lesson


@pytest.fixture
def lesson(tmp_path: Path) -> Iterator[Lesson]:
    with EmbeddingServer(dimension=DIMENSION) as server:
        yield Lesson.laid_out(tmp_path, server, subjects=10)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def counting(lesson: Lesson, clock: Clock, reader: CatalogReader, *pairs: Path) -> Available:
    preparation = Preparation(str(lesson.state), NEEDS, pairs=tuple(map(str, pairs)), has_journal=True)
    return Available(preparation, reader, clock=clock)


def test_the_count_is_what_a_run_then_gets(lesson: Lesson) -> None:
    reader = CatalogReader(lesson.state)
    before = len(lesson.server.seen)
    counted = counting(lesson, Clock(), reader, lesson.pairs).count()
    assert len(lesson.server.seen) == before
    said = prepare(lesson.run())
    assert counted.examples[Data.PAIRS] == said["examples"]
    assert counted.heldout[Data.PAIRS] == said["heldout"]
    assert counted.examples[Data.VECTORS] == len(lesson.documents)
    assert counted.problems == ()
    reader.close()


def test_a_change_is_counted_after_a_rest(lesson: Lesson) -> None:
    reader, clock = CatalogReader(lesson.state), Clock()
    available = counting(lesson, clock, reader, lesson.pairs)
    first = available.count()
    rows = [json.loads(line) for line in lesson.pairs.read_text().splitlines()]
    lesson.ask(*rows[:20])
    assert available.count() is first
    clock.now += LEAST_REST_S + 1
    fewer = available.count()
    assert fewer.examples[Data.PAIRS] < first.examples[Data.PAIRS]
    clock.now += LEAST_REST_S + 1
    assert available.count() is fewer
    reader.close()


def test_a_broken_file_counts_as_empty_and_is_named(lesson: Lesson, tmp_path: Path) -> None:
    reader = CatalogReader(lesson.state)
    broken = tmp_path / "broken.jsonl"
    broken.write_text("{\n")
    counted = counting(lesson, Clock(), reader, broken).count()
    assert counted.examples[Data.PAIRS] == 0
    assert "broken.jsonl: line 1" in counted.problems[0]
    reader.close()


@pytest.mark.parametrize("parts", [("hidden", "pairs"), ("hidden",), ("x" * 300,)])
def test_what_may_not_be_looked_at_is_named_and_not_a_crash(
    lesson: Lesson, tmp_path: Path, parts: tuple[str, ...]
) -> None:
    reader, hidden = CatalogReader(lesson.state), tmp_path / "hidden"
    (hidden / "pairs").mkdir(parents=True)
    available = counting(lesson, Clock(), reader, tmp_path.joinpath(*parts))
    reader.replay.change_sequence()  # opened while it may be
    hidden.chmod(0)
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(65534)
        counted = available.count()
    finally:
        if root:
            os.seteuid(0)
        hidden.chmod(0o700)
        reader.close()
    assert counted.examples[Data.VECTORS] == len(lesson.documents)
    (problem,) = counted.problems
    assert f"{tmp_path.joinpath(*parts)} cannot be read" in problem
