"""Plugins hear of events and decide as policies in children of their own, and whoever misbehaves is left alone."""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ragd.domain.deciding import Observed, Window
from ragd.domain.learning import Resources
from ragd.domain.plugins import Event, EventKind, PluginFacts
from ragd.domain.training import PluginSource
from ragd.hooks import host
from ragd.hooks.host import Hosts
from ragd.hooks.line_child import LineChild
from ragd.hooks.look import Look
from ragd.hooks.sources import digest

LISTENER = """
    import json
    from ragd.hooks.api import Reason, hookimpl

    class Policy:
        name = "busy_week"

        def decide(self, observed):
            wide = sum(window.size for window in observed.document_windows)
            return Reason(self.name, observed.changed_chunks > 10, f"{observed.changed_chunks} changed, {wide} seen")

    @hookimpl
    def ragd_trigger_policies():
        return [Policy()]

    @hookimpl
    def ragd_event(event):
        with open("heard.jsonl", "a") as file:
            file.write(json.dumps([event.kind, event.at, event.facts]) + "\\n")
"""
RINGER = """
    import json, os, socket
    from ragd.hooks.api import hookimpl

    @hookimpl
    def ragd_event(event):
        own = [name for name in os.environ if name.startswith("RAGD_") and name != "RAGD_TREE"]
        with socket.create_connection(("127.0.0.1", PORT), 5) as bell:
            bell.sendall(json.dumps(own).encode())
"""
OBSERVED = Observed(
    at=5.0,
    live_chunks=100,
    changed_chunks=20,
    examples=3,
    document_windows=(Window("documents", 4.0, 200, 0.1, 3.0, None, False),),
)
LIMITS = Resources(memory_mb=256, disk_mb=8, processes=8, timeout_s=float("inf"))


