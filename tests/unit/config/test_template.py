"""The commented file means the defaults, and its keys are the schema's."""

from __future__ import annotations

import re
from pathlib import Path

from ragd.config.keys import collection_keys, keys, nearest, sections, trainer_keys
from ragd.config.load import load
from ragd.config.schema import Config, TrainerSettings
from ragd.config.template import commented_file


def test_the_commented_file_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "ragd.toml"
    file.write_text(commented_file())
    assert load(file, {"HOME": "/h"}, {}).config == load(None, {"HOME": "/h"}, {}, cwd=tmp_path / "none").config


def test_with_every_key_uncommented_it_still_means_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "ragd.toml"
    file.write_text(re.sub(r"(?m)^# (?=(\w+ = |\[\[|\[trainers\.))", "", commented_file()))
    loaded = load(file, {"HOME": "/h"}, {})
    defaults = load(None, {"HOME": "/h"}, {}, cwd=tmp_path / "none").config
    assert loaded.config.collections[0].folders == (Path("/h/notes"),)
    trainer = loaded.config.trainers["query_adapter"]
    assert trainer.model_copy(update={"enabled": None, "options": {}}) == TrainerSettings()
    assert trainer.options == {"epochs": 4}
    assert loaded.config.model_copy(update={"collections": (), "trainers": {}}) == defaults
    assert {str(origin.layer) for origin in loaded.origins.values()} == {"file"}


def test_every_key_is_described_and_says_what_it_accepts() -> None:
    for key in (*keys(), *collection_keys(), *trainer_keys()):
        assert key.description.endswith("."), key.name
        assert key.accepts, key.name
        assert key.variable.startswith("RAGD_")
    assert all(promise.endswith(".") for promise in sections().values())


def test_every_default_is_itself_accepted() -> None:
    nested: dict[str, dict[str, object]] = {}
    for key in keys():
        if key.section:
            nested.setdefault(key.section, {})[key.leaf] = key.default
    assert Config.model_validate({"state": "/s", **nested}).model_dump(exclude={"state"}) == Config().model_dump(
        exclude={"state"}
    )


def test_the_nearest_name_is_found_by_the_whole_or_by_the_last_part() -> None:
    names = [key.name for key in keys()]
    assert nearest("watch.setle_s", names) == "watch.settle_s"
    assert nearest("ann.nprobes", names) == "index.nprobe"
    assert nearest("something.else_entirely", names) == ""
