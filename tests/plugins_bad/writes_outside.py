"""Leaves files where they do not belong, by itself and by another program."""

from __future__ import annotations

import subprocess

from ragd.hooks.api import Artifact, Data, Needs, Role, Run, hookimpl


class Trainer:
    """Misbehaves as it is called."""

    name, role, needs, cost_s = "writes_outside", Role.QUERY_ADAPTER, Needs(Data.VECTORS), 1.0

    def train(self, run: Run) -> Artifact:
        outside = run.folder.parent / "escaped.txt"
        subprocess.run(["/bin/sh", "-c", f"echo here > {outside}.sh"], check=False)
        outside.write_text("here")
        return Artifact(run.folder)


@hookimpl
def ragd_trainers() -> list[Trainer]:
    """The one trainer."""
    return [Trainer()]
