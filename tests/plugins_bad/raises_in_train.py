"""Raises in the middle of its training."""

from __future__ import annotations

from ragd.hooks.api import Artifact, Data, Needs, Role, Run, hookimpl


class Trainer:
    """Misbehaves as it is called."""

    name, role, needs, cost_s = "raises_in_train", Role.QUERY_ADAPTER, Needs(Data.VECTORS), 1.0

    def train(self, run: Run) -> Artifact:
        run.progress(1, 10, loss=0.5)
        raise ZeroDivisionError("the learning rate is zero")


@hookimpl
def ragd_trainers() -> list[Trainer]:
    """The one trainer."""
    return [Trainer()]
