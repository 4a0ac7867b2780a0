"""Proofs of the indexes of a whole app: made at start, repeated, and believed only where rows are counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragd.domain.digest import Digest
from ragd.domain.index import Depth
from ragd.domain.learning import Role
from ragd.domain.search import Query
from tests.unit.flow.house import House

NOTHING = np.empty(0, np.int64)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    made.write("a.txt", "beavers build dams", "otters swim in rivers")
    made.write("b.txt", "herons wait in the reeds")
    made.work()
    yield made
    made.app.close()


def proven(house: House) -> Any:
    return house.app.answer.search(Query("beavers")).as_json()["freshness"]


def flip_a_bit(house: House) -> int:
    """A bad memory cell: one bit of the first row changes, and nobody is told."""
    index: Any = house.app.index._index
    index._codes()[0, 3] ^= 8
    return int(index._id_at[0])


def test_a_start_proves_and_every_answer_says_when(house: House) -> None:
    assert proven(house)["proven_at"] == house.app.prover.proven_at
    house.restart()
    last = house.app.prover.last
    assert last is not None
    assert (last.chunks, last.wrong, last.is_equal) == (3, 0, True)
    assert proven(house)["proven_at"] == last.at


def test_a_row_that_memory_changed_is_found_and_mended_from_the_catalog(house: House) -> None:
    wrong = flip_a_bit(house)
    report, is_repaired = house.app.prover.prove(Depth.DIGEST, should_repair=True)
    assert (report.is_clean, is_repaired) == (True, False), "no change of the catalog touched it"
    report, is_repaired = house.app.prover.prove(Depth.ROWS, should_repair=False)
    assert (report.differing, is_repaired) == ((wrong,), False)
    assert proven(house)["proven_at"] is None
    report, is_repaired = house.app.prover.prove(Depth.ROWS, should_repair=True)
    assert (report.differing, is_repaired) == ((wrong,), True)
    assert proven(house)["proven_at"] == house.app.prover.proven_at is not None
    assert house.app.prover.prove(Depth.FULL, should_repair=False)[0].is_clean


def test_rows_that_came_or_went_unseen_are_named_and_mended(house: House) -> None:
    index = house.app.index
    gone, ghost = index.ids()[:1], np.array([900])
    index.apply(ghost, np.ones((1, index.dimension), np.float16), gone)
    report, is_repaired = house.app.prover.prove(Depth.DIGEST, should_repair=True)
    assert (report.missing, report.ghosts) == (tuple(gone.tolist()), (900,))
    assert is_repaired
    assert house.found("herons wait in the reeds") == ["herons wait in the reeds"]
    assert house.app.prover.prove(Depth.FULL, should_repair=False)[0].is_clean


def test_a_digest_that_was_kept_wrong_is_counted_anew(house: House) -> None:
    name = f"digest_sum {house.app.generation_id}"
    house.app.tables.store.connection.execute("UPDATE facts SET value = value + 1 WHERE name = ?", (name,))
    report, is_repaired = house.app.prover.prove(Depth.DIGEST, should_repair=True)
    assert (report.is_miscounted, is_repaired) == (True, True)
    assert house.app.reader.replay.digest(house.app.generation_id) == house.app.index.digest
    house.restart()
    assert house.app.prover.last is not None
    assert house.app.prover.last.wrong == 0


def test_a_second_generation_is_proven_too(house: House) -> None:
    house.app.promotions.promote(house.encoder(1))
    house.work()
    house.app.promotions.step()
    kept, serving = house.app.generations.others[0], house.app.generations.serving
    assert kept.index.digest.rows == serving.index.digest.rows == 3
    assert kept.index.digest != serving.index.digest
    house.delete("b.txt")
    assert house.app.prover.prove(Depth.FULL, should_repair=False)[0].is_clean
    kept.index.apply(NOTHING, np.empty((0, kept.index.dimension), np.float16), kept.index.ids()[:1])
    report, is_repaired = house.app.prover.prove(Depth.DIGEST, should_repair=True)
    assert (len(report.missing), is_repaired) == (1, True)


def test_a_generation_that_lives_again_is_counted_anew(house: House) -> None:
    house.app.promotions.promote(house.encoder(1))
    house.work()
    house.app.promotions.step()
    before = house.app.generations.others[0].id
    house.restart(base=5)  # what is configured is another model now: both spaces are given up
    house.work()
    assert before not in house.app.generations.ids
    assert house.app.reader.replay.digest(before) == Digest()
    house.write("c.txt", "storks nest on chimneys")
    house.restart(base=0)
    house.work()
    house.app.promotions.roll_back(Role.ENCODER)
    house.work()
    house.app.promotions.step()
    assert house.app.prover.prove(Depth.FULL, should_repair=False)[0].is_clean
