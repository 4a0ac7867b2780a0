from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from ragd.jobs import tracking
from ragd.jobs.tracking import Tracking


class Slow:
    """A tracker that takes its time over the start of a run."""

    name = "slow"

    def __init__(self) -> None:
        self.begun, self.may_go_on = threading.Event(), threading.Event()
        self.thread: threading.Thread | None = None

    def started(self, run_id: str, facts: Mapping[str, Any]) -> None:
        self.thread = threading.current_thread()
        self.begun.set()
        self.may_go_on.wait(30)

    def logged(self, run_id: str, step: int, metrics: Mapping[str, float]) -> None: ...

    def ended(self, run_id: str, state: str, facts: Mapping[str, Any]) -> None: ...


def test_a_tracker_that_was_far_behind_when_its_run_ended_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "_MOST_WAITING", 3)
    monkeypatch.setattr(tracking, "_END_S", 0.05)
    tracker = Slow()
    told = Tracking([tracker], "r1")
    told.started({})
    assert tracker.begun.wait(10)
    for step in range(10):
        told.logged(step, {})
    told.ended("trained", {})
    tracker.may_go_on.set()
    assert tracker.thread is not None
    tracker.thread.join(10)
    assert not tracker.thread.is_alive()
