"""Stored models as they are opened, beside a daemon and without one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ragd.catalog.reader import CatalogReader
from ragd.domain.errors import ArtifactInvalid, EncoderFailed, ModelMismatch
from ragd.domain.index import EmbeddingSpace, EncoderSpec, IndexPolicy
from ragd.domain.learning import Role
from ragd.embed.transform import QueryTransform
from ragd.flow.offline import Opener
from ragd.flow.route import Route
from ragd.flow.shelf import Shelf
from ragd.index.exact import ExactIndex
from ragd.index.generation import Generation
from tests.unit.flow.house import BASE, WIDTH, House, Rotated, opened


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.app.close()


@pytest.fixture
def shelf(house: House) -> Iterator[Shelf]:
    made = Shelf(house.app.places.models, EncoderSpec(), Rotated(BASE), opened)
    yield made
    made.close()


def test_an_encoder_is_opened_once_and_closed_when_nobody_wants_it(house: House, shelf: Shelf) -> None:
    model = house.app.tables.models.model(house.encoder(1))
    encoder = shelf.encoder(model)
    assert shelf.encoder(model) is encoder
    shelf.close_others([], lambda each: each is encoder)
    assert shelf.encoder(model) is encoder
    shelf.close_others([], lambda _each: False)
    assert isinstance(encoder, Rotated)
    assert encoder.is_closed
    assert shelf.encoder(model) is not encoder
    assert Path(shelf.spec(model).model).is_absolute()


def test_an_encoder_of_another_space_than_it_was_kept_for_is_refused(house: House, shelf: Shelf) -> None:
    model = replace(house.app.tables.models.model(house.encoder(1)), space="f" * 32)
    with pytest.raises(ModelMismatch, match=r"lora/1 makes the space 0+1, not f+"):
        shelf.encoder(model)


def test_a_map_is_taken_where_it_leads_and_nowhere_else(house: House, shelf: Shelf) -> None:
    models = house.app.tables.models
    bare, silent, named = (models.model(house.encoder(seed, into=into)) for seed, into in ((1, None), (2, 0), (3, 0)))
    here, elsewhere = Rotated(BASE).space, Rotated(9).space
    assert shelf.bridge(bare, here.fingerprint, here) is None
    assert isinstance(shelf.bridge(silent, here.fingerprint, here), QueryTransform)
    assert shelf.bridge(silent, elsewhere.fingerprint, here) is None
    said = shelf.folder(named) / "map" / "transform.json"
    said.write_text(json.dumps({"form": "affine", "space": elsewhere.fingerprint}))
    assert shelf.bridge(named, here.fingerprint, here) is None
    assert QueryTransform.read(said.parent, WIDTH, WIDTH).output == WIDTH
    said.write_text("[]")
    with pytest.raises(ArtifactInvalid, match="cannot be read"):
        shelf.bridge(named, here.fingerprint, here)


def offline(house: House, notes: list[str]) -> Route:
    """The route of a state folder whose daemon is gone."""
    reader = CatalogReader(house.state)
    serving = reader.overview.serving()
    assert serving is not None
    spec = house.folder(1) if house.app.reader.registry.models() else Path()
    opener = Opener(house.app.places.models, EncoderSpec(model=str(spec)), opened)
    route = opener.route(reader.registry, *serving, Generation(ExactIndex(WIDTH), IndexPolicy()), notes)
    reader.close()
    return route


def test_without_a_daemon_the_champion_and_its_adapter_are_opened(house: House) -> None:
    house.app.promotions.promote(house.encoder(1))
    house.app.promotions.step()
    house.app.promotions.promote(house.adapter(space=1))
    notes: list[str] = []
    route = offline(house, notes)
    assert isinstance(route.encoder, Rotated)
    assert (route.encoder.space.model, route.space, notes) == ("rotated-1", route.encoder.space.fingerprint, [])
    assert route.adapter is not None
    (house.folder(2) / "transform.json").unlink()
    assert offline(house, notes).adapter is None
    assert "searching without the query adapter" in notes[0]
    (house.folder(1) / "config.json").write_text("{}")
    assert offline(house, notes).encoder is None
    assert "searching by words only" in notes[1]


def test_without_a_daemon_another_configured_model_than_the_indexs_is_not_asked(house: House) -> None:
    house.encoder(1)
    notes: list[str] = []
    assert offline(house, notes).encoder is None
    assert notes == ["searching by words only: the configured model is not the one that made the index"]
    assert house.champion(Role.ENCODER) is None


def test_without_a_daemon_an_endpoint_that_is_away_leaves_the_words(house: House) -> None:
    class Away(Rotated):
        @property
        def space(self) -> EmbeddingSpace:
            raise EncoderFailed("no connection")

        @space.setter
        def space(self, _: EmbeddingSpace) -> None: ...

    asked: list[tuple[EncoderSpec, Away]] = []

    def away(spec: EncoderSpec) -> Away:
        asked.append((spec, Away(BASE)))
        return asked[-1][1]

    reader, notes = CatalogReader(house.state), list[str]()
    serving = reader.overview.serving()
    assert serving is not None
    opener = Opener(house.app.places.models, EncoderSpec(kind="openai", retries=5), away)
    route = opener.route(reader.registry, *serving, Generation(ExactIndex(WIDTH), IndexPolicy()), notes)
    reader.close()
    assert (route.encoder, notes) == (None, ["searching by words only: no connection"])
    ((spec, encoder),) = asked
    assert (spec.retries, encoder.is_closed) == (1, True)
