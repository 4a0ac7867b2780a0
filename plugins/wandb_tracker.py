"""Tells Weights & Biases how runs go: add `wandb` to `learn.trackers`; offline, into `wandb/` in the state folder.

`WANDB_MODE=online` sends them as they go (`wandb sync` does it later), `WANDB_PROJECT` names another project than
`ragd`, `WANDB_DIR` another folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ragd.hooks.api import Tracker, hookimpl


class WandbTracker:
    """One W&B run for each run, under the same id, so that it goes on after a break."""

    name = "wandb"

    def __init__(self) -> None:
        self._runs: dict[str, Any] = {}

    def started(self, run_id: str, facts: Mapping[str, Any]) -> None:
        """Opens the W&B run; options, seed and the rest become its configuration."""
        import wandb

        folder = Path(os.environ.get("WANDB_DIR") or os.environ.get("RAGD_STATE") or ".").absolute()
        folder.mkdir(parents=True, exist_ok=True)
        mode: Any = os.environ.get("WANDB_MODE", "offline")
        self._runs[run_id] = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "ragd"),
            id=run_id.replace("/", "-")[:64],
            name=run_id,
            group=str(facts.get("trainer") or ""),
            config=dict(facts),
            dir=str(folder),
            mode=mode,
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(
                console="off", silent=True, x_disable_stats=True, disable_git=True, save_code=False
            ),
        )

    def logged(self, run_id: str, step: int, metrics: Mapping[str, float]) -> None:
        """Adds the numbers of a step."""
        self._runs[run_id].log({**metrics, "step": step})

    def ended(self, run_id: str, state: str, facts: Mapping[str, Any]) -> None:
        """Closes the W&B run with what it cost and how it ended."""
        run = self._runs.pop(run_id)
        run.summary.update(
            {"state": state, **{name: value for name, value in facts.items() if value not in (None, "")}}
        )
        run.finish(exit_code=0 if state == "trained" else 1)


@hookimpl
def ragd_trackers() -> list[Tracker]:
    """The tracker `wandb`."""
    return [WandbTracker()]
