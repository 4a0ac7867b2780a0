"""Starts runs on a Slurm cluster through submitit: set `learn.launcher` to `slurm`, on a disk that the nodes share.

`SLURM_LAUNCHER_EXECUTOR` is `slurm` (default), or `local` and `debug`, submitit's own ways to try it without a
cluster; `SLURM_LAUNCHER_PARTITION`, `_ACCOUNT`, `_QOS` and `_CONSTRAINT` go to Slurm. submitit keeps its job as a
pickle of its own in `submitit/` of the run's folder, where no trainer may write; it is written and read by the same
user on the same cluster, holds the command line only, and never comes from Redis. What a job returns is not read.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ragd.hooks.api import Cost, Launched, Launcher, LaunchFailed, Resources, hookimpl

_SPARE_MINUTES = 5  # the run keeps its own time, and should be the first to notice
_FOR_SLURM = ("partition", "account", "qos", "constraint")


class SlurmLauncher:
    """One Slurm job a run; it becomes the run's process, so that Slurm's signals reach it and it saves a checkpoint."""

    name = "slurm"

    def launch(self, command: Sequence[str], folder: Path, resources: Resources) -> Launched:
        """Submits the run; it may wait in Slurm's queue for long."""
        try:
            import submitit
        except ImportError as error:
            raise LaunchFailed("submitit is not installed", hint="pip install 'ragd[slurm]'") from error
        kind = os.environ.get("SLURM_LAUNCHER_EXECUTOR", "slurm")
        try:
            executor = submitit.AutoExecutor(folder=folder / "submitit", cluster=kind)
            executor.update_parameters(**_parameters(kind, resources))
            if kind == "debug":  # it runs in this very process, which must not become another program
                return _DebugJob(executor.submit(subprocess.call, list(command), cwd=str(folder)))
            return _Job(executor.submit(_becomes(command), command[0], list(command)))
        except (RuntimeError, ValueError, OSError, AssertionError, submitit.core.utils.FailedJobError) as error:
            words = " ".join(str(error).split())[:300]
            raise LaunchFailed(f"submitit could not start the run: {words}", hint="does `sbatch` work here?") from error


class _Job:
    """A job that submitit started."""

    def __init__(self, job: Any) -> None:
        self._job = job

    def poll(self) -> int | None:
        """0 when Slurm says that the job is over, whatever came of it: the run's outcome tells that."""
        return 0 if self._job.done() else None

    def stop(self) -> None:
        """Cancels the job; Slurm ends all that it started."""
        with suppress(subprocess.CalledProcessError):
            self._job.cancel()

    def cost(self) -> Cost:
        """Told by the run's outcome."""
        return Cost()


class _DebugJob:
    """A job of the debug executor, which works when its result is asked for: in a thread here."""

    def __init__(self, job: Any) -> None:
        self._job = job
        self._thread = threading.Thread(target=job.results, name="submitit-debug", daemon=True)
        self._thread.start()

    def poll(self) -> int | None:
        return None if self._thread.is_alive() else 0

    def stop(self) -> None:
        """Nothing to cancel: the run heeds its stop file."""

    def cost(self) -> Cost:
        return Cost()


def _becomes(command: Sequence[str]) -> Any:
    if not Path(command[0]).is_absolute():
        raise ValueError(f"{command[0]} is not an absolute path")
    return os.execv


def _parameters(kind: str, resources: Resources) -> dict[str, Any]:
    given: dict[str, Any] = {
        "name": "ragd-train",
        "timeout_min": math.ceil(resources.timeout_s / 60) + _SPARE_MINUTES,
        "cpus_per_task": resources.threads,
        "mem_gb": math.ceil(resources.memory_mb / 1024) + 1,
        "gpus_per_node": 1 if resources.device == "cuda" else 0,
        "tasks_per_node": 1,
    }
    if kind == "slurm":
        named = {name: os.environ.get(f"SLURM_LAUNCHER_{name.upper()}", "") for name in _FOR_SLURM}
        given |= {f"slurm_{name}": value for name, value in named.items() if value}
    return given


@hookimpl
def ragd_launchers() -> list[Launcher]:
    """The launcher `slurm`, where its library can work."""
    return [SlurmLauncher()] if sys.platform == "linux" else []
