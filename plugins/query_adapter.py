"""Adapts queries to the documents that answer them: a linear residual on query vectors, without any re-embedding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ragd.hooks.api import Artifact, Data, Needs, Role, Run, Trainer, hookimpl, read_options, save_transform

from ._adapter_search import Found, Search
from ._infonce import Setting
from ._ranking_task import Task, build


@dataclass(frozen=True, slots=True)
class AdapterOptions:
    """What `[trainers.query_adapter.options]` may hold.

    `temperatures` are tried, with commas, and the best on validation queries is taken. `rank` 0 is a full matrix.
    `columns` random chunks stand against each batch, from a pool of `pool` chunks. With `refit` the chosen setting is
    trained once more on training and validation queries together.
    """

    temperatures: str = "0.03,0.05"
    learning_rate: float = 5e-4
    weight_decay: float = 0.5
    rank: int = 0
    epochs: int = 6
    batch_size: int = 128
    accumulate: int = 1
    columns: int = 512
    pool: int = 20_000
    refit: bool = True

    def __post_init__(self) -> None:
        if not self.tried or min(self.tried) <= 0:
            raise ValueError(f"temperatures is {self.temperatures!r}: numbers above 0, with commas")
        if min(self.epochs, self.batch_size, self.accumulate, self.columns, self.pool) < 1 or self.rank < 0:
            raise ValueError("epochs, batch_size, accumulate, columns and pool are at least 1, rank at least 0")
        if self.learning_rate <= 0 or self.weight_decay < 0:
            raise ValueError("learning_rate is above 0, weight_decay at least 0")

    @property
    def tried(self) -> tuple[float, ...]:
        """The temperatures as numbers. Raises ValueError for what is none."""
        return tuple(float(part) for part in self.temperatures.split(",") if part.strip())

    @property
    def settings(self) -> tuple[Setting, ...]:
        """Every way to train that is tried."""
        return tuple(
            Setting(
                temperature=temperature,
                learning_rate=self.learning_rate,
                weight_decay=self.weight_decay,
                rank=self.rank,
                batch_size=self.batch_size,
                columns=self.columns,
                accumulate=self.accumulate,
            )
            for temperature in self.tried
        )


class QueryAdapter:
    """q' = norm(q + W q) by InfoNCE against frozen document vectors; seconds on one thread, swapped in at once.

    When nothing beats doing nothing on validation queries by more than chance would, the adapter changes nothing, and
    the gate refuses it.
    """

    name = "query_adapter"
    role = Role.QUERY_ADAPTER
    needs = Needs(Data.PAIRS, least=50)
    cost_s = 4.0

    def train(self, run: Run) -> Artifact:
        """Trains and writes the transform. Raises TrainingFailed or TooFewExamples."""
        options = read_options(run.settings, AdapterOptions)
        pool, task, validation = build(run, most_rows=options.pool)
        found = Search(
            run, pool, task, validation, options.settings, epochs=options.epochs, refit=options.refit
        ).found()
        return save_adapter(run, found, task)


def save_adapter(run: Run, found: Found, task: Task) -> Artifact:
    """Writes what was found as a transform that serves, with the facts of its search."""
    dimension = task.queries.shape[1]
    folder = run.folder / "artifact"
    if "up" in found.weights:
        up = found.weights["up"] * np.float32(found.share)
        save_transform(folder, "low_rank", down=found.weights["down"], up=up)
    else:
        weight = found.weights.get("weight", np.zeros((dimension, dimension), np.float32))
        save_transform(folder, "residual", weight=weight * np.float32(found.share))
    rank = found.setting.rank
    facts = {
        "trainable_weights": 2 * rank * dimension if rank else dimension * dimension,
        "queries": len(task),
        "validation_ndcg_before": found.before,
        "validation_ndcg_after": found.after,
        "temperature": found.setting.temperature,
        "epochs": found.epochs,
        "share": found.share,
        "last_loss": found.loss,
        "fit_s": found.seconds,
    }
    return Artifact(folder, facts)


@hookimpl
def ragd_trainers() -> list[Trainer]:
    """The trainer of query adapters."""
    return [QueryAdapter()]
