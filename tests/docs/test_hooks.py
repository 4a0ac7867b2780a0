"""Every hook has its place in the reference and a how-to, whose plugin keeps the contract of what it offers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ragd.cli.reference_hooks import GUIDES
from ragd.domain.index import EncoderSpec
from ragd.domain.plugins import Event, EventKind
from ragd.hooks.manager import Plugins
from ragd.hooks.offers import HOOKS
from ragd.testing import contracts
from ragd.testing.plugin import load_plugin

DOCS = Path(__file__).parents[2] / "docs"


def plugin_of(page: str, folder: Path) -> Plugins:
    """The plugin that a page shows, from a file of the name in its first line."""
    code = re.findall(r"^```python\n(.*?)^```$", (DOCS / "howto" / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)[
        0
    ]
    name = re.match(r"# (\w+\.py)\n", code)
    assert name is not None, page
    (folder / name[1]).write_text(code)
    return load_plugin(folder / name[1])


def test_there_are_eight_hooks_each_with_a_place_and_a_guide() -> None:
    page = (DOCS / "reference/hooks.md").read_text("utf-8")
    assert len(HOOKS) == 8
    assert set(GUIDES) == set(HOOKS)
    for hook in HOOKS:
        (section,) = re.findall(rf"^## `{hook}`\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
        for part in ("When it is called:", "What you get:", "What you may return:", "What happens if you raise:"):
            assert f"**{part}**" in section, (hook, part)
        assert (DOCS / "howto" / GUIDES[hook]).is_file()


def test_the_policy_of_the_guide_is_a_pure_rule(tmp_path: Path) -> None:
    (policy,) = plugin_of(GUIDES["ragd_trigger_policies"], tmp_path).policies()
    contracts.check_policy(policy)
    assert policy.name == "night_owl"


def test_the_listener_of_the_guide_writes_promotions_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = plugin_of(GUIDES["ragd_event"], tmp_path)
    monkeypatch.chdir(tmp_path)
    for kind in EventKind:
        plugins.tell(Event(kind, 5.0, {"role": "encoder"}))
    lines = [json.loads(line) for line in (tmp_path / "news.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["promoted", "rolled_back"]


def test_the_tracker_of_the_guide_hears_a_run_from_its_start_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tracker,) = plugin_of(GUIDES["ragd_trackers"], tmp_path).trackers()
    contracts.check_tracker(tracker, tmp_path)
    written = (tmp_path / "runs.jsonl").read_text().splitlines()
    assert "started" in written[0]
    assert all("run" in json.loads(line) for line in written)


def test_the_launcher_of_the_guide_starts_and_ends_a_process(tmp_path: Path) -> None:
    (launcher,) = plugin_of(GUIDES["ragd_launchers"], tmp_path).launchers()
    contracts.check_launcher(launcher, tmp_path / "run")
    assert launcher.name == "patient"


def test_the_encoder_of_the_guide_makes_unit_vectors(tmp_path: Path) -> None:
    (kind,) = plugin_of(GUIDES["ragd_encoders"], tmp_path).encoders()
    contracts.check_encoder_kind(kind, EncoderSpec(kind="hashed", dimension=256), tmp_path)
    assert kind.open(EncoderSpec(kind="hashed", dimension=256), tmp_path).space.dimension == 256


def test_the_command_of_the_guide_has_a_help_of_its_own(tmp_path: Path) -> None:
    commands = plugin_of(GUIDES["ragd_commands"], tmp_path).commands()
    app = typer.Typer()
    app.command("largest")(commands["largest"])
    shown = CliRunner().invoke(app, ["--help"])
    assert shown.exit_code == 0
    assert "largest documents" in shown.output
