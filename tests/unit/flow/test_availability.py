"""How many examples there are is counted beside whoever decides, and what keeps some from being counted is shown."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ragd.catalog.reader import CatalogReader
from ragd.domain.learning import Data, Needs
from ragd.domain.training import Preparation
from ragd.flow import availability as module
from ragd.flow.availability import Availability
from ragd.flow.available import LEAST_REST_S, Available
from ragd.testing.embeddings import EmbeddingServer
from tests.unit.flow.lesson import DIMENSION, NEEDS, Lesson


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lesson]:
    with EmbeddingServer(dimension=DIMENSION) as server:
        yield Lesson.laid_out(tmp_path_factory.mktemp("lesson"), server, subjects=10)


@pytest.fixture
def reader(lesson: Lesson) -> Iterator[CatalogReader]:
    made = CatalogReader(lesson.state)
    yield made
    made.close()


def counted(
    lesson: Lesson, reader: CatalogReader, clock: Clock, *pairs: Path, prompts: tuple[Path, ...] = ()
) -> Availability:
    preparation = Preparation(str(lesson.state), NEEDS, pairs=tuple(map(str, pairs)), prompts=tuple(map(str, prompts)))
    return Availability(Available(preparation, reader, clock=clock))


def test_before_the_first_count_there_is_nothing(lesson: Lesson, reader: CatalogReader) -> None:
    availability = counted(lesson, reader, Clock(), lesson.pairs)
    assert [availability(Needs(data)) for data in Data] == [0, 0, 0, 0]
    assert availability.problems == ()


def test_after_it_every_kind_is_known_without_counting_again(lesson: Lesson, reader: CatalogReader) -> None:
    availability = counted(lesson, reader, Clock(), lesson.pairs)
    availability.step()
    documents = len(lesson.documents)
    assert availability(Needs(Data.VECTORS)) == documents
    assert availability(Needs(Data.TEXTS, 10**6)) == int(documents * 0.7)
    assert 0 < availability(Needs(Data.PAIRS)) < len(lesson.pairs.read_text().splitlines())
    assert availability(Needs(Data.PROMPTS)) == 0


def test_broken_files_are_shown_until_they_are_mended(lesson: Lesson, reader: CatalogReader, tmp_path: Path) -> None:
    pairs, prompts, clock = tmp_path / "pairs.jsonl", tmp_path / "prompts.jsonl", Clock()
    pairs.write_text('{"query": 7}\n')
    availability = counted(lesson, reader, clock, pairs, prompts=(prompts,))
    availability.step()
    about_pairs, about_prompts = availability.problems
    assert "pairs.jsonl: line 1" in about_pairs
    assert "prompts.jsonl" in about_prompts
    assert availability(Needs(Data.PAIRS)) == 0
    assert availability(Needs(Data.VECTORS)) > 0
    pairs.write_text(lesson.pairs.read_text())
    prompts.write_text("".join(f'{{"prompt": "say {n}", "answer": "here is number {n}"}}\n' for n in range(40)))
    clock.now += LEAST_REST_S + 1
    availability.step()
    assert availability.problems == ()
    assert availability(Needs(Data.PAIRS)) > 0
    assert availability(Needs(Data.PROMPTS)) > 0


def test_the_thread_counts_goes_on_after_a_bug_and_ends(
    lesson: Lesson, reader: CatalogReader, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_ROUND_S", 0.001)
    availability = counted(lesson, reader, Clock(), lesson.pairs)
    was_broken, has_counted = threading.Event(), threading.Event()
    step = Availability.step

    def breaks_once(self: Availability) -> None:
        if not was_broken.is_set():
            was_broken.set()
            raise ZeroDivisionError
        step(self)
        has_counted.set()

    monkeypatch.setattr(Availability, "step", breaks_once)
    availability.start()
    assert has_counted.wait(20)
    availability.stop()
    assert "counting_broke" in caplog.text
    assert availability(Needs(Data.PAIRS)) > 0
    assert "count-examples" not in [thread.name for thread in threading.enumerate()]
