"""The roster knows every plugin and how it stands, and no code of theirs runs in its own process."""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Iterator
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from ragd.domain.errors import PluginRefused
from ragd.domain.learning import Data, Needs, Resources, Role
from ragd.domain.plugins import PluginFacts, TrainerFacts
from ragd.domain.training import PluginSource
from ragd.hooks import facts, tree, trust
from ragd.hooks.cache import CACHE_NAME
from ragd.hooks.look import Look
from ragd.hooks.roster import Roster

TRAINER = """
    from ragd.hooks.api import Artifact, Data, Needs, Role, hookimpl

    class Trainer:
        name, role, needs, cost_s = "mine", Role.QUERY_ADAPTER, Needs(Data.PAIRS, least=10), 1.0

        def train(self, run):
            return Artifact(run.folder)

    @hookimpl
    def ragd_trainers():
        return [Trainer()]
"""
SHORT = Resources(memory_mb=512, disk_mb=4, processes=8, timeout_s=1.5)


class Desk:
    """A plugin folder with a state folder, and the rosters made of them."""

    def __init__(self, base: Path) -> None:
        self.folder = base / "plugins"
        self.folder.mkdir(mode=0o700)
        self.state = base / "state"
        self.made: list[Roster] = []

    def put(self, name: str, source: str, *, trusted: bool = True) -> Path:
        path = self.folder / f"{name}.py"
        path.write_text(textwrap.dedent(source))
        if trusted:
            trust.trust(path, self.folder, self.state, taken=(), at=time.time())
        return path

    def roster(self, *, disabled: tuple[str, ...] = (), limits: Resources = SHORT, look: type[Look] = Look) -> Roster:
        roster = Roster(self.folder, self.state, disabled=disabled, entry_points=(), look=partial(look, limits=limits))
        self.made.append(roster)
        return roster


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    for roster in made.made:
        roster.close()


def one(roster: Roster, name: str) -> PluginFacts:
    return next(facts for facts in roster.facts if facts.name == name)


def test_the_bundled_plugins_are_known_at_once(desk: Desk) -> None:
    roster = desk.roster()
    roster.step()
    assert not roster.is_looking
    assert {"plain_reader", "pdf_reader"} <= {facts.name for facts in roster.facts}
    assert [facts.problem for facts in roster.facts if facts.source == "bundled"] == [""] * len(roster.facts)
    assert roster.source("plain_reader") == PluginSource("plain_reader", "bundled")


def test_a_trusted_file_is_described_by_a_child_and_not_imported_here(desk: Desk) -> None:
    path = desk.put("mine", TRAINER)
    roster = desk.roster(limits=Resources(timeout_s=30.0))
    assert roster.step()
    assert one(roster, "mine").problem == facts.LOOKING
    roster.refresh()
    found = one(roster, "mine")
    assert (found.problem, found.hooks, found.path) == ("", ("ragd_trainers",), str(path))
    assert roster.trainers()["mine"] == TrainerFacts("mine", Role.QUERY_ADAPTER, Needs(Data.PAIRS, 10), 1.0, "mine")
    assert roster.source("mine") == PluginSource("mine", "file", str(path), found.sha256)
    assert roster.source("mine") in roster.usable()
    assert "ragd_plugin_mine" not in sys.modules


def test_a_file_that_is_not_trusted_is_shown_but_not_looked_at(desk: Desk) -> None:
    path = desk.put("mine", "open('/tmp/ragd-was-here', 'w')", trusted=False)
    roster = desk.roster()
    roster.step()
    assert not roster.is_looking
    assert one(roster, "mine").problem == trust.NOT_TRUSTED
    assert facts.state_of(one(roster, "mine")) == "not trusted"
    with pytest.raises(PluginRefused, match="not trusted yet") as refused:
        roster.source("mine")
    assert refused.value.hint == f"look at it, then `ragd plugins trust {path}`"


def test_a_running_roster_notices_what_is_new_trusted_changed_and_gone(desk: Desk) -> None:
    roster = desk.roster(limits=Resources(timeout_s=30.0))
    roster.step()
    assert not roster.step()
    path = desk.put("mine", TRAINER, trusted=False)
    assert roster.step()
    desk.put("mine", TRAINER)
    assert roster.step()
    roster.refresh()
    assert "mine" in roster.trainers()
    path.write_text(path.read_text() + "# changed\n")
    assert roster.step()
    assert one(roster, "mine").problem == trust.CHANGED
    assert "mine" not in roster.trainers()
    path.unlink()
    assert roster.step()
    assert "mine" not in {facts.name for facts in roster.facts}


def test_what_was_seen_is_remembered_by_its_hash(desk: Desk) -> None:
    desk.put("mine", TRAINER)
    desk.roster(limits=Resources(timeout_s=30.0)).refresh()
    assert (desk.state / CACHE_NAME).stat().st_mode & 0o777 == 0o600

    class Never(Look):
        def __init__(self, source: PluginSource, limits: Resources) -> None:
            raise AssertionError(f"{source.name} is looked at again")

    again = desk.roster(look=Never)
    again.step()
    assert "mine" in again.trainers()


