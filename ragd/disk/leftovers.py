"""What a process that was killed left half done in a state folder, and nobody will ever finish."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

_FOLDERS = (
    *(".restored-*", ".replaced-*", "models/.restored-*", "models/.replaced-*"),
    *("generations/*/.[0-9]*", "models/*/.new-*"),
)
_FILES = (".*.tmp", "observed/.*.tmp")


def sweep(state: Path, *, older_than: float) -> list[str]:
    """Removes temporary folders, and temporary files older than this (Unix seconds); returns their names.

    Only the owner of the state folder's lock may call it: it alone makes those folders. Files are made by commands too.
    """
    gone = [path for pattern in _FOLDERS for path in state.glob(pattern) if path.is_dir() and not path.is_symlink()]
    for path in gone:
        shutil.rmtree(path, ignore_errors=True)
    for path in [path for pattern in _FILES for path in state.glob(pattern)]:
        with suppress(OSError):
            if path.lstat().st_mtime < older_than:
                path.unlink()
                gone.append(path)
    return [path.relative_to(state).as_posix() for path in gone]
