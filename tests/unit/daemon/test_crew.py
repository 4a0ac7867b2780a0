"""The daemon's own round."""

from __future__ import annotations

import threading
from typing import cast

import pytest

from ragd.daemon.broker_watch import BrokerWatch
from ragd.daemon.crew import Crew
from ragd.daemon.ending import Ending
from ragd.daemon.heartbeat import Heartbeat
from ragd.daemon.progress import Count
from ragd.daemon.sdnotify import Notifier
from ragd.daemon.supervisor import Supervisor
from ragd.domain.errors import StateBusy


class Children:
    """A supervisor that counts its rounds."""

    is_healthy = True

    def __init__(self) -> None:
        self.rounds = threading.Semaphore(0)
        self.stops = 0

    def step(self) -> None:
        self.rounds.release()

    def stop(self, *, budget_s: float) -> None:
        self.stops += 1


class Watch:
    def step(self) -> None: ...


@pytest.mark.parametrize("error", [StateBusy("another process keeps the catalog locked"), OSError("too many files")])
def test_the_children_keep_their_keeper_when_progress_cannot_be_counted(error: Exception) -> None:
    def count() -> Count:
        raise error

    children, ticks = Children(), threading.Semaphore(0)
    crew = Crew(
        cast(Supervisor, children),
        cast(BrokerWatch, Watch()),
        ticks.release,
        Notifier({}),
        Heartbeat(60.0),
        ending=Ending(()),
        count=count,
        progress=None,
        until_indexed=False,
    )
    crew.start()
    try:
        assert children.rounds.acquire(timeout=10)
        assert children.rounds.acquire(timeout=10)
        assert ticks.acquire(timeout=10)
        assert children.stops == 0
    finally:
        crew.stop()
    assert children.stops == 1
