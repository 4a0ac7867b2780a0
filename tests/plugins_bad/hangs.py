"""Does nothing for ever, and hears of nothing."""

from __future__ import annotations

import signal
import time

from ragd.hooks.api import Artifact, Data, Needs, Role, Run, hookimpl


class Trainer:
    """Misbehaves as it is called."""

    name, role, needs, cost_s = "hangs", Role.QUERY_ADAPTER, Needs(Data.VECTORS), 1.0

    def train(self, run: Run) -> Artifact:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(0.05)


@hookimpl
def ragd_trainers() -> list[Trainer]:
    """The one trainer."""
    return [Trainer()]
