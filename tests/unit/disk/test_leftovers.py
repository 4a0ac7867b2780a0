from __future__ import annotations

import os
from pathlib import Path

from ragd.disk.leftovers import sweep


def made(path: Path, *, age_s: float = 0.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("half")
    os.utime(path, (1000.0 - age_s,) * 2)
    return path


def test_folders_of_killed_processes_go_and_finished_ones_stay(tmp_path: Path) -> None:
    half = [".replaced-7", ".restored-7", "generations/1/.00000004", "models/.restored-8", "models/lora/.new-2"]
    for name in half:
        made(tmp_path / name / "part")
    for name in ("generations/1/00000003", "models/lora/1", "runs/.hidden"):
        made(tmp_path / name / "whole")
    gone = sweep(tmp_path, older_than=0.0)
    assert sorted(gone) == half
    assert sorted(path.parent.name for path in tmp_path.rglob("whole")) == [".hidden", "00000003", "1"]
    assert not list(tmp_path.rglob("part"))


def test_temporary_files_go_when_no_command_can_be_writing_them_any_more(tmp_path: Path) -> None:
    old, young = made(tmp_path / ".tokens.json.tmp", age_s=100), made(tmp_path / "observed" / ".documents.tmp")
    assert sweep(tmp_path, older_than=950.0) == [".tokens.json.tmp"]
    assert not old.exists()
    assert young.exists()


def test_a_link_in_the_place_of_a_temporary_folder_leads_nowhere(tmp_path: Path) -> None:
    kept = made(tmp_path / "elsewhere" / "file").parent
    state = tmp_path / "state"
    state.mkdir()
    (state / ".restored-1").symlink_to(kept)
    assert sweep(state, older_than=0.0) == []
    assert (kept / "file").exists()
