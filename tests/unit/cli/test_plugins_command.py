"""`ragd plugins` from a new plugin to a trusted one, and what it says of those that are not in order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from ragd.cli import plugins
from ragd.cli.edge import Edge
from ragd.cli.plugin_templates import TEMPLATES, written

Run = Callable[..., Result]
BROKEN = "from ragd.hooks.api import hookimpl\n\n@hookimpl\ndef ragd_dreams():\n    return []\n"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `ragd plugins …` with state, configuration and current folder in `tmp_path`."""
    for name in [name for name in os.environ if name.startswith("RAGD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    app = typer.Typer(cls=Edge, rich_markup_mode=None)
    app.callback()(lambda: None)
    app.add_typer(plugins.build(), name="plugins")
    return lambda *arguments: CliRunner().invoke(app, ["plugins", *map(str, arguments)])


def listed(run: Run) -> dict[str, dict[str, object]]:
    answer = json.loads(run("list", "--json").stdout)
    return {plugin["name"]: plugin for plugin in answer["plugins"]}


def test_the_bundled_plugins_are_listed_without_a_daemon(run: Run) -> None:
    result = run("list")
    assert result.exit_code == 0
    assert any(line.split()[:3] == ["pdf_reader", "bundled", "used"] for line in result.stdout.splitlines())
    assert "reader pdf" in result.stdout
    assert "config/ragd/plugins" in result.stderr


@pytest.mark.slow
def test_a_new_trainer_passes_its_test_is_checked_trusted_and_used(run: Run, tmp_path: Path) -> None:
    made = run("new", "mine")
    assert made.stdout.splitlines()[-4:] == [
        "  python -m pytest test_mine.py",
        "  ragd plugins check mine.py",
        "  ragd plugins trust mine.py",
        "  ragd train mine",
    ]
    checked = run("check", "mine.py")
    assert checked.exit_code == 0, checked.stdout
    assert "ok      trainer mine: goes on after it was killed, to the same end" in checked.stdout
    assert checked.stderr.endswith("mine is in order: 9 checks\n")
    trusted = run("trust", "mine.py")
    assert trusted.exit_code == 0, trusted.stderr
    assert f"trusted {tmp_path}/config/ragd/plugins/mine.py" in trusted.stdout
    assert "hooks  ragd_trainers" in trusted.stdout
    assert "offers trainer mine" in trusted.stdout
    assert listed(run)["mine"]["state"] == "used"
    placed = tmp_path / "config" / "ragd" / "plugins" / "mine.py"
    placed.write_text(placed.read_text() + "\n")
    changed = listed(run)["mine"]
    assert (changed["state"], changed["problem"]) == ("not trusted", "changed since it was trusted")
    assert changed["hint"] == f"look at it, then `ragd plugins trust {placed}`"
    assert run("trust", "mine").exit_code == 0
    assert listed(run)["mine"]["state"] == "used"


@pytest.mark.slow
def test_what_new_writes_works_for_every_hook(tmp_path: Path) -> None:
    for kind in TEMPLATES:
        for prefix, text in zip(("", "test_"), written(kind, f"my_{kind}"), strict=True):
            (tmp_path / f"{prefix}my_{kind}.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "11 passed" in done.stdout


def test_the_new_trainer_has_at_most_twenty_lines_of_its_own() -> None:
    plugin, _ = written("trainer", "mine")
    code = plugin.split('"""', 2)[2]
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    assert max(map(len, plugin.splitlines())) <= 120


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (("new", "Mine"), 13, "cannot be the name of a plugin"),
        (("new", "no-name"), 13, "cannot be the name of a plugin"),
        (("new", "mine", "--hook", "dreams"), 3, "there is no plugin to start a dreams from"),
        (("trust", "nowhere"), 3, "there is no plugin file nowhere"),
        (("check", "nowhere"), 3, "there is no plugin file nowhere"),
        (("trust", "notes.txt"), 13, "is not a Python file"),
        (("trust", "pdf_reader.py"), 13, "another plugin is called pdf_reader"),
        (("check", "pdf_reader.py"), 13, "another plugin is called pdf_reader"),
        (("trust", "broken.py"), 13, "implements the unknown hook ragd_dreams"),
    ],
)
def test_what_cannot_be_is_said_with_a_remedy(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], exit_code: int, said: str
) -> None:
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "pdf_reader.py").write_text("x = 1\n")
    (tmp_path / "broken.py").write_text(BROKEN)
    result = run(*arguments)
    assert (result.exit_code, said in result.stderr) == (exit_code, True), result.stderr
    assert "hint:" in result.stderr
    assert not (tmp_path / "state").exists()


def test_nothing_is_overwritten(run: Run, tmp_path: Path) -> None:
    assert run("new", "mine", "--hook", "policy", "--folder", "made").exit_code == 0
    again = run("new", "mine", "--folder", "made")
    assert again.exit_code == 2
    assert "is there already" in again.stderr
    assert "ragd_trigger_policies" in (tmp_path / "made" / "mine.py").read_text()


def test_a_check_that_fails_says_what_and_exits_with_13(run: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    result = run("check", "broken.py")
    assert result.exit_code == 13
    assert "failed  can be loaded, and its hooks are as they should be" in result.stdout
    assert "implements the unknown hook ragd_dreams" in result.stdout
    assert "broken: 1 of 1 checks failed" in result.stderr


def test_a_check_in_json_holds_every_clause(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(written("policy", "mine")[0])
    answer = json.loads(run("check", "mine.py", "--json").stdout)
    assert answer["plugin"] == "mine"
    assert [row["problem"] for row in answer["clauses"]] == ["", "", ""]


@pytest.mark.slow
def test_a_check_that_hangs_ends_with_its_time(run: Run, tmp_path: Path) -> None:
    (tmp_path / "hangs.py").write_text("import time; time.sleep(60)\n")
    result = run("check", "hangs.py", "--timeout", "1.5")
    assert result.exit_code == 13
    assert "took longer than 1.5 s" in result.stdout


def test_a_bundled_plugin_can_be_checked_by_name(run: Run) -> None:
    result = run("check", "data_reader")
    assert result.exit_code == 0
    assert "reader json: refuses what it cannot read with a reason" in result.stdout
