"""What is done between jobs for several live generations: snapshots, logs, and what is given up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ragd.daemon.upkeep import Upkeep
from ragd.domain.learning import Role
from ragd.index.snapshot import kept_sequences
from tests.unit.flow.house import House


def kept(house: House) -> Upkeep:
    return Upkeep(house.app, is_alive=lambda _batch: True, embed_workers=lambda: 1, clock=house.clock)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path, keep_previous_s=30)
    made.write("river.txt", "otters swim upstream", "beavers build dams")
    made.work()
    yield made
    made.app.close()


def snapshots(house: House) -> dict[int, int]:
    """How many snapshots each generation's folder holds."""
    return {int(path.name): len(kept_sequences(path)) for path in (house.state / "generations").iterdir()}


def test_every_live_generation_is_written_when_it_changed_and_only_then(house: House) -> None:
    upkeep = kept(house)
    house.app.promotions.promote(house.encoder(1))
    upkeep.finish()
    assert snapshots(house) == {1: 1, 2: 1}
    house.work()
    upkeep.finish()
    assert snapshots(house) == {1: 1, 2: 2}
    house.restart()
    assert [live.origin for live in house.app.generations.all] == ["snapshot, 0 replayed"] * 2
    again = kept(house)
    house.write("lake.txt", "pikes wait")
    house.work()
    again.finish()
    assert snapshots(house) == {1: 2, 2: 2}
    house.restart()
    assert [live.origin for live in house.app.generations.all] == ["snapshot, 0 replayed"] * 2


def test_each_generations_log_is_trimmed_to_its_own_snapshots(house: House) -> None:
    upkeep = kept(house)
    house.app.promotions.promote(house.encoder(1))
    house.work()
    upkeep.finish()
    upkeep.step()
    rows = house.app.tables.store.connection.execute("SELECT count(*) FROM changes").fetchone()
    assert rows == (0,)
    assert house.app.reader.replay.changed_since(2, 0) is None
    assert house.app.reader.replay.changed_since(2, house.app.index.sequence) is not None


def test_what_is_given_up_leaves_the_catalog_and_the_disk_slice_by_slice(house: House) -> None:
    upkeep = kept(house)
    house.app.promotions.promote(house.encoder(1))
    house.work()
    upkeep.step()
    upkeep.finish()
    assert house.serving == "rotated-1 in rotated-1"
    house.now += 31
    upkeep.step()
    assert house.app.generations.others == ()
    house.now += 61
    upkeep.step()
    assert snapshots(house) == {2: 1}
    assert house.app.tables.store.connection.execute("SELECT id FROM generations").fetchall() == [(2,)]


def test_vectors_given_up_stay_while_the_serving_space_is_not_whole(house: House) -> None:
    house.restart(base=7)
    upkeep = kept(house)
    house.now += 61
    upkeep.step()
    count = "SELECT count(*) FROM vectors"
    assert house.app.tables.store.connection.execute(count).fetchone() == (2,)
    house.work()
    upkeep.finish()
    house.now += 61
    upkeep.step()
    assert house.app.tables.store.connection.execute(count).fetchone() == (2,)
    assert house.app.tables.store.connection.execute("SELECT id FROM generations").fetchall() == [(2,)]


def test_hits_reach_the_catalog_and_problems_of_models_are_among_the_reasons(house: House) -> None:
    upkeep = kept(house)
    house.found("beavers build dams")
    house.now += 31
    upkeep.step()
    assert house.app.tables.store.connection.execute("SELECT chunk_id, hits FROM found").fetchall() == [(2, 1.0)]
    assert upkeep.reasons == []
    model = house.adapter()
    house.app.promotions.promote(model)
    (house.folder(model) / "transform.json").unlink()
    house.restart()
    assert "query_adapter/1 does not serve" in kept(house).reasons[0]
    house.app.promotions.roll_back(Role.QUERY_ADAPTER)
    assert kept(house).reasons == []


def test_a_clock_that_was_set_back_makes_a_proof_due_at_once(house: House) -> None:
    upkeep = kept(house)
    house.now += house.app.config.index.verify_s + 1
    upkeep.step()
    before = house.app.prover.last
    assert before is not None
    house.now -= 86400
    upkeep.step()
    after = house.app.prover.last
    assert after is not None
    assert after.at < before.at


def test_an_index_of_another_kind_is_written_though_no_row_changed(house: House) -> None:
    upkeep = kept(house)
    upkeep.finish()
    assert snapshots(house) == {1: 1}
    house.app.index._start_build("exact", None, "test")  # as `maintain` does when the policy asks for another kind
    house.app.index.wait_settled(10)
    for _ in range(3):
        upkeep.finish()
    assert snapshots(house) == {1: 2}


def test_an_index_that_cannot_be_built_is_tried_again_after_a_minute(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    upkeep, tries = kept(house), []

    def fails() -> None:
        tries.append(round(house.now))
        raise MemoryError("no room for the lists")

    monkeypatch.setattr(house.app.index, "maintain", fails)
    for _ in range(12):
        upkeep.step()
        house.now += 10
    assert tries == [1000, 1060]
    assert upkeep.problems["index"] == "the index could not change its kind: no room for the lists"
