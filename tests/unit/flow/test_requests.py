"""What a run is told: options, limits, files of examples, and the models that serve as it begins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ragd.catalog.models import NewModel
from ragd.config.live import LiveConfig
from ragd.config.schema import TrainerSettings
from ragd.domain.errors import ModelUnavailable, PluginRefused
from ragd.domain.learning import Data, Needs, Resources, Role
from ragd.domain.plugins import TrainerFacts
from ragd.domain.training import PluginSource
from ragd.flow.requests import TAUGHT, Requests
from tests.unit.flow.works import ADAPTER, FIT, LORA, WRITER, Works

PUPIL = TrainerFacts(TAUGHT, Role.GENERATOR, Needs(Data.PROMPTS, 10), 1.0, TAUGHT)
NO_SETTINGS = TrainerSettings()


@pytest.fixture
def works(tmp_path: Path) -> Iterator[Works]:
    made = Works(
        tmp_path / "state",
        ADAPTER,
        LORA,
        FIT,
        WRITER,
        PUPIL,
        threads=2,
        memory_mb=2048,
        disk_mb=512,
        processes=8,
        timeout_s=900,
        pairs=(str(tmp_path / "pairs.jsonl"), str(tmp_path / "beir")),
        prompts=(str(tmp_path / "prompts.jsonl"),),
        teacher="http://teacher/v1",
    )
    yield made
    made.close()


def test_a_run_gets_the_limits_of_the_configuration_or_of_its_own_table(works: Works) -> None:
    limits = works.requests.request("r", ADAPTER, NO_SETTINGS, 7).resources
    assert limits == Resources(2, 2048, 512, 8, 900.0, "cpu")
    own = works.requests.request("r", ADAPTER, TrainerSettings(memory_mb=8000, timeout_s=60), 7).resources
    assert own == Resources(2, 8000, 512, 8, 60.0, "cpu")


def test_a_run_is_told_its_plugin_seed_role_and_the_encoder_that_serves(works: Works) -> None:
    request = works.requests.request("r7", ADAPTER, NO_SETTINGS, 7)
    assert (request.id, request.trainer, request.role, request.seed) == ("r7", "query_adapter", Role.QUERY_ADAPTER, 7)
    assert request.plugin == PluginSource("query_adapter", "bundled")
    assert request.encoder.threads == 2
    assert request.encoder.model == works.house.app.generations.serving.spec.model
    assert request.models == str(works.house.app.places.models.absolute())
    assert (request.adapter, request.settings) == ("", {})


def test_a_plugin_that_is_not_used_is_refused(works: Works) -> None:
    works.plugins.block("query_adapter", "not trusted yet")
    with pytest.raises(PluginRefused):
        works.requests.request("r", ADAPTER, NO_SETTINGS, 7)


def test_options_reach_the_trainer_and_the_teacher_only_the_one_that_wants_it(works: Works) -> None:
    options = TrainerSettings(options={"rank": 8})
    assert works.requests.request("r", WRITER, options, 7).settings == {"rank": 8}
    assert works.requests.request("r", PUPIL, options, 7).settings == {"teacher": "http://teacher/v1", "rank": 8}
    own = TrainerSettings(options={"teacher": "/models/large"})
    assert works.requests.request("r", PUPIL, own, 7).settings == {"teacher": "/models/large"}


def test_configured_examples_are_those_of_the_files_and_the_journal(works: Works, tmp_path: Path) -> None:
    preparation = works.requests.preparation(ADAPTER, None)
    assert preparation.needs == ADAPTER.needs
    assert preparation.pairs == (str(tmp_path / "pairs.jsonl"), str(tmp_path / "beir"))
    assert preparation.prompts == (str(tmp_path / "prompts.jsonl"),)
    gate, index = works.config.gate, works.config.index
    assert (preparation.heldout_share, preparation.metric, preparation.nprobe) == (
        gate.heldout_share,
        gate.metric,
        index.nprobe,
    )
    assert preparation.state == str((tmp_path / "state").absolute())
    works.house.learn = {"journal": True}
    works.restart()
    assert works.requests.preparation(ADAPTER, None).has_journal


@pytest.mark.parametrize(
    ("facts", "pairs", "prompts"),
    [(ADAPTER, ("/data/mine.jsonl",), ()), (LORA, ("/data/mine.jsonl",), ()), (WRITER, (), ("/data/mine.jsonl",))],
)
def test_a_named_file_stands_for_everything_that_is_configured(
    works: Works, facts: TrainerFacts, pairs: tuple[str, ...], prompts: tuple[str, ...]
) -> None:
    works.house.learn = {**works.house.learn, "journal": True}
    works.restart()
    preparation = works.requests.preparation(facts, "/data/mine.jsonl")
    assert (preparation.pairs, preparation.prompts, preparation.has_journal) == (pairs, prompts, False)


def test_the_adapter_that_serves_is_told_by_its_folder(works: Works) -> None:
    model_id = works.house.adapter()
    works.house.app.promotions.promote(model_id)
    assert works.requests.request("r", LORA, NO_SETTINGS, 7).adapter == str(works.house.folder(model_id).absolute())


def test_a_retrieval_trainer_gets_the_folder_of_the_encoder_that_serves(works: Works) -> None:
    spec = works.house.app.generations.serving.spec
    folder = str(works.house.state / "configured" / spec.model)
    for facts in (ADAPTER, LORA, FIT):
        assert works.requests.request("r", facts, NO_SETTINGS, 7).model_folder == folder
    model_id = works.house.encoder(1)
    works.house.app.promotions.promote(model_id)
    works.write(1)
    works.house.work()
    works.house.app.promotions.step()
    assert works.house.serving == "rotated-1 in rotated-1"
    request = works.requests.request("r", LORA, NO_SETTINGS, 7)
    assert request.encoder.model == str(works.house.folder(model_id).absolute())
    assert request.model_folder.endswith(str(works.house.folder(model_id)))


def test_an_encoder_that_is_not_on_this_machine_has_no_folder(works: Works) -> None:
    def is_missing(name: str) -> Path:
        raise ModelUnavailable(f"{name} is missing")

    app = works.house.app
    requests = Requests(
        LiveConfig(works.config),
        works.plugins,
        app.generations,
        app.routes,
        app.reader.registry,
        app.shelf,
        models=app.places.models,
        model_folder=is_missing,
    )
    assert requests.request("r", LORA, NO_SETTINGS, 7).model_folder == ""


def test_a_generator_trainer_gets_the_champion_else_what_is_configured_else_nothing(
    works: Works, tmp_path: Path
) -> None:
    def folder() -> str:
        return works.requests.request("r", WRITER, NO_SETTINGS, 7).model_folder

    assert folder() == ""
    works.house.learn = {"generator": str(tmp_path / "writer")}
    works.restart()
    assert folder() == str(tmp_path / "writer")
    models = works.house.app.tables.models
    model_id = models.add(NewModel(Role.GENERATOR, "generator_lora", 1, "generator_lora/1", {}, "ff", 1))
    models.crown(Role.GENERATOR, model_id)
    assert folder() == str(works.house.folder(model_id).absolute())
    models.roll_back(Role.GENERATOR)
    assert folder() == str(tmp_path / "writer")


def test_an_encoder_behind_an_endpoint_has_no_folder(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    serving = works.house.app.generations.serving
    works.house.app.generations.add(replace(serving, spec=replace(serving.spec, kind="openai", url="http://e/v1")))
    assert works.requests.request("r", LORA, NO_SETTINGS, 7).model_folder == ""
