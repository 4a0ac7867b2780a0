"""Takes all the memory that it can get, 8 GiB at most."""

from __future__ import annotations

from ragd.hooks.api import Artifact, Data, Needs, Role, Run, hookimpl


class Trainer:
    """Misbehaves as it is called."""

    name, role, needs, cost_s = "fills_memory", Role.QUERY_ADAPTER, Needs(Data.VECTORS), 1.0

    def train(self, run: Run) -> Artifact:
        held = []
        for _ in range(128):
            held.append(bytearray(b"x" * (64 << 20)))
        return Artifact(run.folder, {"bytes": sum(map(len, held))})


@hookimpl
def ragd_trainers() -> list[Trainer]:
    """The one trainer."""
    return [Trainer()]
