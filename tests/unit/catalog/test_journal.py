"""The journal keeps what was asked and judged, forgets by age, and gives training what it needs."""

from __future__ import annotations

import numpy as np
import pytest

from ragd.catalog.journal import Journal, JournalEntry
from ragd.catalog.vectors import Vectors
from ragd.domain.errors import NotFound
from ragd.domain.index import EmbeddingSpace
from ragd.learn.claims import Claim
from ragd.learn.journal import journal_asked
from tests.unit.catalog.conftest import Kept


def entry(number: int, at: float = 100.0, vector: float | None = None, space: str = "a") -> JournalEntry:
    half = None if vector is None else np.full(4, vector, dtype=np.float16)
    return JournalEntry(number, at, f"query {number}", "hybrid", 3.5, ((10, 1), (11, 1), (12, 2)), half, space)


@pytest.fixture
def journal(kept: Kept) -> Journal:
    vectors, journal = Vectors(kept.store), Journal(kept.store)
    for name in ("a", "b"):
        vectors.serve(EmbeddingSpace(name, 4, "tiny", 16))
    journal.add([entry(1, 100.0, 0.5), entry(2, 200.0), entry(3, 300.0, 0.25), entry(4, 400.0, 0.125, space="b")])
    return journal


def test_judged_queries_come_with_their_hits_by_rank_oldest_first(kept: Kept, journal: Journal) -> None:
    journal.judge(3, 11, is_good=True, at=310.0)
    journal.judge(1, 10, is_good=False, at=320.0)
    journal.judge(1, 12, is_good=True, at=320.0)
    first, second = kept.rows.journal.judged()
    assert (first.id, first.text, first.feedback) == (1, "query 1", {10: False, 12: True})
    assert first.hits == ((10, 1), (11, 1), (12, 2))
    assert [first.rank(chunk) for chunk in (10, 12, 99)] == [1, 3, None]
    assert (second.id, second.at, second.feedback) == (3, 300.0, {11: True})
    assert [query.id for query in kept.rows.journal.judged(since=100.0)] == [3]
    assert kept.rows.journal.judgements() == (2, 1)
    assert kept.rows.journal.judgements(since=310.0) == (1, 1)
    assert kept.rows.journal.count() == 4
    assert kept.rows.journal.count(judged=True) == 2
    assert [query.id for query in kept.rows.journal.shown(limit=2)] == [4, 3]


def test_a_later_judgement_replaces_an_earlier_one(kept: Kept, journal: Journal) -> None:
    journal.judge(1, 10, is_good=False, at=1.0)
    journal.judge(1, 10, is_good=True, at=2.0)
    assert kept.rows.journal.judgements() == (1, 0)
    assert kept.rows.journal.judged()[0].feedback == {10: True}


def test_a_judgement_of_what_is_not_there_is_refused_with_a_remedy(kept: Kept, journal: Journal) -> None:
    with pytest.raises(NotFound, match="no query 77") as caught:
        journal.judge(77, 10, is_good=True, at=1.0)
    assert "learn.journal" in caught.value.hint
    with pytest.raises(NotFound, match="no chunk 99"):
        journal.judge(1, 99, is_good=True, at=1.0)
    kept.store.connection.execute("INSERT INTO chunks VALUES (99, X'01', '', 'the answer that was not found', 1, NULL)")
    journal.judge(1, 99, is_good=True, at=1.0)
    assert kept.rows.journal.judged()[0].feedback == {99: True}


def test_what_is_too_old_goes_with_what_was_said_of_it(kept: Kept, journal: Journal) -> None:
    journal.judge(1, 10, is_good=True, at=500.0)
    journal.judge(3, 10, is_good=True, at=500.0)
    assert journal.trim(before=250.0) == 2
    assert kept.rows.journal.count() == 2
    assert kept.rows.journal.judgements() == (1, 0)
    assert kept.store.connection.execute("SELECT count(*) FROM feedback").fetchone() == (1,)
    assert kept.rows.journal.newest_id() == 4


def test_vectors_are_those_of_one_space_oldest_first(kept: Kept, journal: Journal) -> None:
    vectors = kept.rows.journal.vectors(1, limit=10)
    assert vectors.dtype == np.float16
    assert vectors.shape == (2, 4)
    assert vectors[:, 0].tolist() == [0.5, 0.25]
    assert kept.rows.journal.vectors(1, limit=1)[:, 0].tolist() == [0.25]
    assert kept.rows.journal.vectors(9, limit=1).shape == (0, 0)


def test_training_takes_the_journal_as_it_is_read(kept: Kept, journal: Journal) -> None:
    journal.judge(1, 12, is_good=True, at=320.0)
    (asked,) = journal_asked(kept.rows.journal.judged())
    assert (asked.query, asked.at, asked.claims) == ("query 1", 100.0, (Claim("", 1.0, chunk=12),))