class Stage:
    """Hosts that follow one plugin of a given source."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.hosts = Hosts(base / "hosts", LIMITS)

    def play(self, source: str, *, hooks: tuple[str, ...] = ("ragd_event", "ragd_trigger_policies")) -> None:
        path = self.base / "listener.py"
        path.write_text(textwrap.dedent(source))
        sha256 = digest(path.read_bytes())
        self.hosts.follow([PluginFacts("listener", "file", str(path), sha256, hooks=hooks, policies=("busy_week",))])

    def tell(self, at: float = 1.0, **facts: object) -> None:
        self.hosts.tell(Event(EventKind.PROMOTED, at, facts))

    def heard(self) -> list[list[object]]:
        file = self.base / "hosts" / "listener" / "heard.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def problem(self) -> str:
        return " ".join(problem.reason for problem in self.hosts.problems())

    def decided(self) -> str:
        """What the policy says once its child is there."""
        eventually(lambda: "is starting" not in self.hosts.ask_policy("busy_week", OBSERVED).text)
        return self.hosts.ask_policy("busy_week", OBSERVED).text


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.hosts.close()


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_events_arrive_in_order_and_nobody_waits(stage: Stage) -> None:
    stage.play(LISTENER)
    started = time.monotonic()
    for number in range(5):
        stage.tell(float(number), model="m", number=number)
    assert time.monotonic() - started < 0.1
    eventually(lambda: len(stage.heard()) == 5)
    assert stage.heard() == [["promoted", float(n), {"model": "m", "number": n}] for n in range(5)]
    assert stage.problem() == ""


def test_a_listener_may_use_the_network_and_holds_none_of_ragds_secrets(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGD_BROKER__PASSWORD", "hunter2")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        stage.play(RINGER.replace("PORT", str(server.getsockname()[1])), hooks=("ragd_event",))
        stage.tell()
        bell, _ = server.accept()
        with bell:
            bell.settimeout(30)
            assert bell.recv(100) == b"[]"
    assert stage.problem() == ""


def test_a_policy_is_asked_with_what_was_observed(stage: Stage) -> None:
    stage.play(LISTENER)
    assert stage.decided() == "20 changed, 200 seen"
    reason = stage.hosts.ask_policy("busy_week", OBSERVED)
    assert (reason.condition, reason.holds) == ("busy_week", True)


def test_a_policy_that_nobody_offers_does_not_fire(stage: Stage) -> None:
    reason = stage.hosts.ask_policy("none", OBSERVED)
    assert (reason.holds, reason.text) == (False, "no plugin in use offers the policy none")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("return Reason(", "raise ValueError('no idea') #", "failed to decide: ValueError: no idea"),
        ("return Reason(", "return print(", "failed to decide: decide returned NoneType, not a Reason"),
        ("return Reason(", "import os; os._exit(1) #", "died when it was asked to decide"),
    ],
)
def test_a_policy_that_fails_does_not_fire_and_after_three_times_is_left_alone(
    stage: Stage, old: str, new: str, said: str
) -> None:
    stage.play(LISTENER.replace(old, new))
    eventually(lambda: said in stage.hosts.ask_policy("busy_week", OBSERVED).text)
    eventually(lambda: "not asked any more" in stage.hosts.ask_policy("busy_week", OBSERVED).text)
    assert said in stage.problem()


def test_a_policy_that_hangs_costs_its_second_and_is_started_anew(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "POLICY_S", 0.3)
    stage.play(LISTENER.replace("return Reason(", "import time; time.sleep(60)\n            return Reason("))
    assert "is starting" in stage.decided() or "took longer than 0.3 s to decide" in stage.problem()
    eventually(lambda: "took longer than 0.3 s to decide" in stage.problem())


def test_a_listener_that_hangs_is_told_no_more(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "EVENT_S", 0.3)
    stage.play(LISTENER.replace("with open", "import time; time.sleep(60)\n        with open"))
    stage.tell()
    eventually(lambda: stage.problem() == "took longer than 0.3 s to hear of promoted")
    assert "not asked any more" in stage.hosts.ask_policy("busy_week", OBSERVED).text


def test_a_listener_may_fail_twice_but_not_three_times(stage: Stage) -> None:
    stage.play(LISTENER.replace("with open", "raise OSError('away')\n        with open"))
    for number in range(2):
        stage.tell(float(number))
    eventually(lambda: stage.problem() == "failed to hear of promoted: OSError: away")
    assert stage.decided().startswith("20 changed")
    stage.tell(3.0)
    eventually(lambda: "not asked any more" in stage.hosts.ask_policy("busy_week", OBSERVED).text)


def test_one_that_grows_beyond_its_limits_is_ended(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_LOOK_S", 0.1)
    source = LISTENER.replace(
        "with open",
        "import subprocess; more = [subprocess.Popen(['sleep', '20']) for _ in range(12)]\n        with open",
    )
    stage.play(source)
    stage.tell()
    eventually(lambda: "started more than 8 processes" in stage.problem())
    assert "13 at once" in stage.problem()


def test_one_that_writes_outside_its_folder_is_refused(stage: Stage) -> None:
    stage.play(LISTENER.replace('"heard.jsonl"', '"/var/tmp/ragd-heard"'))
    stage.tell()
    eventually(lambda: "Trespass: writes outside its run folder: /var/tmp/ragd-heard" in stage.problem())
    assert not Path("/var/tmp/ragd-heard").exists()


def test_a_plugin_that_changed_gets_a_new_child_and_one_that_went_loses_its_own(stage: Stage) -> None:
    stage.play(LISTENER)
    assert stage.decided().endswith("seen")
    stage.play(LISTENER.replace("changed,", "altered,"))
    assert stage.decided().startswith("20 altered")
    stage.hosts.follow([])
    assert stage.hosts.ask_policy("busy_week", OBSERVED).text.startswith("no plugin in use")


def test_a_plugin_that_cannot_be_loaded_is_left_alone(stage: Stage) -> None:
    stage.play("raise ImportError('library is gone')")
    eventually(lambda: "ImportError: library is gone" in stage.problem())
    assert not stage.hosts.ask_policy("busy_week", OBSERVED).holds


def test_a_plugin_whose_child_cannot_be_started_is_named_and_left_alone(stage: Stage) -> None:
    (stage.base / "hosts").write_text("in the way of every folder")
    stage.play(LISTENER)
    eventually(lambda: "cannot be started: [Errno 20] Not a directory" in stage.problem())
    eventually(lambda: "not asked any more" in stage.hosts.ask_policy("busy_week", OBSERVED).text)


def test_what_a_child_opened_is_closed_when_it_cannot_be_started(tmp_path: Path) -> None:
    (tmp_path / "output.txt").mkdir()
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(IsADirectoryError):
        LineChild("ragd.hooks.host_child", PluginSource("a", "file", "a.py"), tmp_path, LIMITS)
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_a_look_made_goes_when_its_child_cannot_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        Look(PluginSource("a", "file", "a.py"))
    assert len(os.listdir("/proc/self/fd")) == before
    assert not [*tmp_path.iterdir()]


def test_closing_does_not_wait_for_one_that_hangs(stage: Stage) -> None:
    stage.play(LISTENER.replace("with open", "import time; open('in', 'w'); time.sleep(60)\n        with open"))
    stage.tell()
    eventually((stage.base / "hosts" / "listener" / "in").exists)
    started = time.monotonic()
    stage.hosts.close()
    assert time.monotonic() - started < 3
