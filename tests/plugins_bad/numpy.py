"""Is called like a module that everybody needs; harmless but for its name."""

from __future__ import annotations

import numpy as np

from ragd.hooks.api import Artifact, Data, Needs, Role, Run, hookimpl, save_transform


class Trainer:
    """Learns nothing, by the library whose name it has."""

    name, role, needs, cost_s = "numpy", Role.QUERY_ADAPTER, Needs(Data.VECTORS), 1.0

    def train(self, run: Run) -> Artifact:
        run.progress(1, 1)
        weight = np.zeros((run.data.vectors.shape[1],) * 2, np.float32)
        return save_transform(run.folder / "made", "residual", weight=weight)


@hookimpl
def ragd_trainers() -> list[Trainer]:
    """The one trainer."""
    return [Trainer()]
