"""Tells MLflow how runs go: add `mlflow` to `learn.trackers`; by default into `mlflow.db` (SQLite) in the state folder.

`MLFLOW_TRACKING_URI` names another store (`sqlite:///PATH`, or a server; not `file://`), `MLFLOW_EXPERIMENT_NAME`
another experiment than `ragd`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ragd.hooks.api import Tracker, hookimpl

_STATES = {"trained": "FINISHED", "stopped": "KILLED"}
_LONGEST = 6000  # characters of a parameter's or a tag's value
_TAG = "ragd_run"


class MlflowTracker:
    """One MLflow run for each run, found again by its tag when it goes on after a break."""

    name = "mlflow"

    def __init__(self) -> None:
        self._client: Any = None
        self._runs: dict[str, str] = {}

    def started(self, run_id: str, facts: Mapping[str, Any]) -> None:
        """Opens the MLflow run; options, seed and the rest become its parameters."""
        client = self._opened()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "ragd")
        found = client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else client.create_experiment(name)
        before = client.search_runs([experiment], f"tags.{_TAG} = '{run_id}'", max_results=1)
        if before:
            self._runs[run_id] = before[0].info.run_id
            client.set_terminated(self._runs[run_id], "RUNNING")
            return
        run = client.create_run(
            experiment, run_name=run_id, tags={_TAG: run_id, "ragd_trainer": str(facts.get("trainer"))}
        )
        self._runs[run_id] = run.info.run_id
        for key, value in facts.items():
            if key != "attempt":
                client.log_param(run.info.run_id, key, str(value)[:_LONGEST])

    def logged(self, run_id: str, step: int, metrics: Mapping[str, float]) -> None:
        """Adds the numbers of a step."""
        from mlflow.entities import Metric

        at_ms = int(time.time() * 1000)
        rows = [Metric(name, float(value), at_ms, step) for name, value in metrics.items()]
        self._opened().log_batch(self._runs[run_id], metrics=rows)

    def ended(self, run_id: str, state: str, facts: Mapping[str, Any]) -> None:
        """Closes the MLflow run; costs become metrics, the reason of a failure a tag."""
        client, mlflow_id = self._opened(), self._runs.pop(run_id)
        for name, value in facts.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                client.log_metric(mlflow_id, name, float(value))
            elif value:
                client.set_tag(mlflow_id, f"ragd_{name}", str(value)[:_LONGEST])
        client.set_terminated(mlflow_id, _STATES.get(state, "FAILED"))

    def _opened(self) -> Any:
        if self._client is None:
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
            from mlflow.tracking import MlflowClient

            folder = Path(os.environ.get("RAGD_STATE") or ".").absolute()
            self._client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / 'mlflow.db'}")
        return self._client


@hookimpl
def ragd_trackers() -> list[Tracker]:
    """The tracker `mlflow`."""
    return [MlflowTracker()]
