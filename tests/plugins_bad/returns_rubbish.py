"""Makes a folder that holds a pickle, and calls it an artefact."""

from __future__ import annotations

import pickle

from ragd.hooks.api import Artifact, Data, Needs, Role, Run, hookimpl


class Trainer:
    """Misbehaves as it is called."""

    name, role, needs, cost_s = "returns_rubbish", Role.QUERY_ADAPTER, Needs(Data.VECTORS), 1.0

    def train(self, run: Run) -> Artifact:
        made = run.folder / "made"
        made.mkdir(exist_ok=True)
        (made / "transform.json").write_text("{}")
        (made / "transform.safetensors").write_bytes(pickle.dumps({"weight": [1.0]}))
        run.progress(1, 1)
        return Artifact(made)


@hookimpl
def ragd_trainers() -> list[Trainer]:
    """The one trainer."""
    return [Trainer()]
