"""The guard of one root: when it listens anew."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ragd.watch.guard import RootGuard
from ragd.watch.inbox import Hint
from ragd.watch.notify import Hearing, Notifier
from ragd.watch.roots import WatchedRoot


class Deaf(Notifier):
    """Finds no watches left, as often as it is asked."""

    def __init__(self, on_hint: Callable[[Hint], None], clock: Callable[[], float]) -> None:
        super().__init__(on_hint, clock)
        self.attempts = 0

    def watch(self, root_id: int, root: bytes) -> Hearing:
        self.attempts += 1
        return Hearing(is_watching=False, why="no inotify watches left")


@pytest.mark.parametrize(("later_s", "attempts"), [(299.0, 1), (301.0, 2), (-86_400.0, 2)])
def test_a_deaf_root_listens_anew_after_a_while_or_when_the_clock_was_set_back(
    tmp_path: Path, later_s: float, attempts: int
) -> None:
    notifier = Deaf(lambda hint: None, lambda: 0.0)
    guard = RootGuard(WatchedRoot(1, os.fsencode(tmp_path)), notifier, lambda: (), rewatch_s=300.0)
    guard.check(1e9)
    guard.before_scan(1e9 + later_s)
    assert notifier.attempts == attempts
    notifier.close()
