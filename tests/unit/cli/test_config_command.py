"""`ragd config`: values with their origins, a file to start from, mistakes found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


def test_show_gives_each_value_with_its_origin(ragd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ragd.toml").write_text('[search]\nlimit = 5\n[[collections]]\nname = "a"\nfolders = ["x"]\n')
    monkeypatch.setenv("RAGD_WORKERS__NICE", "3")
    lines = {line.split()[0]: line for line in ragd("config", "show").stdout.splitlines()}
    assert lines["search.limit"].split() == ["search.limit", "5", f"{tmp_path}/ragd.toml:2"]
    assert lines["workers.nice"].split() == ["workers.nice", "3", "RAGD_WORKERS__NICE"]
    assert lines["index.nprobe"].split() == ["index.nprobe", "16", "default"]
    assert lines["state"].endswith("--state")
    assert lines["collections.a.folders"].split()[1] == f'["{tmp_path}/x"]'


def test_show_masks_secrets_also_in_json(ragd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGD_EMBED__API_KEY", "hush")
    monkeypatch.setenv("RAGD_REDIS__URL", "redis://:hush@host/0")
    assert "hush" not in ragd("config", "show").output
    result = ragd("config", "show", "--json")
    values = json.loads(result.stdout)["values"]
    assert "hush" not in result.output
    assert values["embed.api_key"] == {"value": "********", "layer": "variable", "origin": "RAGD_EMBED__API_KEY"}
    assert values["redis.url"]["value"] == "redis://:********@host/0"


def test_init_writes_a_file_that_check_accepts_and_never_replaces_one_unasked(ragd: Any, tmp_path: Path) -> None:
    assert ragd("config", "init").stdout == "wrote ragd.toml\n"
    assert ragd("config", "path").stdout == f"{tmp_path}/ragd.toml\n"
    assert ragd("config", "check").stdout == f"{tmp_path}/ragd.toml: in order\n"
    (tmp_path / "ragd.toml").write_text("# mine")
    refused = ragd("config", "init")
    assert refused.exit_code == 2
    assert (tmp_path / "ragd.toml").read_text() == "# mine"
    assert ragd("config", "init", "--force").exit_code == 0
    assert ragd("config", "init", str(tmp_path / "new/dir/r.toml")).exit_code == 0
    assert ragd("config", "init", "ragd.toml/below").exit_code == 2


def test_path_says_where_it_looked_when_there_is_none(ragd: Any, tmp_path: Path) -> None:
    result = ragd("config", "path")
    assert result.exit_code == 3
    assert f"{tmp_path}/ragd.toml" in result.stderr
    assert json.loads(ragd("config", "path", "--json").stdout)["file"] is None


def test_check_tells_every_mistake_a_line_each(ragd: Any, tmp_path: Path) -> None:
    (tmp_path / "ragd.toml").write_text("[embed]\nthreds = 2\n[search]\nlimit = 0\n")
    result = ragd("config", "check", "--json")
    assert result.exit_code == 2
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert "did you mean embed.threads?" in errors[0]
    assert json.loads(result.stdout)["error"]["code"] == "config_invalid"


def test_check_notes_a_folder_that_is_not_there(ragd: Any, tmp_path: Path) -> None:
    (tmp_path / "ragd.toml").write_text('[[collections]]\nname = "a"\nfolders = ["x"]\n')
    result = ragd("config", "check")
    assert result.exit_code == 0
    assert f"note: the folder {tmp_path}/x does not exist" in result.stderr
    assert json.loads(ragd("config", "check", "--json").stdout)["missing_folders"] == [f"{tmp_path}/x"]


def test_an_option_before_the_command_names_the_file(ragd: Any, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("[search]\nlimit = 7\n")
    result = ragd("--config", str(tmp_path / "other.toml"), "config", "show", "--json")
    assert json.loads(result.stdout)["values"]["search.limit"]["value"] == 7


def test_show_lists_what_was_set_for_each_trainer(ragd: Any, tmp_path: Path) -> None:
    (tmp_path / "ragd.toml").write_text("[trainers.a]\nevery_s = 60\n[trainers.a.options]\nrank = 4\n")
    lines = {line.split()[0]: line for line in ragd("config", "show").stdout.splitlines()}
    assert lines["trainers.a.every_s"].split() == ["trainers.a.every_s", "60.0", f"{tmp_path}/ragd.toml:1"]
    assert '{"rank": 4}' in lines["trainers.a.options"]
    assert "trainers.a.when" not in lines
    shown = json.loads(ragd("config", "show", "--json").stdout)["values"]["trainers"]["value"]
    assert (shown["a"]["when"], shown["a"]["options"]) == ("any", {"rank": 4})


def test_check_notes_files_of_examples_that_are_not_there(ragd: Any, tmp_path: Path) -> None:
    (tmp_path / "ragd.toml").write_text('[learn]\npairs = ["qa.jsonl"]\n')
    result = ragd("config", "check")
    assert result.exit_code == 0
    assert f"note: {tmp_path}/qa.jsonl (learn.pairs) does not exist" in result.stderr
    assert json.loads(ragd("config", "check", "--json").stdout)["missing_files"] == [f"{tmp_path}/qa.jsonl"]


def test_check_notes_names_that_no_plugin_offers(ragd: Any, tmp_path: Path) -> None:
    (tmp_path / "ragd.toml").write_text(
        '[trainers.qeury_adapter]\nenabled = true\npolicy = "moon"\n[trainers.query_adapter]\nenabled = false\n'
        '[learn]\nlauncher = "slrum"\ntrackers = ["mlflow", "wand"]\n'
    )
    result = ragd("config", "check")
    assert result.exit_code == 0
    assert "trainers.qeury_adapter: no plugin in use offers that" in result.stderr
    assert json.loads(ragd("config", "check", "--json").stdout)["unknown_names"] == [
        "trainers.qeury_adapter",
        "trainers.qeury_adapter.policy = moon",
        "learn.launcher = slrum",
        "learn.trackers: wand",
    ]
