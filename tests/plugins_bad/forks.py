"""Starts 200 children, each in a session of its own, for 20 seconds at most."""

from __future__ import annotations

import subprocess
import time

from ragd.hooks.api import Artifact, Data, Needs, Role, Run, hookimpl


class Trainer:
    """Misbehaves as it is called."""

    name, role, needs, cost_s = "forks", Role.QUERY_ADAPTER, Needs(Data.VECTORS), 1.0

    def train(self, run: Run) -> Artifact:
        for _ in range(200):
            subprocess.Popen(["sleep", "20"], start_new_session=True)
        time.sleep(20)
        return Artifact(run.folder)


@hookimpl
def ragd_trainers() -> list[Trainer]:
    """The one trainer."""
    return [Trainer()]
