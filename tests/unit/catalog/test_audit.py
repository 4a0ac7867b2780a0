"""The catalog's own books, made wrong by hand in every way, are found wrong and put right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ragd.catalog.audit import audit, put_right
from ragd.catalog.digests import digest_in, recount
from ragd.domain.index import Depth
from ragd.domain.search import Filters
from tests.unit.flow.house import House

STORKS_AGAIN = "INSERT INTO words (rowid, context, body) SELECT id, context, text FROM chunks WHERE text LIKE 'storks%'"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    made.write("a.txt", "beavers build dams", "otters swim in rivers")
    made.write("b.txt", "herons wait in the reeds")
    made.write("copy.txt", "herons wait in the reeds")
    made.write("gone.txt", "storks nest on chimneys")
    made.work()
    made.delete("gone.txt")
    yield made
    made.app.close()


def change(house: House, statement: str) -> None:
    assert house.app.tables.store.connection.execute(statement).rowcount > 0


def test_the_books_of_a_catalog_that_was_only_used_are_right(house: House) -> None:
    assert audit(house.app.tables.store.connection).faults == ()


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (
            "UPDATE contents SET refs = 0 WHERE refs = 2",
            "1 contents are held by another number of documents",
        ),
        (
            "UPDATE contents SET refs = 7 WHERE refs = 0",
            "1 contents are held by another number of documents",
        ),
        ("UPDATE chunks SET refs = 0 WHERE text LIKE 'otters%'", "1 chunks are held by another number of contents"),
        ("UPDATE chunks SET refs = 3 WHERE text LIKE 'storks%'", "1 chunks are held by another number of contents"),
        ("INSERT INTO words (words) VALUES ('delete-all')", "3 chunks are not found by their words"),
        (STORKS_AGAIN, "1 chunks that no document holds"),
        ("INSERT INTO words (rowid, context, body) VALUES (99, '', 'nobody knows')", "1 chunks that no document holds"),
    ],
)
def test_what_is_counted_wrong_is_named_and_put_right(house: House, damage: str, fault: str) -> None:
    store, generation = house.app.tables.store, house.app.generation_id
    change(house, damage)
    books = audit(store.connection)
    (said,) = books.faults
    assert said.startswith(fault)
    report, is_repaired = house.app.prover.prove(Depth.FULL, should_repair=True)
    assert (report.faults, is_repaired) == ((said,), True)
    assert audit(store.connection).faults == ()
    assert digest_in(store.connection, generation) == recount(store.connection, generation) == house.app.index.digest
    assert house.app.prover.prove(Depth.FULL, should_repair=False)[0].is_clean
    assert house.found("otters swim in rivers") == ["otters swim in rivers"]
    for word, hits in (("otters", 1), ("herons", 1), ("storks", 0), ("knows", 0)):
        assert len(house.app.reader.word_hits(word, 5, Filters())) == hits


@pytest.mark.parametrize("with_missing", [False, True])
def test_a_vector_that_was_lost_is_made_again(house: House, with_missing: bool) -> None:
    store = house.app.tables.store
    change(house, "DELETE FROM vectors WHERE chunk_id = (SELECT id FROM chunks WHERE text LIKE 'otters%')")
    if with_missing:
        change(house, "UPDATE contents SET missing = 1 WHERE chunks = 2")
    (said,) = audit(store.connection).faults
    assert said.startswith("1 chunks have no vector")
    assert house.app.prover.prove(Depth.FULL, should_repair=True)[1]
    assert house.app.reader.overview.unfinished() == (0, 1)
    house.work()
    assert house.found("otters swim in rivers") == ["otters swim in rivers"]
    assert house.app.reader.overview.unfinished() == (0, 0)
    assert house.app.prover.prove(Depth.FULL, should_repair=False)[0].is_clean


def test_a_live_chunk_that_was_noted_as_resting_is_embedded_when_it_lacks_its_vector(house: House) -> None:
    change(house, "UPDATE chunks SET refs = 0 WHERE text LIKE 'otters%'")
    change(house, "DELETE FROM vectors WHERE chunk_id = (SELECT id FROM chunks WHERE text LIKE 'otters%')")
    put_right(house.app.tables.store, audit(house.app.tables.store.connection))
    house.app.prover.prove(Depth.FULL, should_repair=True)
    house.work()
    assert house.found("otters swim in rivers") == ["otters swim in rivers"]
    assert house.app.prover.prove(Depth.FULL, should_repair=False)[0].is_clean
