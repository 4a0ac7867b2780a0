"""ragd's own units under a real systemd: ready, restarted after a hang and after a kill, stopped in order."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.stopped import stopped_thread
from ragd.cli.units import SERVICE, WORKER, Machine, files
from tests.ops.private_systemd import USER_ID, Manager, private_systemd

pytestmark = pytest.mark.slow
# What is shorter than in the unit, so that the test is; and where the output goes, since no journal runs. Nothing of
# the cage is changed: every measure holds.
LOGGED = """\
[Service]
RestartSec=0
StandardOutput=append:/run/test/log
StandardError=append:/run/test/log
"""
WATCHED = "[Service]\nWatchdogSec=1\n"
CONFIG = """\
[[collections]]
name = "notes"
folders = ["/run/test/notes"]
[workers]
embed = 0
"""


def until(claim: Callable[[], object], manager: Manager, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not claim():
        assert time.monotonic() < deadline, manager.told()
        time.sleep(0.1)


def machine() -> Machine:
    program = Path(sys.executable).with_name("ragd")
    if not program.is_file():
        pytest.skip(f"there is no {program}")
    return Machine(
        program=program,
        interpreter=Path(os.path.realpath(sys.executable)),
        config=Path("/run/test/ragd.toml"),
        folders=(Path("/run/test/notes"),),
    )


def state_of(manager: Manager, unit: str = SERVICE) -> dict[str, str]:
    return manager.facts(unit, "ActiveState", "SubState", "MainPID", "NRestarts", "Result")


def is_up_anew(manager: Manager, restarts: int) -> bool:
    state = state_of(manager)
    return state["ActiveState"] == "active" and int(state["NRestarts"]) == restarts


def test_the_units_live_through_hang_and_kill_and_stop_in_order(tmp_path: Path, models: Path) -> None:
    units = dict(files(machine()))
    units |= {f"{name}.d/logged.conf": LOGGED for name in (SERVICE, WORKER)}
    units[f"{SERVICE}.d/watched.conf"] = WATCHED
    with private_systemd(tmp_path, units) as manager:
        (tmp_path / "ragd.toml").write_text(CONFIG)
        (tmp_path / "notes").mkdir()
        (tmp_path / "notes" / "one.md").write_text("# Lighthouses\n\nThey warn ships of rocks.\n")
        tmp_path.chmod(0o755)
        shutil.copytree(models, manager.var_lib / "ragd" / "models")
        for path in (manager.var_lib / "ragd", *(manager.var_lib / "ragd").rglob("*")):
            os.chown(path, USER_ID, USER_ID)

        # `start` returns when the daemon said that it is ready.
        manager.control("start", SERVICE, "ragd-worker@embed.service")
        state = state_of(manager)
        assert (state["ActiveState"], state["NRestarts"]) == ("active", "0")
        assert state_of(manager, "ragd-worker@embed.service")["ActiveState"] == "active"
        until(lambda: "one.md" in ask(manager, "search", "what warns ships"), manager)
        until(lambda: "1 searchable" in ask(manager, "status"), manager)  # the worker gave it a vector

        # A reload is done when `reload` returns, and fails where the file is refused.
        (tmp_path / "more").mkdir()
        (tmp_path / "more" / "two.md").write_text("# Buoys\n\nThey mark the fairway.\n")
        (tmp_path / "ragd.toml").write_text(CONFIG.replace('notes"]', 'notes", "/run/test/more"]'))
        manager.control("reload", SERVICE)
        until(lambda: "two.md" in ask(manager, "search", "marks the fairway"), manager)
        (tmp_path / "ragd.toml").write_text("not TOML")
        assert manager.control("reload", SERVICE, check=False) == ""
        assert "must be TOML" in (tmp_path / "log").read_text()
        (tmp_path / "ragd.toml").write_text(CONFIG)
        assert (state_of(manager)["ActiveState"], state_of(manager)["NRestarts"]) == ("active", "0")

        # Only the committing thread stands still: the watchdog is not fed any more, and systemd starts it anew.
        first = manager.outside_pid(state["MainPID"])
        with stopped_thread(first):
            until(lambda: state_of(manager)["Result"] == "watchdog" or is_up_anew(manager, 1), manager)
        until(lambda: is_up_anew(manager, 1), manager)

        os.kill(manager.outside_pid(state_of(manager)["MainPID"]), signal.SIGKILL)
        until(lambda: is_up_anew(manager, 2), manager)
        until(lambda: "one.md" in ask(manager, "search", "what warns ships"), manager)

        began = time.monotonic()
        manager.control("stop", SERVICE, "ragd-worker@embed.service")
        assert time.monotonic() - began < 30
        assert state_of(manager)["Result"] == "success"
        assert state_of(manager, "ragd-worker@embed.service")["Result"] == "success"
        assert "Traceback" not in (tmp_path / "log").read_text()


def ask(manager: Manager, *arguments: str) -> str:
    """What the command line says to the user ragd inside."""
    command = ["env", "RAGD_STATE=/var/lib/ragd", "RAGD_CONFIG=/run/test/ragd.toml", str(machine().program), *arguments]
    switch = ["setpriv", f"--reuid={USER_ID}", f"--regid={USER_ID}", "--clear-groups"]
    done = subprocess.run([*manager.enter(), *switch, *command], check=False, text=True, capture_output=True)
    return done.stdout + done.stderr
