"""Plugins are found, and broken ones are named and left out."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from ragd.domain.errors import PluginRefused
from ragd.domain.plugins import Event, EventKind
from ragd.domain.training import PluginSource
from ragd.hooks.manager import Plugins, load, load_one
from ragd.hooks.offers import BUILT_IN_COMMANDS, HOOKS
from ragd.hooks.sources import bundled, digest
from ragd.hooks.sources import installed as announced

GOOD = """
    from ragd.hooks.api import ReadText, hookimpl

    class Reader:
        name = "good"
        version = "1"
        suffixes = frozenset({".md", ".good"})

        def read(self, data, suffix):
            return ReadText(text=data.decode())

    @hookimpl
    def ragd_readers():
        return [Reader()]
"""


def installed(folder: Path, monkeypatch: pytest.MonkeyPatch, **sources: str) -> Plugins:
    """The plugins after modules with these sources were installed, each with an entry point of its name."""
    monkeypatch.syspath_prepend(str(folder))
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(source))
        monkeypatch.delitem(sys.modules, name, raising=False)
    return load([*announced(EntryPoint(name, name, "ragd") for name in sources), *bundled()])


def problem(plugins: Plugins, name: str) -> str:
    return next(problem.reason for problem in plugins.problems() if problem.plugin == name)


def test_the_bundled_plugins_load_without_problems() -> None:
    plugins = load(bundled())
    assert plugins.problems() == ()
    assert set(plugins.names()) >= {"plain_reader", "markitdown_reader", "pdf_reader", "mail_reader", "data_reader"}


def test_loading_twice_shares_nothing() -> None:
    assert set(load(bundled()).readers()).isdisjoint(load(bundled()).readers())


def test_loading_imports_no_heavy_library() -> None:
    script = "import sys; from ragd.hooks.manager import load; load(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "ragd.hooks.manager" in loaded
    assert {"markitdown", "pdfplumber", "pandas", "torch"}.isdisjoint(loaded)


def test_an_installed_plugin_takes_precedence_over_a_bundled_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = installed(tmp_path, monkeypatch, zz_good=GOOD)
    assert plugins.names()[0] == "zz_good"
    assert plugins.readers()[0].name == "good"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise OSError('no licence file')", "OSError: no licence file"),
        ("import no_such_module_anywhere", "ModuleNotFoundError"),
        ("def broken(:", "SyntaxError"),
        (GOOD.replace("ragd_readers", "ragd_dreams"), "unknown hook ragd_dreams"),
        (GOOD.replace("    @hookimpl\n", ""), "ragd_readers is not marked with @hookimpl"),
        (GOOD.replace("ragd_readers()", "ragd_readers(unknown)"), "unknown"),
        (GOOD.replace("[Reader()]", "Reader()"), "not a list"),
        (GOOD.replace("[Reader()]", "[object()]"), "not a Reader"),
        (GOOD.replace("return [Reader()]", "raise ValueError('at call')"), "ValueError: at call"),
    ],
)
def test_a_broken_plugin_is_named_and_blocked_and_the_others_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, reason: str
) -> None:
    plugins = installed(tmp_path, monkeypatch, broken_plugin=source, whole_plugin=GOOD)
    assert reason in problem(plugins, "broken_plugin")
    assert "broken_plugin" not in plugins.names()
    assert {"whole_plugin", "plain_reader"} <= set(plugins.names())


TRAINER = """
    from ragd.hooks.api import Artifact, Data, Event, Needs, Reason, Role, hookimpl

    class Trainer:
        name, role, needs, cost_s = "mine", Role.QUERY_ADAPTER, Needs(Data.PAIRS, least=10), 1.0

        def train(self, run):
            return Artifact(run.folder)

    @hookimpl
    def ragd_trainers():
        return [Trainer()]
"""
EVERYTHING = (
    TRAINER
    + """
    class Reader:
        name, version, suffixes = "r", "1", frozenset({".r"})
        def read(self, data, suffix): ...

    class Kind:
        name = "k"
        def open(self, spec, models): ...

    class Policy:
        name = "p"
        def decide(self, observed): ...

    class Launcher:
        name = "l"
        def launch(self, command, folder, resources): ...

    class Tracker:
        name = "t"
        def started(self, run_id, facts): ...
        def logged(self, run_id, step, metrics): ...
        def ended(self, run_id, state, facts): ...

    heard = []

    @hookimpl
    def ragd_readers(): return [Reader()]
    @hookimpl
    def ragd_encoders(): return [Kind()]
    @hookimpl
    def ragd_trigger_policies(): return [Policy()]
    @hookimpl
    def ragd_launchers(): return [Launcher()]
    @hookimpl
    def ragd_trackers(): return [Tracker()]
    @hookimpl
    def ragd_commands(): return {"greet": print}
    @hookimpl
    def ragd_event(event): heard.append(event)
