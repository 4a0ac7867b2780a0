"""Faults of the state folder, as `bench.faults` causes them all: here those that no unit test can stand in for."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from bench.fault_state import SCENARIOS

CHOSEN = (
    "state-deleted",
    "state-read-only",
    "two-daemons",
    "files-emptied",
    "disk-full-committing",
    "disk-full-logging",
    "format-older",
    "vector-flipped-memory",
)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.mark.parametrize("name", CHOSEN)
def test_it_goes_on_or_stops_with_the_remedy_and_is_whole_after_it(name: str) -> None:
    (scenario,) = [one for one in SCENARIOS if one.name == name]
    with tempfile.TemporaryDirectory(prefix="rf-", ignore_cleanup_errors=True) as scratch:  # short: sockets lie in it
        outcome = scenario.run(Path(scratch))
    assert outcome.survived, outcome.note
    assert outcome.lost == 0


def test_every_scenario_has_a_name_of_its_own_and_says_what_it_is() -> None:
    assert len({one.name for one in SCENARIOS}) == len(SCENARIOS)
    assert all(len(one.what) > 10 for one in SCENARIOS)
