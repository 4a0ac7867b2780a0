"""What the status says of models and generations, at each stage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ragd.domain.learning import Role
from ragd.flow.shown import generation_json, serving_json
from tests.unit.flow.house import House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    made.write("river.txt", "otters swim upstream", "beavers build dams")
    made.work()
    yield made
    made.app.close()


def shown(house: House) -> dict[str, Any]:
    app = house.app
    return serving_json(app.reader.registry, app.generations, app.routes.current)


def generations(house: House) -> list[tuple[str, bool, int, int]]:
    app = house.app
    told = [
        generation_json(app.reader.registry, live, app.reader.overview.lacking(live.id), is_serving=number == 0)
        for number, live in enumerate(app.generations.all)
    ]
    return [(g["model"], g["serving"], g["chunks"], g["lacking"]) for g in told]


def test_each_stage_of_a_promotion_is_told(house: House) -> None:
    assert (shown(house)["name"], shown(house)["model"], shown(house)["id"]) == ("configured", "rotated-0", None)
    model = house.encoder(1)
    house.app.promotions.promote(model)
    told = shown(house)
    assert (told["name"], told["id"], told["stage"], told["map"]) == ("lora/1", model, "filling", True)
    assert generations(house) == [("rotated-0", True, 2, 0), ("lora/1", False, 0, 2)]
    house.work()
    house.app.promotions.step()
    told = shown(house)
    assert (told["model"], told["stage"], told["map"], told["ignored"]) == ("lora/1", "serving", False, None)
    assert generations(house) == [("lora/1", True, 2, 0), ("rotated-0", False, 2, 0)]


def test_an_adapter_and_a_champion_that_waits_for_its_base_are_named(house: House) -> None:
    house.app.promotions.promote(house.adapter())
    assert shown(house)["adapter"] == "query_adapter/1"
    house.app.promotions.promote(house.encoder(1))
    assert shown(house)["adapter"] is None
    house.work()
    house.app.promotions.step()
    house.restart(base=5)
    assert (shown(house)["name"], shown(house)["ignored"], shown(house)["stage"]) == ("configured", "lora/1", "serving")
    house.restart(base=0)
    # The space before was given up meanwhile: it is filled again, and until then the champion of before serves on.
    house.app.promotions.roll_back(Role.ENCODER)
    assert (shown(house)["name"], shown(house)["stage"], shown(house)["ignored"]) == ("lora/1", "filling", None)
    house.work()
    house.app.promotions.step()
    assert (shown(house)["name"], shown(house)["stage"], shown(house)["ignored"]) == ("configured", "serving", None)
