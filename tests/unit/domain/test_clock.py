from __future__ import annotations

import time

import pytest

from ragd.domain.clock import Jumps, is_due, steady


@pytest.mark.parametrize(
    ("now", "since", "is_so"), [(10.0, 5.0, True), (9.9, 5.0, False), (5.0, 5.0, False), (4.9, 5.0, True)]
)
def test_what_is_due_comes_after_its_time_or_at_once_where_the_clock_was_set_back(
    now: float, since: float, is_so: bool
) -> None:
    assert is_due(now, since, 5.0) is is_so


def test_only_what_the_clock_was_set_by_counts_as_astray() -> None:
    jumps = Jumps(1000.0, 50.0)
    assert jumps.astray_s(1030.0, 80.0) == 0.0
    assert jumps.astray_s(1030.0 + 7200.0, 80.0) == 7200.0
    assert jumps.astray_s(1040.0 - 7200.0, 90.0) == -7200.0


def test_steady_time_passes() -> None:
    before = steady()
    time.sleep(0.001)
    assert before < steady()
