"""Faults of the world around ragd, caused for real as `bench.faults` does: it goes on, says why, and loses nothing.

These are a few, one of each kind, since each starts a daemon of its own. Those that must wait for something to be
noticed (a worker or a Redis that hangs, a frozen connection), that need a storm of edits or of jumps, or that show
nearly the same as one here, are in `python -m bench.faults` only.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from bench.fault import Scenario
from bench.fault_world import SCENARIOS

QUICK = (
    "redis-full",
    "worker-rubbish",
    "clock-backwards",
    "events-overflow",
    "root-unmounted",
    "root-emptied",
    "root-closed",
)
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("scenario", [one for one in SCENARIOS if one.name in QUICK], ids=lambda one: one.name)
def test_ragd_goes_on_and_loses_nothing(scenario: Scenario) -> None:
    with tempfile.TemporaryDirectory(prefix="rf-", ignore_cleanup_errors=True) as scratch:  # short: sockets lie in it
        found = scenario.run(Path(scratch))
    assert (found.survived, found.lost) == (True, 0), found.note


def test_every_quick_one_is_a_scenario_and_no_name_comes_twice() -> None:
    names = [one.name for one in SCENARIOS]
    assert len(set(names)) == len(names)
    assert set(QUICK) <= set(names)
    assert all(one.what and one.name == one.name.lower() for one in SCENARIOS)
