"""Writes files until it is stopped, 1 GiB at most."""

from __future__ import annotations

import time

from ragd.hooks.api import Artifact, Data, Needs, Role, Run, hookimpl


class Trainer:
    """Misbehaves as it is called."""

    name, role, needs, cost_s = "fills_disk", Role.QUERY_ADAPTER, Needs(Data.VECTORS), 1.0

    def train(self, run: Run) -> Artifact:
        for number in range(256):
            (run.folder / f"{number}.bin").write_bytes(b"x" * (4 << 20))
            time.sleep(0.02)
        return Artifact(run.folder)


@hookimpl
def ragd_trainers() -> list[Trainer]:
    """The one trainer."""
    return [Trainer()]
