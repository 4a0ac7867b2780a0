"""Puts a backup into a state folder: proven first, then swapped in; what is cut off half way is refused by name."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from ragd.catalog.copy import upgrade_copy
from ragd.catalog.store import CATALOG
from ragd.disk.atomic import no_room_named, sync_folder
from ragd.disk.faults import reach
from ragd.disk.lock import StateLock
from ragd.disk.mark import MARK, remove_mark, set_mark
from ragd.domain.errors import DiskFull, PathInvalid
from ragd.flow.backup_file import TOKENS_NAME, BackupFile, BackupManifest, open_backup

Heard = Callable[[str, int, int], None]
"""Told what is being done, and how many bytes of how many are."""
_NEW, _OLD = ".restored-", ".replaced-"
_KEPT = ("lock", "trusted-plugins.json", MARK)  # trust is this folder's own: no file may bring it along
_EXPORT = re.compile(r"[0-9a-f]{16}")  # an encoder's graph, by the hash of its weights: right wherever it lies
_RESERVE_BYTES = 1 << 20


def check_backup(file: Path, heard: Heard = lambda _what, _done, _total: None) -> BackupManifest:
    """Reads a backup whole and compares every checksum. Raises NotFound, BackupInvalid, StateNewer."""
    with open_backup(file) as backup:
        backup.check(_counter("checking", backup.manifest, heard))
        return backup.manifest


def restore_backup(
    file: Path, state: Path, *, force: bool = False, heard: Heard = lambda _what, _done, _total: None
) -> BackupManifest:
    """Makes `state` what it was when `file` was written, in the current format; returns the backup's manifest.

    With `force` a folder that is not empty is replaced: all but exported encoders and trusted plugins. Nothing there
    changes until all of the backup was read and found good. Raises NotFound, BackupInvalid, StateNewer, StateLocked
    when a daemon runs there, PathInvalid when the folder is not empty, DiskFull when room is short.
    """
    with open_backup(file) as backup, no_room_named(state), StateLock(state).acquire(wait_s=0.0):
        if not force and (there := sorted(path.name for path in state.iterdir() if path.name != "lock")):
            raise PathInvalid(
                f"{state} is not empty: it holds {', '.join(there[:3])}",
                hint="name another folder with --state, or replace what is there with --force",
            )
        models = state / "models"
        for leftover in [*state.glob(f"{_NEW}*"), *models.glob(f"{_NEW}*")]:
            shutil.rmtree(leftover)
        _check_room(state, backup.manifest)
        new = Path(tempfile.mkdtemp(dir=state, prefix=_NEW))
        new_models = new / "models"
        try:
            if models.is_dir() and not models.is_symlink():  # perhaps a disk of its own: nothing is renamed between two
                new_models = Path(tempfile.mkdtemp(dir=models, prefix=_NEW))
            _unpack(backup, new, new_models, heard)
            upgrade_copy(new / CATALOG)
        except BaseException:
            for folder in (new, new_models):
                shutil.rmtree(folder, ignore_errors=True)
            raise
        _swap(new, new_models, state, file)
    return backup.manifest


def _check_room(state: Path, manifest: BackupManifest) -> None:
    free, needed = shutil.disk_usage(state).free, manifest.size_bytes + _RESERVE_BYTES
    if free < needed:
        raise DiskFull(
            f"no room to restore into {state}: it takes {needed:,} bytes, and {free:,} are free",
            hint="make room there, or choose another folder with --state",
        )


def _unpack(backup: BackupFile, folder: Path, models: Path, heard: Heard) -> None:
    count = _counter("restoring", backup.manifest, heard)
    for part, member in zip(backup.manifest.parts, backup.members, strict=True):
        first, _, below = part.path.partition("/")
        target = models / below if first == "models" else folder / part.path
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = 0o600 if part.path in (CATALOG, TOKENS_NAME) else 0o644
        descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            for piece in backup.pieces(part, member, count):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
    for made in (folder, models):
        for place in [made, *(path for path in made.rglob("*") if path.is_dir())] if made.is_dir() else ():
            sync_folder(place)


def _swap(new: Path, new_models: Path, state: Path, file: Path) -> None:
    """The old files go, the new ones come; while the mark lies there nobody starts on what is in between."""
    models = state / "models"
    set_mark(state, file)
    reach("restore.before_swap")
    old = Path(tempfile.mkdtemp(dir=state, prefix=_OLD))
    for path in [path for path in state.iterdir() if path.name not in _KEPT and not path.name.startswith((_NEW, _OLD))]:
        if path == new_models.parent:
            _set_aside_models(models)
        else:
            path.rename(old / path.name)
    reach("restore.in_swap")
    for path in new.iterdir():
        path.rename(state / path.name)
    if new_models.parent == models:
        _add_models(new_models, models)
    sync_folder(state)
    reach("restore.after_swap")
    remove_mark(state)
    # Also what a restore that was cut off had set aside.
    for leftover in [new, new_models, *state.glob(f"{_OLD}*"), *models.glob(f"{_OLD}*")]:
        shutil.rmtree(leftover, ignore_errors=True)


def _set_aside_models(models: Path) -> None:
    old = Path(tempfile.mkdtemp(dir=models, prefix=_OLD))
    for family in [p for p in models.iterdir() if p.name != "stamps" and not p.name.startswith((_NEW, _OLD))]:
        for path in list(family.iterdir()) if family.is_dir() and not family.is_symlink() else [family]:
            if not (path.is_dir() and _EXPORT.fullmatch(path.name)):
                place = old / path.relative_to(models)
                place.parent.mkdir(parents=True, exist_ok=True)
                path.rename(place)


def _add_models(new: Path, models: Path) -> None:
    for family in new.iterdir():
        (models / family.name).mkdir(exist_ok=True)
        for path in family.iterdir():
            path.rename(models / family.name / path.name)
        sync_folder(models / family.name)
    sync_folder(models)


def _counter(what: str, manifest: BackupManifest, heard: Heard) -> Callable[[int], None]:
    done = 0

    def count(size_bytes: int) -> None:
        nonlocal done
        done += size_bytes
        heard(what, done, manifest.size_bytes)

    return count
