"""What runs that ended leave on the disk has limits."""

from __future__ import annotations

import os
from pathlib import Path

from ragd.domain.training import RunPlaces
from ragd.flow.leftovers import strange, thin


def test_of_a_long_log_the_end_is_kept_from_a_whole_line_on(tmp_path: Path) -> None:
    places = RunPlaces(tmp_path)
    lines = [f"step {number} of many\n" for number in range(1000)]
    places.log.write_text("".join(lines))
    (tmp_path / "evaluate.txt").write_text("short\n")
    places.progress.write_text("".join(lines))
    thin(places, is_done=True, log_bytes=1000)
    told = places.log.read_text().splitlines()
    assert told[0] == "[what was before is no longer kept]"
    assert told[1] in {line.strip() for line in lines}
    assert told[-1] == "step 999 of many"
    assert places.log.stat().st_size <= 1100
    assert places.progress.read_text().splitlines()[0].startswith("step ")
    assert (tmp_path / "evaluate.txt").read_text() == "short\n"
    before = places.log.read_bytes()
    thin(places, is_done=True, log_bytes=1000)
    assert places.log.read_bytes() == before


def test_folders_of_unknown_runs_are_found_unless_somebody_writes_there(tmp_path: Path) -> None:
    for name in ("known", "left", "busy"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "log.txt").write_text("...")
    for path in (tmp_path / "left" / "log.txt", tmp_path / "left", tmp_path / "busy", tmp_path / "known"):
        os.utime(path, (1000.0, 1000.0))
    assert strange(tmp_path, {"known"}, unchanged_since=2000.0) == [tmp_path / "left"]
    assert strange(tmp_path / "nothing", (), unchanged_since=2000.0) == []
