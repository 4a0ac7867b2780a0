"""Tables of trainers: one key with one origin, whose mistakes have their own lines; where learning's files lie."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from ragd.config.load import Loaded, load
from ragd.config.origin import Layer
from ragd.config.schema import Config, TrainerSettings
from ragd.domain.errors import ConfigInvalid

TABLES = """\
[learn]
journal = true
[trainers.query_adapter]
changed_chunks = 500
when = "all"
[trainers.query_adapter.options]
form = "low_rank"
rank = 32
rate = 0.5
warm = true
[trainers."my trainer"]
enabled = false
"""


def given(tmp_path: Path, text: str = "", env: Mapping[str, str] | None = None) -> Loaded:
    """Loads a file with this text from a folder of its own, with a home that is not the reader's."""
    (tmp_path / "ragd.toml").write_text(text)
    return load(None, {"HOME": str(tmp_path / "home")} | dict(env or {}), {}, cwd=tmp_path)


def complaint(tmp_path: Path, text: str = "", env: Mapping[str, str] | None = None) -> str:
    """What load says about these, which must be wrong."""
    with pytest.raises(ConfigInvalid) as caught:
        given(tmp_path, text, env)
    return str(caught.value)


def test_each_trainer_has_a_table_and_what_it_is_told_keeps_its_kind(tmp_path: Path) -> None:
    loaded = given(tmp_path, TABLES)
    adapter = loaded.config.trainers["query_adapter"]
    assert (adapter.changed_chunks, adapter.when, adapter.enabled) == (500, "all", None)
    assert adapter.options == {"form": "low_rank", "rank": 32, "rate": 0.5, "warm": True}
    assert [type(value) for value in adapter.options.values()] == [str, int, float, bool]
    assert loaded.config.trainers["my trainer"] == TrainerSettings(enabled=False)
    assert str(loaded.origins["trainers"]) == f"{tmp_path}/ragd.toml:3"
    assert "trainers.query_adapter" not in loaded.origins


def test_a_variable_holds_all_tables_as_json_and_replaces_those_of_the_file(tmp_path: Path) -> None:
    loaded = given(tmp_path, TABLES, {"RAGD_TRAINERS": json.dumps({"encoder_lora": {"every_s": 3600}})})
    assert loaded.config.trainers == {"encoder_lora": TrainerSettings(every_s=3600.0)}
    assert str(loaded.origins["trainers"]) == "RAGD_TRAINERS"
    assert given(tmp_path, TABLES, {"RAGD_TRAINERS": ""}).origins["trainers"].layer is Layer.FILE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[trainers.a]\nchanged_chunk = 5", ":2: unknown key trainers.a.changed_chunk; did you mean changed_chunks?"),
        (
            "[trainers.a]\nrank = 5",
            ":2: unknown key trainers.a.rank; what the trainer is told stands in [trainers.a.options]",
        ),
        (
            "[trainers.a]\n\nchanged_chunks = -1",
            ":3: trainers.a.changed_chunks = -1 is not accepted; give a whole number",
        ),
        ('[trainers.a]\nevery_s = "5"', ':2: trainers.a.every_s = "5" is not accepted; give a number, at least 0'),
        ("[trainers.a]\nenabled = 1", ":2: trainers.a.enabled = 1 is not accepted; give true or false"),
        ('[trainers.a]\nwhen = "some"', ':2: trainers.a.when = "some" is not accepted; give "any" or "all"'),
        ("[trainers.a]\nbad_share = 2", ":2: trainers.a.bad_share = 2 is not accepted; give a number from 0 to 1"),
        ("[trainers.a]\noptions = 3", ":2: trainers.a.options = 3 is not accepted; give a table of texts"),
        (
            "[trainers.a.options]\nlayers = [1, 2]",
            ":2: trainers.a.options.layers = [1, 2] is not accepted; give a text, a number, true or false",
        ),
        ("[trainers]\na = 3", ":2: trainers.a = 3 is not accepted; write [trainers.a] and its keys below"),
        ("[trainers]\nevery_s = 3", "every_s stands in the table of a trainer: [trainers.NAME]"),
        ("[[trainers]]\nname = 3", ":1: trainers = "),
        ("trainers = 3", ":1: trainers = 3 is not accepted; give a table for each trainer: [trainers.NAME]"),
        ("[trainer.a]\nevery_s = 3", ":1: unknown key trainer; did you mean trainers?"),
        ("[learn]\nenabled = 1", ":2: learn.enabled = 1 is not accepted; give true or false"),
        ("[learn]\npairs = 3", ":2: learn.pairs = 3 is not accepted; give a list of paths"),
        ("[learn]\npairs = [3]", ":2: learn.pairs = 3 is not accepted; give a list of paths"),
        ('[learn]\ntrackers = "mlflow"', ':2: learn.trackers = "mlflow" is not accepted; give a list of texts'),
        ("[gate]\nalpha = 1.0", ":2: gate.alpha = 1.0 is not accepted; give a number, above 0, below 1"),
        ('[budget]\nquiet_hours = "8-18"', ':2: budget.quiet_hours = "8-18" is not accepted; give two times of day'),
        ('[budget]\nquiet_hours = "24:00-25:00"', "give two times of day such as"),
        ("[budget]\nmoney_day = 5", "budget.money_day (5) needs a price: set budget.cpu_rate or budget.gpu_rate"),
    ],
)
def test_a_mistake_is_named_with_its_own_line_and_what_is_accepted(tmp_path: Path, text: str, expected: str) -> None:
    said = complaint(tmp_path, text)
    assert expected in said
    assert "ragd.toml:" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("RAGD_TRAINERS", "{", "RAGD_TRAINERS: not JSON ("),
        ("RAGD_TRAINERS", "{", 'give {"query_adapter": {"changed_chunks": 1000}}'),
        ("RAGD_TRAINERS", '{"a": {"every": 3}}', "RAGD_TRAINERS: unknown key trainers.a.every; did you mean every_s?"),
        ("RAGD_TRAINERS", '{"a": {"every_s": "3"}}', 'trainers.a.every_s = "3" is not accepted; give a number'),
        (
            "RAGD_TRAINERS",
            '{"a": {"options": {"b": null}}}',
            "trainers.a.options.b = null is not accepted; give a text",
        ),
        ("RAGD_TRAINERS", '["a"]', "give a table for each trainer"),
        ("RAGD_TRAINERS__A__EVERY_S", "3", "unknown variable; did you mean RAGD_TRAINERS?"),
        (
            "RAGD_LEARN__PAIRS",
            "pairs.jsonl",
            'RAGD_LEARN__PAIRS: not JSON (Expecting value: line 1 column 1 (char 0)); give ["…"]',
        ),
    ],
)
def test_a_mistake_in_a_variable_names_the_variable(tmp_path: Path, variable: str, value: str, expected: str) -> None:
    assert expected in complaint(tmp_path, env={variable: value})


