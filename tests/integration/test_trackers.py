"""Trackers and launchers for real: an SQLite store, an offline folder and submitit's executors, read back."""

from __future__ import annotations

import logging
import sqlite3
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from plugins.mlflow_tracker import MlflowTracker
from plugins.slurm_launcher import SlurmLauncher
from plugins.wandb_tracker import WandbTracker
from ragd.domain.errors import LaunchFailed
from ragd.domain.learning import Resources
from ragd.domain.plugins import Launched, Tracker
from ragd.hooks.manager import load
from ragd.jobs.launchers import LocalLauncher, choose
from ragd.jobs.tracking import Tracking

FACTS = {"trainer": "query_adapter", "role": "query-adapter", "seed": 7, "option.rank": 8}


def told(tracker: Tracker, run_id: str) -> None:
    """One run from start to end, as a train worker tells it."""
    tracking = Tracking([tracker], run_id)
    tracking.started({**FACTS, "attempt": 1})
    for step in range(1, 4):
        tracking.logged(step, {"loss": 1.0 / step})
    tracking.ended("trained", {"train_s": 1.5, "cpu_s": 2.0, "reason": ""})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_keeps_a_run_in_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("RAGD_STATE", str(tmp_path))
    told(MlflowTracker(), "r1")
    told(MlflowTracker(), "r1")  # taken up again by another worker: the same MLflow run
    with sqlite3.connect(tmp_path / "mlflow.db") as db:
        assert db.execute("SELECT status, name FROM runs").fetchall() == [("FINISHED", "r1")]
        losses = db.execute("SELECT step, value FROM metrics WHERE key = 'loss' ORDER BY step").fetchall()
        parameters = dict(db.execute("SELECT key, value FROM params").fetchall())
        assert db.execute("SELECT value FROM latest_metrics WHERE key = 'train_s'").fetchone() == (1.5,)
    db.close()
    assert sorted({(step, round(value, 3)) for step, value in losses}) == [(1, 1.0), (2, 0.5), (3, 0.333)]
    assert parameters == {"trainer": "query_adapter", "role": "query-adapter", "seed": "7", "option.rank": "8"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_wandb_writes_an_offline_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("RAGD_STATE", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    told(WandbTracker(), "r1")
    (written,) = tmp_path.glob("wandb/offline-run-*-r1/run-r1.wandb")
    data = written.read_bytes()
    assert b"query_adapter" in data
    assert b"loss" in data
    assert b"train_s" in data


class Broken:
    """A tracker that raises."""

    name = "broken"

    def __init__(self) -> None:
        self.calls = 0

    def started(self, run_id: str, facts: Mapping[str, Any]) -> None:
        self.calls += 1
        raise ValueError("no such server")

    def logged(self, run_id: str, step: int, metrics: Mapping[str, float]) -> None:
        self.calls += 1

    def ended(self, run_id: str, state: str, facts: Mapping[str, Any]) -> None:
        self.calls += 1


def test_a_tracker_that_fails_is_logged_once_and_asked_no_more(caplog: pytest.LogCaptureFixture) -> None:
    tracker = Broken()
    with caplog.at_level(logging.WARNING, "ragd.jobs"):
        told(tracker, "r1")
    assert tracker.calls == 1
    assert [record.getMessage() for record in caplog.records] == [
        'tracker_failed tracker=broken error="ValueError: no such server"'
    ]


def ended(launched: Launched, timeout_s: float = 60.0) -> int:
    deadline = time.monotonic() + timeout_s
    while (status := launched.poll()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return status


WRITES = [sys.executable, "-c", "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text('here')"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("executor", ["local", "debug"])
def test_submitit_runs_the_command_of_a_run(executor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("SLURM_LAUNCHER_EXECUTOR", executor)
    made = tmp_path / "made"
    launched = SlurmLauncher().launch([*WRITES, str(made)], tmp_path, Resources(timeout_s=60))
    assert ended(launched) == 0
    assert made.read_text() == "here"
    launched.stop()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_run_of_submitits_local_executor_is_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("SLURM_LAUNCHER_EXECUTOR", "local")
    begun, over = tmp_path / "begun", tmp_path / "over"
    code = (
        "import pathlib, sys, time\n"
        "pathlib.Path(sys.argv[1]).touch()\n"
        "try:\n    time.sleep(60)\nfinally:\n    pathlib.Path(sys.argv[2]).touch()"
    )
    launched = SlurmLauncher().launch([sys.executable, "-c", code, str(begun), str(over)], tmp_path, Resources())
    deadline = time.monotonic() + 30
    while not begun.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    launched.stop()
    ended(launched)
    assert over.exists()


@pytest.mark.filterwarnings("ignore")
def test_without_a_cluster_the_run_fails_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("SLURM_LAUNCHER_EXECUTOR", raising=False)
    with pytest.raises(LaunchFailed, match="could not start") as raised:
        SlurmLauncher().launch(WRITES, tmp_path, Resources())
    assert "sbatch" in raised.value.hint


def test_the_launcher_of_a_plugin_is_chosen_by_its_name(tmp_path: Path) -> None:
    offered = load().launchers()
    assert choose("slurm", offered).name == "slurm"
    assert isinstance(choose("local", offered), LocalLauncher)
    with pytest.raises(LaunchFailed, match="no launcher 'moon'") as raised:
        choose("moon", offered).launch([], tmp_path, Resources())
    assert "local, slurm" in raised.value.hint
