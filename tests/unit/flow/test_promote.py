"""Models going live, being swapped in, coming back, and being found again after a restart at any moment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ragd.catalog.models import NewModel
from ragd.domain.errors import ArtifactInvalid, BadRequest, Busy, GateRefused, NotFound
from ragd.domain.index import EncoderSpec
from ragd.domain.learning import Role
from ragd.domain.training import RunPlaces
from ragd.learn.encoded import write_encoded
from tests.unit.flow.house import BASE, WIDTH, House, Rotated, opened, rotation

PARTS = ("otters swim upstream", "beavers build dams", "foxes dig dens", "herons stand still", "moles dig tunnels")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    made.write("river.txt", *PARTS)
    made.work()
    yield made
    made.app.close()


def everything_is_found(house: House) -> bool:
    return all(house.found(part) == [part] for text in house.files.values() for part in text.split("\n\n"))


def test_an_encoder_serves_at_once_by_its_map_and_whole_when_its_space_is_filled(house: House) -> None:
    model = house.encoder(1)
    champion = house.app.promotions.promote(model)
    assert (champion.model_id, champion.stage) == (model, "filling")
    assert house.serving == "rotated-1 by map in rotated-0"
    assert house.announced == [("rotated-0", "rotated-1")]
    assert everything_is_found(house)
    house.app.promotions.step()
    assert house.serving == "rotated-1 by map in rotated-0"
    house.work()
    house.app.promotions.step()
    assert house.serving == "rotated-1 in rotated-1"
    assert house.champion() == (model, "serving", True)
    assert house.announced[-1] == ("rotated-1", "rotated-0")
    assert everything_is_found(house)
    assert [p["action"] for p in house.app.reader.registry.promotions()] == ["swap", "promote"]


def test_what_the_evaluation_encoded_is_not_encoded_again(house: House) -> None:
    model, space = house.encoder(1), Rotated(1).space
    app = house.app
    ids = app.reader.replay.live_ids(app.generation_id)
    vectors = Rotated(1).encode(app.tables.vectors.texts(ids.tolist())[1]).astype(np.float16)
    places = RunPlaces(house.state / "runs" / str(app.reader.registry.show(model)["run_id"]))
    places.folder.mkdir(parents=True)
    gone = np.append(ids, ids.max() + 1000)  # a chunk that left since
    write_encoded(places.encoded, space, gone, np.vstack([vectors, vectors[:1]]))
    assert app.promotions.promote(model).stage == "serving"
    assert house.outbox.embeds == []
    assert house.serving == "rotated-1 in rotated-1"
    assert everything_is_found(house)


def test_encoded_vectors_that_are_damaged_only_cost_the_time_to_make_them(house: House) -> None:
    model = house.encoder(1)
    places = RunPlaces(house.state / "runs" / str(house.app.reader.registry.show(model)["run_id"]))
    places.folder.mkdir(parents=True)
    places.encoded.write_bytes(b"not safetensors")
    house.app.promotions.promote(model)
    house.work()
    house.app.promotions.step()
    assert house.serving == "rotated-1 in rotated-1"


def test_a_disk_that_fills_up_while_they_are_taken_leaves_no_promotion_half_way(house: House) -> None:
    house.write("lake.txt", *(f"pike number {n} waits" for n in range(2000)))
    house.work()
    model, app = house.encoder(1), house.app
    ids = app.reader.replay.live_ids(app.generation_id)
    vectors = Rotated(1).encode(app.tables.vectors.texts(ids.tolist())[1]).astype(np.float16)
    places = RunPlaces(house.state / "runs" / str(app.reader.registry.show(model)["run_id"]))
    places.folder.mkdir(parents=True)
    write_encoded(places.encoded, Rotated(1).space, ids, vectors)
    db = app.tables.store.connection
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {pages + 40}")
    champion = app.promotions.promote(model)
    db.execute("PRAGMA max_page_count = 1000000000")
    assert (champion.model_id, champion.stage) == (model, "filling")
    assert house.serving == "rotated-1 by map in rotated-0"
    assert house.announced == [("rotated-0", "rotated-1")]
    house.work()
    app.promotions.step()
    assert house.serving == "rotated-1 in rotated-1"


def test_without_a_map_the_old_encoder_serves_until_the_swap(house: House) -> None:
    house.app.promotions.promote(house.encoder(1, into=None, dimension=24))
    assert house.serving == "rotated-0 in rotated-0"
    house.work()
    house.app.promotions.step()
    assert house.serving == "rotated-1 in rotated-1"
    assert house.found("beavers build dams") == ["beavers build dams"]


def test_edits_while_a_space_is_filled_reach_both_and_are_found_at_once(house: House) -> None:
    house.app.promotions.promote(house.encoder(1))
    old, new = house.app.generations.ids
    house.write("lake.txt", "pikes wait in the reeds")
    house.work(generations=[old])
    assert house.found("pikes wait in the reeds") == ["pikes wait in the reeds"]
    house.delete("river.txt")
    house.app.promotions.step()
    assert house.serving == "rotated-1 by map in rotated-0"
    house.work(generations=[new])
    house.app.promotions.step()
    assert house.serving == "rotated-1 in rotated-1"
    assert everything_is_found(house)
    assert [len(live.index) for live in house.app.generations.all] == [1, 1]
    assert house.app.reader.overview.documents_by_state()["searchable"] == 1


def test_edits_that_never_pause_do_not_put_the_swap_off_for_ever(house: House) -> None:
    house.app.promotions.promote(house.encoder(1))
    house.work()
    old, new = house.app.generations.ids
    for n in range(3):
        house.write("busy.txt", f"version {n}")
        house.work(generations=[old])
        house.app.promotions.step()
        assert house.app.generations.serving.id == old
        house.now += 4
    house.write("busy.txt", "version 3")
    house.work(generations=[old])
    house.app.promotions.step()
    assert house.app.generations.serving.id == new
    assert house.app.reader.overview.documents_by_state()["text"] == 1
    house.work()
    assert house.app.reader.overview.documents_by_state()["searchable"] == 2


def test_a_fill_can_be_abandoned_at_once(house: House) -> None:
    model = house.encoder(1)
    house.app.promotions.promote(model)
    house.work()
    house.app.promotions.roll_back(Role.ENCODER)
    assert house.serving == "rotated-0 in rotated-0"
    assert [live.space.model for live in house.app.generations.all] == ["rotated-0"]
    assert house.champion() == (None, "serving", False)
    assert house.app.tables.models.model(model).status == "retired"
    with pytest.raises(NotFound, match="no earlier encoder to roll back to"):
        house.app.promotions.roll_back(Role.ENCODER)
    house.write("lake.txt", "pikes wait")
    house.work()
    assert everything_is_found(house)


def test_a_fill_that_was_abandoned_since_its_encoder_fails_holds_up_nothing(house: House) -> None:
    house.app.promotions.promote(house.encoder(1))
    house.app.ingest.step()
    (failing,) = house.outbox.embeds
    house.app.promotions.roll_back(Role.ENCODER)
    house.outbox.embeds.clear()
    assert house.app.dispatch.embed_failed(failing.id, "no answer") is None
    house.write("lake.txt", "pikes wait")
    house.work()
    assert everything_is_found(house)


def test_a_swap_is_undone_at_once_while_the_old_space_is_kept_up_to_date(house: House) -> None:
    house.app.promotions.promote(house.encoder(1))
    house.work()
    house.app.promotions.step()
    house.write("lake.txt", "pikes wait")
    house.work()
    house.app.promotions.roll_back(Role.ENCODER)
    assert house.serving == "rotated-0 in rotated-0"
    assert everything_is_found(house)
    assert house.app.generations.others == ()
    house.restart()
    assert house.serving == "rotated-0 in rotated-0"
    assert everything_is_found(house)


def test_the_space_before_is_given_up_after_its_time_and_can_still_be_filled_again(tmp_path: Path) -> None:
    house = House(tmp_path, keep_previous_s=60)
    house.write("river.txt", *PARTS)
    house.work()
    model = house.encoder(1)
    house.app.promotions.promote(model)
    house.work()
    house.app.promotions.step()
    house.now += 59
    house.app.promotions.step()
    assert len(house.app.generations.all) == 2
    house.now += 2
    house.app.promotions.step()
    assert [live.space.model for live in house.app.generations.all] == ["rotated-1"]
    _, gone = house.app.tables.vectors.drop_retired()
    assert len(gone) == 1
    back = house.app.promotions.roll_back(Role.ENCODER)
    assert (back.model_id, back.stage) == (None, "filling")
    assert house.serving == "rotated-1 in rotated-1"
    house.restart()
    assert house.serving == "rotated-1 in rotated-1"
    assert house.app.promotions.roll_back(Role.ENCODER).model_id == model
    assert house.champion() == (model, "serving", True)
    house.app.close()


def test_a_second_promotion_gives_up_the_space_that_no_rollback_leads_to(house: House) -> None:
    first = house.encoder(1)
    house.app.promotions.promote(first)
    house.work()
    house.app.promotions.step()
    second = house.encoder(2, into=1, parent=first)
    house.app.promotions.promote(second)
    assert house.serving == "rotated-2 by map in rotated-1"
    assert everything_is_found(house)
    house.app.promotions.step()
    assert [live.space.model for live in house.app.generations.all] == ["rotated-1", "rotated-2"]
    house.work()
    house.app.promotions.step()
    assert house.serving == "rotated-2 in rotated-2"
    house.app.promotions.roll_back(Role.ENCODER)
    assert house.serving == "rotated-1 in rotated-1"
    assert house.champion() == (first, "serving", True)
    assert house.app.promotions.roll_back(Role.ENCODER).stage == "filling"  # its space was given up long ago
    house.work()
    house.app.promotions.step()
    assert house.serving == "rotated-0 in rotated-0"
    assert everything_is_found(house)


def test_a_map_that_leads_into_another_space_is_not_taken(house: House) -> None:
    first = house.encoder(1)
    house.app.promotions.promote(first)
    house.work()
    house.app.promotions.step()
    house.app.promotions.promote(house.encoder(2, into=BASE))
    assert house.serving == "rotated-1 in rotated-1"
    assert everything_is_found(house)


def test_encoders_that_nothing_needs_any_more_are_closed(house: House) -> None:
    house.app.promotions.promote(house.encoder(1))
    route = house.app.routes.current
    assert isinstance(route.encoder, Rotated)
    house.app.promotions.roll_back(Role.ENCODER)
    with house.app.routes.taken():
        house.app.promotions.step()
    assert route.encoder.is_closed
    assert not house.app.model.encoder.is_closed  # type: ignore[attr-defined] # a Rotated


def test_what_was_opened_for_a_promotion_is_open_still_when_it_comes(house: House) -> None:
    shelf, promotions = house.app.shelf, house.app.promotions
    model = house.app.tables.models.model(house.encoder(1))
    promotions.prepare(model.id)
    prepared = shelf.encoder(model)
    promotions.step()
    promotions.promote(model.id)
    assert shelf.encoder(model) is prepared
    assert not prepared.is_closed  # type: ignore[attr-defined]


def test_what_takes_minutes_to_open_is_open_still_when_the_promotion_comes(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    promotions, made = house.app.promotions, list[Rotated]()

    def slowly(spec: EncoderSpec) -> Rotated:
        made.append(opened(spec))
        house.now += 300
        promotions.step()
        return made[-1]

    monkeypatch.setattr(house.app.shelf, "_open_encoder", slowly)
    model = house.encoder(1)
    promotions.prepare(model)
    promotions.step()
    promotions.promote(model)
    assert [encoder.is_closed for encoder in made] == [False]


def test_what_was_opened_for_a_promotion_that_never_came_is_closed(house: House) -> None:
    model = house.app.tables.models.model(house.encoder(1))
    house.app.promotions.prepare(model.id)
    prepared = house.app.shelf.encoder(model)
    house.now += 61
    house.app.promotions.step()
    assert prepared.is_closed  # type: ignore[attr-defined]


def test_a_query_adapter_serves_at_once_in_its_own_space_only(house: House) -> None:
    model = house.adapter(scale=-2.0)
    house.app.promotions.promote(model)
    assert house.found("beavers build dams") != ["beavers build dams"]
    assert house.app.routes.current.adapter_id == model
    house.app.promotions.promote(house.encoder(1))
    assert house.app.routes.current.adapter is None
    assert everything_is_found(house)
    house.app.promotions.roll_back(Role.ENCODER)
    assert house.app.routes.current.adapter_id == model
    house.restart()
    assert house.app.routes.current.adapter_id == model
    house.app.promotions.roll_back(Role.QUERY_ADAPTER)
    assert house.app.routes.current.adapter is None
    assert everything_is_found(house)


def test_a_generator_is_a_pointer_and_nothing_else(house: House) -> None:
    work = house.state / "run" / "generator"
    work.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json"):
        (work / name).write_text("{}")
    (work / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    model = house.store(Role.GENERATOR, "generator_lora", work, "")
    before = house.app.routes.current
    house.app.promotions.promote(model)
    assert house.champion(Role.GENERATOR) == (model, "serving", True)
    assert house.app.routes.current.encoder is before.encoder
    house.app.promotions.roll_back(Role.GENERATOR)
    assert house.champion(Role.GENERATOR) == (None, "serving", False)


def test_what_cannot_serve_is_refused_and_changes_nothing(house: House) -> None:
    promotions, models = house.app.promotions, house.app.tables.models
    refused, good, broken, elsewhere = house.encoder(1), house.encoder(2), house.encoder(3), house.adapter(space=9)
    models.judged(refused, passed=False, scores={}, report="")
    weights = house.folder(broken) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x07")
    before = house.serving
    with pytest.raises(NotFound, match="there is no model 99"):
        promotions.promote(99)
    with pytest.raises(GateRefused, match="did not measurably beat"):
        promotions.promote(refused)
    with pytest.raises(ArtifactInvalid, match="its hash differs"):
        promotions.promote(broken)
    with pytest.raises(BadRequest, match="trained for another encoder"):
        promotions.promote(elsewhere)
    with pytest.raises(BadRequest, match="the index is exact"):
        promotions.promote(house.fit(np.eye(WIDTH, dtype=np.float32)))
    with pytest.raises(NotFound, match="no earlier generator"):
        promotions.roll_back(Role.GENERATOR)
    assert (house.serving, house.champion()) == (before, None)
    promotions.promote(refused, forced=True)
    with pytest.raises(Busy, match="being filled"):
        promotions.promote(good)
    with pytest.raises(BadRequest, match="is the champion already"):
        promotions.promote(refused)
    models.prune()
    with pytest.raises(NotFound, match="were given up"):
        promotions.prepare(good)


@pytest.mark.parametrize("moment", ["promoted", "filling", "filled", "swapped"])
def test_a_restart_at_any_moment_goes_on_where_it_was(house: House, moment: str) -> None:
    model = house.encoder(1)
    house.app.promotions.promote(model)
    if moment == "filling":
        old, _ = house.app.generations.ids
        house.write("lake.txt", "pikes wait")
        house.work(generations=[old])
    if moment in ("filled", "swapped"):
        house.work()
    if moment == "swapped":
        house.app.promotions.step()
    before = house.serving
    house.restart()
    assert house.serving == before
    assert everything_is_found(house)
    assert house.app.promotions.said == {}
    house.work()
    house.app.promotions.step()
    assert house.serving == "rotated-1 in rotated-1"
    assert house.champion() == (model, "serving", True)
    assert everything_is_found(house)
    house.app.promotions.roll_back(Role.ENCODER)
    assert house.serving == "rotated-0 in rotated-0"
    assert everything_is_found(house)


@pytest.mark.parametrize("is_swapped", [False, True])
def test_a_champion_whose_files_are_damaged_is_stood_in_for_and_named(house: House, is_swapped: bool) -> None:
    model = house.encoder(1)
    house.app.promotions.promote(model)
    house.work()
    if is_swapped:
        house.app.promotions.step()
    config = house.folder(model) / "config.json"
    whole = config.read_bytes()
    config.write_bytes(b"{}")
    house.restart()
    assert house.serving == "rotated-0 in rotated-0"
    assert "lora/1 cannot serve, an earlier model stands in" in str(house.app.promotions.said)
    assert everything_is_found(house)
    house.write("lake.txt", "pikes wait")
    house.work()
    house.app.promotions.step()
    assert house.champion() == (model, "serving" if is_swapped else "filling", True)
    config.write_bytes(whole)
    house.restart()
    assert house.app.promotions.said == {}
    house.work()
    house.app.promotions.step()
    assert house.serving == "rotated-1 in rotated-1"
    assert everything_is_found(house)


def test_whoever_configures_another_model_gets_it_and_the_champion_waits(house: House) -> None:
    model = house.encoder(1)
    house.app.promotions.promote(model)
    house.work()
    house.app.promotions.step()
    house.restart(base=5)
    assert house.serving == "rotated-5 in rotated-5"
    assert [live.space.model for live in house.app.generations.all] == ["rotated-5"]
    house.work()
    assert everything_is_found(house)
    house.app.promotions.step()
    with pytest.raises(BadRequest, match="descends from another model"):
        house.app.promotions.promote(house.app.tables.models.add(_like(house, model)))
    with pytest.raises(NotFound, match="no earlier encoder"):
        house.app.promotions.roll_back(Role.ENCODER)
    house.restart(base=BASE)
    assert house.serving == "rotated-1 in rotated-1"
    house.work()
    assert everything_is_found(house)


def _like(house: House, model_id: int) -> NewModel:
    m = house.app.tables.models.model(model_id)
    return NewModel(m.role, "other", 1, m.folder, m.files, "", 0, space=m.space, base=m.base)


def test_a_damaged_adapter_is_left_out_and_named(house: House) -> None:
    model = house.adapter()
    house.app.promotions.promote(model)
    (house.folder(model) / "transform.json").write_text("{}")
    house.restart()
    assert house.app.routes.current.adapter is None
    assert "query_adapter/1 does not serve" in house.app.promotions.said["adapter"]
    assert everything_is_found(house)


def test_an_index_takes_a_learned_fit_keeps_it_and_gives_it_back(tmp_path: Path) -> None:
    house = House(tmp_path)
    words = np.random.default_rng(0).integers(0, 900, (1200, 5))
    for at in range(0, 1200, 300):
        house.write(f"{at}.txt", *(" ".join(f"w{n}" for n in row) for row in words[at : at + 300]))
    house.work()
    index = house.app.index
    index.maintain()
    index.wait_settled(60)
    own = index.centroids()
    assert own is not None
    model = house.fit(rotation(3)[:20])
    assert house.app.promotions.promote(model).stage == "filling"
    index.wait_settled(60)
    house.app.promotions.step()
    assert (house.champion(Role.INDEX), index.facts().lists) == ((model, "serving", True), 20)
    house.restart()
    index = house.app.index
    assert index.facts().lists != 20  # no snapshot was written: it was built from the catalog
    house.app.promotions.step()
    index.wait_settled(60)
    house.app.promotions.step()
    assert index.facts().lists == 20
    house.app.promotions.roll_back(Role.INDEX)
    index.wait_settled(60)
    house.app.promotions.step()
    after = index.centroids()
    assert after is not None
    np.testing.assert_allclose(after, own, atol=1e-5)
    assert house.champion(Role.INDEX) == (None, "serving", False)
    assert len(index) == 1200
    house.app.close()
