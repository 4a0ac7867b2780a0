"""Several live generations: each gets every change, and each equals the folder in its own space."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragd.domain.index import EmbeddingSpace, EncoderSpec, HalfVectors
from ragd.domain.work import EmbedBatch, EmbedResult
from ragd.flow.generations import Live
from ragd.index.generation import Generation
from ragd.testing.fakes import DictIndex
from tests.unit.flow.conftest import DIMENSION, World, vector_of

SECOND = EmbeddingSpace("2" * 16, DIMENSION, "second", 64)


def second_vector(text: str) -> HalfVectors:
    return vector_of(f"second {text}")


class Spaces(World):
    """A world in which a second generation may live, and take over; each has vectors of its own."""

    def __init__(self, state: Path) -> None:
        self.second: int | None = None
        self.charged: list[tuple[int, bool]] = []
        self.may_fill = True
        super().__init__(state)
        self._wire()

    def _wire(self) -> None:
        self.ingest.on_encoded = lambda generation, _seconds, is_fill: self.charged.append((generation, is_fill))
        self.dispatch.may_fill = lambda: self.may_fill

    def fill(self) -> None:
        self.second, _ = self.tables.vectors.open(SECOND)
        self._add(DictIndex())
        self.ingest.step()

    def _add(self, index: DictIndex) -> None:
        assert self.second is not None
        self.generations.add(Live(self.second, SECOND, EncoderSpec(), cast(Generation, index)))

    def take_over(self) -> None:
        assert self.second is not None
        self.tables.vectors.make_serving(self.second)
        self.generations.serve(self.second)

    def restart(self) -> None:
        is_serving = self.second is not None and self.generations.serving.id == self.second
        super().restart()
        self._wire()
        if self.second is not None:
            index = DictIndex()
            ids, vectors = self.reader.replay.live_vectors(self.second, self.reader.replay.live_ids(self.second))
            index.apply(ids, vectors.astype(np.float32), np.empty(0, np.int64))
            self._add(index)
            if is_serving:
                self.take_over()

    def encoded(self, batch: EmbedBatch) -> EmbedResult:
        """A worker's answer to a batch, in the batch's space."""
        encode = second_vector if batch.fingerprint == SECOND.fingerprint else vector_of
        vectors = np.stack([encode(text) for text in batch.texts])
        return EmbedResult(batch.id, batch.generation, batch.chunk_ids, vectors, 0.1, sum(map(len, batch.texts)))

    def embed(self, count: int = 10**6) -> None:
        while self.outbox.embeds and count:
            count -= 1
            batch = self.outbox.embeds.pop(0)
            self.embedded_texts += batch.texts
            self.ingest.commit_vectors(self.encoded(batch))

    def texts_in(self, generation: int) -> set[str]:
        """What the index of a generation holds; every row must be the right vector of a chunk that is live."""
        live = self.generations.get(generation)
        assert live is not None
        rows = cast(DictIndex, live.index).rows
        encode = second_vector if live.space == SECOND else vector_of
        ids, texts = self.tables.vectors.texts(list(rows))
        assert len(ids) == len(rows)
        for text, chunk_id in zip(texts, ids, strict=True):
            np.testing.assert_allclose(rows[chunk_id], encode(text).astype(np.float32))
        assert rows.keys() == set(self.reader.replay.live_ids(generation).tolist())
        return set(texts)

    def missing(self) -> dict[str, int]:
        rows = self.store.connection.execute(
            "SELECT d.name, k.missing FROM documents d JOIN contents k ON k.id = d.content_id"
        )
        return {name.decode(): missing for name, missing in rows}


@pytest.fixture
def spaces(tmp_path: Path) -> Iterator[Spaces]:
    made = Spaces(tmp_path)
    yield made
    made.close()


def test_a_new_generation_is_filled_beside_the_one_that_serves(spaces: Spaces) -> None:
    spaces.write(b"a.txt", "one\n\ntwo")
    spaces.work()
    spaces.fill()
    spaces.write(b"b.txt", "three")
    spaces.work()
    assert spaces.second is not None
    assert spaces.texts_in(spaces.generation) == spaces.texts_in(spaces.second) == {"one", "two", "three"}
    assert spaces.receipts() == [("add", "searchable"), ("add", "searchable")]


def test_only_the_serving_generation_makes_a_document_searchable(spaces: Spaces) -> None:
    spaces.fill()
    spaces.write(b"a.txt", "one")
    spaces.extract()
    ours = [batch for batch in spaces.outbox.embeds if batch.generation == spaces.second]
    spaces.outbox.embeds = [batch for batch in spaces.outbox.embeds if batch.generation != spaces.second]
    spaces.ingest.commit_vectors(spaces.encoded(ours[0]))
    assert (spaces.missing(), spaces.receipts()) == ({"a.txt": 1}, [("add", "pending")])
    spaces.embed()
    assert (spaces.missing(), spaces.receipts()) == ({"a.txt": 0}, [("add", "searchable")])
    assert spaces.charged == [(spaces.second, True), (spaces.generation, False)]


def test_fresh_edits_go_before_every_backfill_and_those_that_are_searched_first(spaces: Spaces) -> None:
    spaces.write(b"old.txt", "old")
    spaces.work()
    spaces.may_fill = False
    spaces.fill()
    spaces.write(b"new.txt", "new")
    spaces.outbox.is_away = True
    spaces.extract()
    spaces.outbox.is_away = False
    spaces.may_fill = True
    spaces.ingest.step()
    sent = [(batch.generation, batch.fresh, batch.texts) for batch in spaces.outbox.embeds]
    # The other generation's edit does not go ahead of what people wait for, and its turn comes before its backfill.
    assert sent == [
        (spaces.generation, True, ("new",)),
        (spaces.second, False, ("new",)),
        (spaces.second, False, ("old",)),
    ]


def test_what_is_found_most_is_filled_first_and_only_while_there_is_budget(spaces: Spaces) -> None:
    spaces.write(b"a.txt", "\n\n".join(f"text {n}" for n in range(9)))
    spaces.work()
    chunk = {text: i for i, text in zip(*spaces.tables.vectors.texts(range(1, 10)), strict=True)}
    spaces.tables.found.add({chunk["text 7"]: 5, chunk["text 4"]: 9})
    spaces.may_fill = False
    spaces.fill()
    assert spaces.outbox.embeds == []
    spaces.write(b"b.txt", "edit")
    spaces.extract()
    assert sorted(batch.texts for batch in spaces.outbox.embeds) == [("edit",), ("edit",)]
    spaces.embed()
    assert spaces.outbox.embeds == []
    spaces.may_fill = True
    spaces.ingest.step()
    assert spaces.outbox.embeds[0].texts[:2] == ("text 4", "text 7")


def test_an_encoder_that_fails_in_one_space_does_not_hold_up_the_other(spaces: Spaces) -> None:
    spaces.fill()
    spaces.write(b"a.txt", "one")
    spaces.extract()
    failing = next(batch for batch in spaces.outbox.embeds if batch.generation == spaces.second)
    spaces.outbox.embeds.remove(failing)
    spaces.dispatch.embed_failed(failing.id, "no answer")
    spaces.write(b"b.txt", "two")
    spaces.work()
    assert spaces.texts_in(spaces.generation) == {"one", "two"}
    assert spaces.second is not None
    assert spaces.texts_in(spaces.second) == set()
    spaces.now += 2
    spaces.work()
    assert spaces.texts_in(spaces.second) == {"one", "two"}


def test_taking_over_counts_what_lacks_in_the_new_space_and_completes_what_waited_for_the_old(spaces: Spaces) -> None:
    spaces.write(b"both.txt", "both")
    spaces.work()
    spaces.fill()
    spaces.work()
    spaces.write(b"late.txt", "late")
    spaces.extract()
    late = {batch.generation: batch for batch in spaces.outbox.embeds}
    spaces.outbox.embeds.clear()
    assert spaces.second is not None
    spaces.ingest.commit_vectors(spaces.encoded(late[spaces.second]))
    assert spaces.missing() == {"both.txt": 0, "late.txt": 1}
    complete = spaces.tables.vectors.make_serving(spaces.second)
    assert len(complete) == 1
    assert spaces.missing() == {"both.txt": 0, "late.txt": 0}
    assert spaces.tables.vectors.make_serving(spaces.generation) == []
    assert spaces.missing() == {"both.txt": 0, "late.txt": 1}


def test_a_content_that_rested_while_the_space_changed_is_counted_when_it_comes_back(spaces: Spaces) -> None:
    spaces.write(b"a.txt", "sleeper")
    spaces.work()
    spaces.files.pop(b"a.txt")
    spaces.see(b"a.txt")
    spaces.fill()
    spaces.work()
    spaces.take_over()
    spaces.write(b"a.txt", "sleeper")
    assert spaces.missing() == {"a.txt": 1}
    spaces.work()
    assert spaces.missing() == {"a.txt": 0}
    assert spaces.receipts()[-1] == ("add", "searchable")


def test_vectors_of_a_generation_that_was_given_up_are_let_go(spaces: Spaces) -> None:
    spaces.write(b"a.txt", "one")
    spaces.work()
    spaces.fill()
    (batch,) = spaces.outbox.embeds
    assert spaces.second is not None
    spaces.tables.vectors.retire(spaces.second)
    spaces.generations.remove(spaces.second)
    spaces.dispatch.forget(spaces.second)
    assert spaces.dispatch.asked_vectors(spaces.encoded(batch)) is None
    spaces.ingest.commit_vectors(spaces.encoded(batch))
    while not spaces.tables.vectors.drop_retired(limit=1)[1]:
        pass
    assert spaces.store.connection.execute("SELECT count(*) FROM vectors").fetchone() == (1,)
    with pytest.raises(ValueError, match="serves"):
        spaces.generations.remove(spaces.generation)
    with pytest.raises(KeyError):
        spaces.generations.serve(99)


def test_a_generation_that_lives_again_is_given_what_it_missed(spaces: Spaces) -> None:
    spaces.write(b"a.txt", "one\n\ntwo")
    spaces.work()
    spaces.fill()
    spaces.work()
    assert spaces.second is not None
    spaces.tables.vectors.retire(spaces.second)
    spaces.generations.remove(spaces.second)
    spaces.write(b"a.txt", "two\n\nthree")
    spaces.work()
    spaces.embedded_texts.clear()
    assert spaces.tables.vectors.open(SECOND) == (spaces.second, False)
    assert spaces.tables.vectors.open(SECOND) == (spaces.second, True)
    spaces.restart()
    spaces.work()
    assert spaces.embedded_texts == ["three"]
    assert spaces.texts_in(spaces.second) == {"two", "three"}


NAMES = st.sampled_from([b"a.txt", b"b.txt", b"sub/c.txt"])
TEXTS = st.lists(st.sampled_from(["one", "two", "three", "four", "five", "six"]), min_size=0, max_size=5).map(
    "\n\n".join
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), NAMES, TEXTS),
        st.tuples(st.just("delete"), NAMES),
        st.tuples(st.just("move"), NAMES, NAMES),
        st.tuples(st.sampled_from(["extract", "embed", "restart", "fill", "take over", "lose"])),
    ),
    max_size=24,
)


@pytest.mark.slow
@given(STEPS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_history_leaves_every_live_generation_equal_to_the_folder(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[object, ...]]
) -> None:
    spaces = Spaces(tmp_path_factory.mktemp("spaces"))
    try:
        for step in steps:
            _take(spaces, step)
        spaces.now += 10
        spaces.dispatch.find_lost(lambda _batch: False)
        spaces.work()
        expected = spaces.expected_texts()
        for live in spaces.generations.all:
            assert spaces.texts_in(live.id) == expected
        assert set(spaces.missing().values()) <= {0}
        assert {outcome for _, outcome in spaces.receipts()} <= {"searchable", "deleted", "superseded"}
        assert spaces.store.connection.execute("SELECT count(*) FROM to_embed").fetchone() == (0,)
    finally:
        spaces.close()


def _take(spaces: Spaces, step: tuple[object, ...]) -> None:
    match step:
        case ("write", bytes(name), str(text)):
            spaces.write(name, text)
        case ("delete", bytes(name)) if name in spaces.files:
            del spaces.files[name]
            spaces.see(name)
        case ("move", bytes(name), bytes(to)) if name in spaces.files and name != to:
            spaces.files[to] = spaces.files.pop(name)
            spaces.see(name, to)
        case ("extract",):
            spaces.extract(1)
        case ("embed",):
            spaces.embed(1)
        case ("restart",):
            spaces.restart()
        case ("fill",) if spaces.second is None:
            spaces.fill()
        case ("take over",) if spaces.second is not None:
            spaces.take_over()
        case ("lose",) if spaces.outbox.embeds:
            spaces.outbox.embeds.pop()
        case _:
            pass


def test_a_file_moved_over_another_of_the_same_size_replaces_it(spaces: Spaces) -> None:
    for step in (
        ("write", b"a.txt", "one\n\none\n\none\n\none\n\none"),
        ("write", b"b.txt", "one\n\nthree\n\nthree\n\nfour"),
        ("extract",),
        ("move", b"a.txt", b"b.txt"),
    ):
        _take(spaces, step)
    spaces.work()
    assert spaces.texts_in(spaces.generation) == {"one"}