def test_a_file_of_remembered_plugins_that_is_broken_is_forgotten(desk: Desk) -> None:
    desk.put("mine", TRAINER)
    desk.state.mkdir(exist_ok=True)
    (desk.state / CACHE_NAME).write_text('{"0.1": []}')
    roster = desk.roster(limits=Resources(timeout_s=30.0))
    roster.refresh()
    assert "mine" in roster.trainers()


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("raise OSError('no licence file')", "OSError: no licence file (line 1)"),
        ("import os; os._exit(3)", "its process died while it was imported (exit status 3)"),
        ("import os; os.kill(os.getpid(), 11)", "its process died while it was imported (signal SIGSEGV)"),
        ("import os; os.kill(os.getpid(), 40)", "its process died while it was imported (signal 40)"),
        pytest.param("import time; time.sleep(60)", "took longer than 1.5 s to import", marks=pytest.mark.slow),
        pytest.param("while True: pass", "took longer than 1.5 s to import", marks=pytest.mark.slow),
        ("x = bytearray(3 << 30)", "MemoryError"),
        ("open('/var/tmp/ragd-bad', 'w')", "Trespass: writes outside its run folder: /var/tmp/ragd-bad"),
        (TRAINER.replace("ragd_trainers", "ragd_dreams"), "implements the unknown hook ragd_dreams"),
        (TRAINER.replace("ragd_trainers()", "ragd_trainers(x)"), "ragd_trainers(x) should be ragd_trainers()"),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_named_and_the_rest_is_used(desk: Desk, source: str, problem: str) -> None:
    desk.put("bad", source)
    roster = desk.roster()
    roster.refresh()
    assert one(roster, "bad").problem.startswith(problem)
    assert one(roster, "bad").hint
    assert facts.state_of(one(roster, "bad")) == "blocked"
    assert one(roster, "plain_reader").problem == ""


def test_what_a_plugin_started_while_it_was_imported_is_ended(desk: Desk) -> None:
    desk.put(
        "starts",
        """
        import os, subprocess, sys
        child = subprocess.Popen(["sleep", "20"], start_new_session=True)
        raise RuntimeError(f"pid {child.pid}")
        """,
    )
    roster = desk.roster(limits=Resources(timeout_s=30.0))
    roster.refresh()
    pid = int(one(roster, "starts").problem.split("pid ")[1].split()[0])
    left = tree.process(pid)
    assert left is None or left.state in "ZX"


def test_a_file_called_like_a_bundled_plugin_is_refused_with_the_reason(desk: Desk) -> None:
    desk.put("pdf_reader", TRAINER)
    roster = desk.roster()
    roster.step()
    found = [facts for facts in roster.facts if facts.name == "pdf_reader"]
    assert [(facts.source, facts.problem) for facts in found] == [
        ("bundled", ""),
        ("file", "another plugin has this name"),
    ]
    assert found[1].hint.startswith("rename pdf_reader.py")


def test_a_plugin_that_is_not_wanted_is_not_looked_at(desk: Desk) -> None:
    desk.put("mine", TRAINER)
    roster = desk.roster(disabled=("mine", "pdf_reader"))
    roster.step()
    assert not roster.is_looking
    assert [facts.state_of(one(roster, name)) for name in ("mine", "pdf_reader", "plain_reader")] == [
        "disabled",
        "disabled",
        "used",
    ]


def test_the_second_plugin_with_a_trainers_name_is_refused(desk: Desk) -> None:
    desk.put("first", TRAINER)
    desk.put("second", TRAINER)
    roster = desk.roster(limits=Resources(timeout_s=30.0))
    roster.refresh()
    assert one(roster, "first").problem == ""
    assert one(roster, "second").problem == "offers the trainer mine, as the plugin first does already"


def test_tests_and_hidden_files_are_no_plugins(desk: Desk) -> None:
    for name in ("test_mine", "_part", "conftest"):
        desk.put(name, TRAINER, trusted=False)
    roster = desk.roster()
    roster.step()
    assert {facts.source for facts in roster.facts} == {"bundled"}


def test_an_installed_plugin_is_described_by_a_child_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "packaged_plugin.py").write_text(textwrap.dedent(TRAINER))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    points = (EntryPoint("packaged", "packaged_plugin", "ragd"), EntryPoint("lost", "no_such_module_anywhere", "ragd"))
    roster = Roster(tmp_path / "none", tmp_path / "state", entry_points=points)
    roster.refresh()
    assert roster.source("packaged") == PluginSource("packaged", "installed", "packaged_plugin")
    assert "packaged_plugin" not in sys.modules
    assert one(roster, "lost").problem.startswith("ModuleNotFoundError")
    roster.close()
