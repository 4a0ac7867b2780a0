"""The mark of a state folder that is between what it was and what it will be: nobody may start on it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ragd.disk.atomic import sync_folder, write_atomic
from ragd.domain.errors import StateCorrupt

MARK = "restoring"


def set_mark(state: Path, file: Path) -> None:
    """Durably notes that `file` is being restored into this folder. Raises DiskFull."""
    write_atomic(state / MARK, os.fsencode(file.absolute()) + b"\n", mode=0o600)


def remove_mark(state: Path) -> None:
    """The folder is whole again, durably."""
    (state / MARK).unlink()
    sync_folder(state)


def require_whole(state: Path) -> None:
    """Raises StateCorrupt for a folder in which a restore was cut off between the old files and the new ones."""
    with suppress(FileNotFoundError, NotADirectoryError):
        file = (state / MARK).read_text("utf-8", "replace").strip()
        raise StateCorrupt(
            f"restoring a backup into {state} was cut off",
            hint=f"do it again: `ragd --state {state} restore --force {file}`",
        )