def test_several_mistakes_in_tables_are_told_at_once(tmp_path: Path) -> None:
    said = complaint(tmp_path, "[trainers.a]\nevry_s = 1\ncooldown_s = -1\n[trainers.b]\nenabled = 2\n")
    assert [line.partition("ragd.toml:")[2].partition(":")[0] for line in said.splitlines()] == ["2", "5", "3"]


def test_files_of_examples_and_models_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    text = '[learn]\npairs = ["beir", "~/qa.jsonl", "/abs"]\nprompts = ["p.jsonl"]\ngenerator = "g"\nteacher = "t"\n'
    learn = given(tmp_path, text + '[plugins]\nfolder = "mine"\n').config.learn
    assert learn.pairs == (tmp_path / "beir", tmp_path / "home/qa.jsonl", Path("/abs"))
    assert learn.prompts == (tmp_path / "p.jsonl",)
    assert (learn.generator, learn.teacher) == (f"{tmp_path}/g", f"{tmp_path}/t")
    config = given(tmp_path, '[learn]\nteacher = "http://host/v1"\n', {"RAGD_LEARN__PAIRS": '["x"]'}).config
    assert config.learn.teacher == "http://host/v1"
    assert config.learn.pairs == (tmp_path / "x",)


def test_the_plugin_folder_follows_the_configuration_then_xdg_then_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert given(tmp_path).config.plugins_folder == tmp_path / "home/.config/ragd/plugins"
    assert given(tmp_path).origins["plugins.folder"].layer is Layer.DEFAULT
    assert given(tmp_path, env={"XDG_CONFIG_HOME": "/etc/x"}).config.plugins_folder == Path("/etc/x/ragd/plugins")
    assert given(tmp_path, '[plugins]\nfolder = "mine"\n').config.plugins_folder == tmp_path / "mine"
    monkeypatch.setenv("XDG_CONFIG_HOME", "/etc/y")
    assert Config().plugins_folder == Path("/etc/y/ragd/plugins")


def test_money_may_be_limited_where_it_has_a_price(tmp_path: Path) -> None:
    text = '[budget]\nmoney_day = 5\ngpu_rate = 2.5\ncurrency = "EUR"\nquiet_hours = "22:00-06:30"\n'
    assert given(tmp_path, text).config.budget.quiet_hours == "22:00-06:30"
