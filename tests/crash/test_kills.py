"""A few kills of every process, as `bench.crash` does by the hundred: what is served stays equal to the folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.crash import TARGETS, run


@pytest.mark.timeout(300)
def test_nothing_is_lost_or_doubled_when_any_process_is_killed(tmp_path: Path) -> None:
    tally = run(tmp_path, kills=len(TARGETS) + 1, seed=7, files=24, pace=15.0)
    assert all(tally.kills.values())
    assert (tally.lost, tally.ghosts, tally.duplicates, tally.unclean) == (0, 0, 0, 0)
    assert tally.orphans == 0
