"""What runs that ended leave on the disk, cut down to what tells about them."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Collection
from pathlib import Path

from ragd.disk.atomic import write_atomic
from ragd.domain.training import RunPlaces

_CUT = b"[what was before is no longer kept]\n"


def thin(places: RunPlaces, *, is_done: bool, log_bytes: int) -> None:
    """Data, checkpoints and artefacts of an ended run go, and all but the end of what was printed. Raises DiskFull."""
    places.encoded.unlink(missing_ok=True)
    for folder in (places.data, places.work, places.heldout, places.exports, places.folder / "map"):
        if folder.is_dir():
            # First the files that would be gone on from: a run that is resumed now begins anew.
            places.outcome.unlink(missing_ok=True)
            if not is_done:
                places.scores.unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
    for printed in (places.progress, *places.folder.glob("*.txt")):
        _keep_end(printed, log_bytes)


def strange(folder: Path, known: Collection[str], *, unchanged_since: float) -> list[Path]:
    """Folders of runs that nobody knows and nobody wrote to since a moment: left by a kill.

    A run that trains notes what it costs every few seconds, so what is under way is young.
    """
    places = [place for place in folder.iterdir() if place.is_dir()] if folder.is_dir() else []
    return [place for place in places if place.name not in known and _changed_at(place) < unchanged_since]


def _changed_at(place: Path) -> float:
    try:
        return max(path.lstat().st_mtime for path in (place, *place.iterdir()))
    except FileNotFoundError:  # somebody writes there just now
        return math.inf


def _keep_end(path: Path, size_bytes: int) -> None:
    if not path.is_file() or path.stat().st_size <= size_bytes + len(_CUT):
        return
    with path.open("rb") as file:
        file.seek(-size_bytes, os.SEEK_END)
        rest = file.read()
    # From a whole line on: a progress file has one report in each.
    is_told = path.suffix == ".txt"
    write_atomic(path, (_CUT if is_told else b"") + rest[rest.find(b"\n") + 1 :])
