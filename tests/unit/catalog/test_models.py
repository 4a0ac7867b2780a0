"""The registry: candidates, champions, rollbacks, lineage, pruning."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ragd.catalog.connections import Connections
from ragd.catalog.models import FILLING, SERVING, Models, NewModel
from ragd.catalog.registry import Registry
from ragd.catalog.store import Store
from ragd.domain.errors import NotFound
from ragd.domain.learning import Role


class Shelf:
    def __init__(self, state: Path) -> None:
        self.now = 100.0
        self.store = Store(state)
        self.models = Models(self.store, lambda: self.now)
        self.connections = Connections(state)
        self.registry = Registry(self.connections)

    def add(self, role: Role = Role.ENCODER, name: str = "lora", **more: object) -> int:
        version = self.models.next_version(name)
        new = NewModel(role, name, version, f"{name}/{version}", {"a": "00"}, "ff", 10, **more)  # type: ignore[arg-type] # by name
        return self.models.add(new)

    def status(self, model_id: int) -> str:
        return self.models.model(model_id).status


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path)
    yield made
    made.connections.close()
    made.store.close()


def test_versions_count_up_by_trainer(shelf: Shelf) -> None:
    assert [shelf.models.model(shelf.add(name=n)).label for n in ("lora", "adapter", "lora")] == [
        "lora/1",
        "adapter/1",
        "lora/2",
    ]


def test_a_model_is_found_by_the_run_it_came_out_of(shelf: Shelf) -> None:
    shelf.add()
    made = shelf.add(run_id="20261124-lora")
    assert (shelf.models.of_run("20261124-lora"), shelf.models.of_run("20261124-other")) == (made, None)


def test_a_promotion_and_its_way_back(shelf: Shelf) -> None:
    first, second = shelf.add(), shelf.add()
    shelf.models.crown(Role.ENCODER, first)
    shelf.now = 200.0
    champion = shelf.models.crown(Role.ENCODER, second, stage=FILLING, forced=True)
    assert (champion.model_id, champion.previous_id, champion.stage) == (second, first, FILLING)
    assert (shelf.status(first), shelf.status(second)) == ("retired", "champion")
    assert shelf.models.swapped(Role.ENCODER).stage == SERVING
    back = shelf.models.roll_back(Role.ENCODER)
    assert (back.model_id, back.previous_id, back.has_previous, back.since) == (first, None, True, 200.0)
    assert (shelf.status(first), shelf.status(second)) == ("champion", "retired")
    actions = [(p["action"], p["model"], p["forced"]) for p in shelf.registry.promotions()]
    assert actions == [
        ("rollback", first, False),
        ("swap", second, False),
        ("promote", second, True),
        ("promote", first, False),
    ]


def test_rollbacks_lead_one_by_one_to_what_is_configured(shelf: Shelf) -> None:
    first, second = shelf.add(), shelf.add()
    for promoted in (first, second, first):
        shelf.models.crown(Role.ENCODER, promoted)
    assert [shelf.models.roll_back(Role.ENCODER).model_id for _ in range(3)] == [second, first, None]
    with pytest.raises(NotFound, match="no earlier encoder to roll back to"):
        shelf.models.roll_back(Role.ENCODER)
    shelf.models.crown(Role.ENCODER, second)
    assert [shelf.models.roll_back(Role.ENCODER).model_id] == [None]


def test_a_rollback_passes_over_what_was_given_up(shelf: Shelf) -> None:
    first, second, third = shelf.add(), shelf.add(), shelf.add()
    for promoted in (first, second, third):
        shelf.models.crown(Role.ENCODER, promoted)
    shelf.models.prune()
    assert shelf.status(first) == "pruned"
    assert [shelf.models.roll_back(Role.ENCODER).model_id for _ in range(2)] == [second, None]


def test_no_rollback_leads_behind_another_configured_model(shelf: Shelf) -> None:
    first, second, third = shelf.add(), shelf.add(), shelf.add()
    shelf.models.crown(Role.ENCODER, first)
    shelf.models.crown(Role.ENCODER, second, over_configured=True)
    shelf.models.crown(Role.ENCODER, third)
    assert [shelf.models.roll_back(Role.ENCODER).model_id for _ in range(2)] == [second, None]
    with pytest.raises(NotFound, match="no earlier encoder to roll back to"):
        shelf.models.roll_back(Role.ENCODER)


def test_a_rollback_that_can_return_moves_forth_again(shelf: Shelf) -> None:
    first = shelf.add()
    shelf.models.crown(Role.ENCODER, first)
    back = shelf.models.roll_back(Role.ENCODER, stage=FILLING, can_return=True)
    assert (back.model_id, back.previous_id, back.has_previous) == (None, first, True)
    forth = shelf.models.roll_back(Role.ENCODER)
    assert (forth.model_id, forth.previous_id, forth.has_previous) == (first, None, True)


def test_the_first_promotion_can_be_rolled_back_to_what_is_configured(shelf: Shelf) -> None:
    shelf.models.crown(Role.QUERY_ADAPTER, shelf.add(Role.QUERY_ADAPTER, "adapter"))
    assert shelf.registry.champions()[0]["can_roll_back"]
    back = shelf.models.roll_back(Role.QUERY_ADAPTER)
    assert back.model_id is None
    assert shelf.registry.champions()[0]["model"] is None
    with pytest.raises(NotFound, match="no encoder was ever promoted"):
        shelf.models.roll_back(Role.ENCODER)


def test_what_the_gate_says_is_kept_with_the_model(shelf: Shelf) -> None:
    model = shelf.add()
    shelf.models.judged(model, passed=False, scores={"ndcg@10": 0.25}, report="# No")
    shown = shelf.registry.show(model)
    assert (shown["status"], shown["scores"], shown["report"]) == ("refused", {"ndcg@10": 0.25}, "# No")
    shelf.models.crown(Role.ENCODER, model, forced=True)
    shelf.models.judged(model, passed=False, scores={}, report="")
    assert shelf.status(model) == "champion"


def test_lineage_and_comparison(shelf: Shelf) -> None:
    first = shelf.add(scores={"ndcg@10": 0.25, "note": "x"})
    second = shelf.add(parent=first, scores={"ndcg@10": 0.5, "note": "y"})
    third = shelf.add(name="int8", parent=second)
    assert [row["id"] for row in shelf.registry.lineage(third)] == [second, first]
    compared = shelf.registry.compare(first, second)
    assert compared["differences"] == {"scores": {"ndcg@10": 0.25}, "facts": {}, "size_bytes": 0}
    with pytest.raises(NotFound):
        shelf.registry.compare(first, 99)


def test_models_are_found_as_people_name_them(shelf: Shelf) -> None:
    first, second = shelf.add(), shelf.add()
    assert [shelf.registry.find(text) for text in (str(first), "lora/1", "lora")] == [first, first, second]
    for wrong in ("99", "lora/3", "nobody", "", "lora/"):
        if wrong == "lora/":
            assert shelf.registry.find(wrong) == second
            continue
        with pytest.raises(NotFound):
            shelf.registry.find(wrong)


def test_pruning_keeps_what_serves_what_can_be_returned_to_and_what_they_descend_from(shelf: Shelf) -> None:
    root, unused, parent, champion = shelf.add(), shelf.add(), shelf.add(), None
    champion = shelf.add(name="other", parent=parent)
    newest = shelf.add(name="third")
    shelf.models.crown(Role.ENCODER, root)
    shelf.models.crown(Role.ENCODER, champion)
    assert [row[0] for row in shelf.models.prune(keep=1)] == [unused]
    assert [row[0] for row in shelf.models.prune()] == [unused, newest]
    assert {row["id"] for row in shelf.registry.models()} == {root, parent, champion}
    assert len(shelf.registry.models(with_pruned=True)) == 5


def test_a_number_that_json_does_not_know_is_shown_as_none(shelf: Shelf) -> None:
    model = shelf.add(facts={"loss": float("nan")})
    assert shelf.registry.show(model)["facts"] == {"loss": None}