"""
)


def file_source(folder: Path, name: str, source: str) -> PluginSource:
    path = folder / f"{name}.py"
    path.write_text(textwrap.dedent(source))
    return PluginSource(name, "file", str(path), digest(path.read_bytes()))


def test_a_plugin_may_implement_every_hook(tmp_path: Path) -> None:
    plugins = load_one(file_source(tmp_path, "everything", EVERYTHING))
    assert plugins.offers()["everything"].hooks == HOOKS
    assert len(HOOKS) == 8
    offered = (plugins.readers(), plugins.trainers(), plugins.encoders(), plugins.policies(), plugins.launchers())
    assert [[thing.name for thing in things] for things in offered] == [["r"], ["mine"], ["k"], ["p"], ["l"]]
    assert [tracker.name for tracker in plugins.trackers()] == ["t"]
    assert plugins.commands() == {"greet": print}
    happened = Event(EventKind.TRAINED, 1.0, {"run": "r1"})
    plugins.tell(happened)
    assert sys.modules["ragd_plugin_everything"].heard == [happened]


@pytest.mark.parametrize("name", ["json", "numpy", "ragd"])
def test_a_file_that_is_called_like_a_module_hides_nothing(tmp_path: Path, name: str) -> None:
    before = sys.modules.get(name)
    assert load_one(file_source(tmp_path, name, TRAINER)).trainers()[0].name == "mine"
    assert sys.modules.get(name) is before
    assert str(tmp_path) not in sys.path
    assert not (tmp_path / "__pycache__").exists()


def test_what_runs_are_the_bytes_that_were_trusted(tmp_path: Path) -> None:
    source = file_source(tmp_path, "changed", TRAINER)
    Path(source.path).write_text("raise SystemExit('run all the same')")
    with pytest.raises(PluginRefused, match="not the file that was trusted") as refused:
        load_one(source)
    assert refused.value.hint == f"look at it, then `ragd plugins trust {source.path}`"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("def ragd_trainers()", "def ragd_trainers(daemon)", r"ragd_trainers\(daemon\) should be ragd_trainers\(\)"),
        ("[Trainer()]", "[Trainer]", "the class Trainer: call it"),
        ("[Trainer()]", "[Trainer(), Trainer()]", "the name mine is taken already"),
        ("[Trainer()]", "(Trainer(),)", "returned tuple, not a list"),
        ("def train(self, run)", "def train(self)", r"Trainer\.train should take \(run\)"),
        ("def train(self, run)", "def fit(self, run)", "not a Trainer: it lacks train"),
        ('"mine"', '"My Trainer"', "'My Trainer' is no name"),
        ("Role.QUERY_ADAPTER", "'adapter'", "role is 'adapter'"),
        ("Needs(Data.PAIRS, least=10)", "10", "needs is 10"),
        ("least=10", "least=0", "needs is"),
        (", 1.0", ", float('nan')", "cost_s is nan"),
        ("Artifact(run.folder)", "Artifact(run.folder", "SyntaxError"),
        ("def train", "import sys; sys.exit(3)\n\n        def train", "SystemExit: 3"),
    ],
)
def test_what_is_wrong_with_a_trainer_is_said(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert old in TRAINER
    with pytest.raises(PluginRefused, match=reason):
        load_one(file_source(tmp_path, "wrong", TRAINER.replace(old, new)))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('{"greet": print}', '{"search": print}', "search is a command of ragd itself"),
        ('{"greet": print}', "[print]", "returned list, not a dict"),
        ('{"greet": print}', '{"greet": 1}', "should be a name with a function"),
        ('name = "l"', 'name = "local"', "the name local is taken already"),
        ("def decide(self, observed)", "def decide(self, observed, more)", r"Policy\.decide should take \(observed\)"),
        ("def ragd_event(event)", "def ragd_event()", r"ragd_event\(\) should be ragd_event\(event\)"),
        ('frozenset({".r"})', '[".R"]', r"suffixes is \['.R'\]"),
        ("def logged(self, run_id, step, metrics)", "def logs(self)", "not a Tracker: it lacks logged"),
    ],
)
def test_what_is_wrong_with_other_offers_is_said(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert old in EVERYTHING
    with pytest.raises(PluginRefused, match=reason):
        load_one(file_source(tmp_path, "wrong", EVERYTHING.replace(old, new)))


def test_a_trainer_of_a_taken_name_is_refused_with_its_plugin(tmp_path: Path) -> None:
    plugins = load([file_source(tmp_path, name, TRAINER) for name in ("first", "second")])
    assert plugins.names() == ("first",)
    assert problem(plugins, "second") == "offers the trainer mine, as the plugin first does already"


def test_an_error_names_the_line_of_the_plugin(tmp_path: Path) -> None:
    with pytest.raises(PluginRefused, match=r"ZeroDivisionError: division by zero \(line 2\)"):
        load_one(file_source(tmp_path, "divides", "x = 0\ny = 1 / x\n"))


def test_a_name_that_is_none_is_refused(tmp_path: Path) -> None:
    source = file_source(tmp_path, "no-name", TRAINER)
    with pytest.raises(PluginRefused, match="cannot be the name of a plugin"):
        load_one(source)


def test_every_built_in_command_is_kept_from_plugins() -> None:
    from typer.main import get_command

    from ragd.cli.main import build

    assert set(getattr(get_command(build()), "commands", {})) <= BUILT_IN_COMMANDS
