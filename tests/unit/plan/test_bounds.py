"""What holds a reading process: what it may see of the environment, and what is said where a kernel lacks something."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from ragd.domain.training import PluginSource
from ragd.plan.bounds import Bounds, environment, places_of


def test_only_harmless_variables_are_handed_on() -> None:
    given = {"PATH": "/bin", "LC_ALL": "C", "RAGD_REDIS__URL": "x", "AWS_KEY": "y", "SSH_AUTH_SOCK": "z", "HOME": "/h"}
    assert environment(given) == {"PATH": "/bin", "LC_ALL": "C", "HOME": "/h"}


def test_what_is_missing_is_said_in_words() -> None:
    assert Bounds(7, is_offline=True, is_filtered=True).missing == ()
    assert Bounds(7, is_offline=False, is_filtered=True).missing == ()  # without sockets there is no network
    assert len(Bounds(0, is_offline=False, is_filtered=False).missing) == 3
    (lack,) = Bounds(7, is_offline=True, is_filtered=False).missing
    assert "no seccomp" in lack


def test_what_plugins_and_the_splitter_need_can_be_read(tmp_path: Path) -> None:
    file = PluginSource("mine", "file", str(tmp_path / "mine.py"), "00")
    installed = PluginSource("yaml", "installed", "yaml.something:Reader")
    places = places_of((file, installed, PluginSource("gone", "installed", "no_such_package_here")), "/t.json")
    assert places[:2] == [Path("/t.json"), tmp_path / "mine.py"]
    assert [path.name for path in places[2:]] == ["yaml"]
    assert places_of(None, "") == []


def test_the_doctor_is_told_what_holds_here() -> None:
    command = [sys.executable, "-P", "-m", "ragd.plan.bounds"]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert told.keys() == {"landlock", "is_offline", "is_filtered"}
