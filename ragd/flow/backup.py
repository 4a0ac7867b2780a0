"""Backs a state folder up into one file, while a daemon runs there or not."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ragd.catalog.copy import Copied, copy_catalog
from ragd.catalog.store import CATALOG
from ragd.disk.archive import is_plain, write_end, write_member
from ragd.disk.atomic import no_room_named, sync_folder
from ragd.disk.faults import reach
from ragd.domain.errors import DiskFull, GenerationCorrupt, NotFound, PathInvalid
from ragd.flow.backup_file import FORMAT, MANIFEST_NAME, TOKENS_NAME, BackupManifest, Part
from ragd.index.manifest import INDEX_NAME, check_index_file, read_manifest
from ragd.index.manifest import MANIFEST_NAME as INDEX_MANIFEST_NAME
from ragd.learn.artifacts import CARD_NAME

Heard = Callable[[str, int, int], None]
"""Told what is being done, and how many bytes of how many are."""
_PIECE_BYTES = 1 << 20
_RESERVE_BYTES = 1 << 20
_WORK = re.compile(r"\.ragd-backup-[a-z0-9_]{8}")


@dataclass(frozen=True, slots=True)
class _Source:
    """An open file that becomes a part: what is removed meanwhile is read all the same."""

    path: str
    file: IO[bytes]
    size_bytes: int

    def pieces(self) -> Iterator[bytes]:
        self.file.seek(0)
        while piece := self.file.read(_PIECE_BYTES):
            yield piece


def back_up(
    state: Path,
    file: Path,
    *,
    version: str,
    now: float,
    with_index: bool = True,
    replace: bool = False,
    heard: Heard = lambda _what, _done, _total: None,
) -> BackupManifest:
    """Writes a backup of the state folder to `file` (mode 0600), whole or not at all; returns its manifest.

    It holds the catalog, what serves and what can be rolled back to, tokens, and with `with_index` the newest good
    snapshots, so that a daemon starts from it at once. `version` is ragd's own, `now` Unix seconds. Raises NotFound
    without a catalog, PathInvalid for a file that is there (unless `replace`) or cannot be, DiskFull before anything
    is written where room is short, and as `copy_catalog` does.
    """
    _check_target(state, file, replace)
    with no_room_named(file), ExitStack() as stack:
        work = stack.enter_context(_work_folder(file))
        sources = [*_snapshots(state, stack)] if with_index else []
        _check_room(state, file, sources)
        copied = _copied(state, work / CATALOG, now, heard)
        sources = [source for source in sources if int(source.path.split("/")[1]) in copied.generations]
        notes: list[str] = []
        sources = [_opened(work / CATALOG, CATALOG, stack), *_tokens(state, stack), *sources]
        sources += _models(state / "models", copied, stack, notes)
        parts = tuple(_hashed(sources, heard))
        manifest = BackupManifest(
            FORMAT, version, now, copied.format, copied.change_sequence, copied.documents, tuple(notes), parts
        )
        _write(work / "backup", manifest, sources, heard)
        reach("backup.before_rename")
        os.replace(work / "backup", file)
        sync_folder(file.parent)
    return manifest


def _check_target(state: Path, file: Path, replace: bool) -> None:
    if not (state / CATALOG).is_file():
        raise NotFound(f"{state} holds no catalog, so there is nothing to back up", hint="name it with --state")
    if not file.parent.is_dir():
        raise PathInvalid(f"{file.parent} is not a folder", hint="make it first")
    if file.parent.resolve().is_relative_to(state.resolve()):
        raise PathInvalid(
            f"{file} lies in the state folder itself", hint="choose a place outside, best on another disk"
        )
    if file.exists() and not file.is_file():
        # A device would be replaced by the backup, for everybody on the machine.
        raise PathInvalid(f"{file} is there and is no file", hint="name a file that may be written anew")
    if file.exists() and not replace:
        raise PathInvalid(f"{file} is there already", hint="choose another name, or replace it with --force")


def _check_room(state: Path, file: Path, sources: list[_Source]) -> None:
    """The catalog is needed twice: as it is copied, and in the file."""
    catalog = sum(path.stat().st_size for path in state.glob(f"{CATALOG}*"))
    needed = 2 * catalog + sum(source.size_bytes for source in sources) + _RESERVE_BYTES
    free = shutil.disk_usage(file.parent).free
    if free < needed:
        raise DiskFull(
            f"no room for a backup in {file.parent}: it takes up to {needed:,} bytes, and {free:,} are free",
            hint="make room there, choose another disk, or leave the index out with --no-index",
        )


@contextmanager
def _work_folder(file: Path) -> Iterator[Path]:
    """A folder beside the file, gone in the end; those of backups that were killed go as well, whatever their names."""
    for leftover in [path for path in file.parent.glob(".ragd-backup-*") if _WORK.fullmatch(path.name)]:
        with suppress(OSError), _held(leftover) as is_free:  # it may be somebody else's, or gone
            # One that is empty may be about to be held.
            names = [path.name for path in leftover.iterdir()]
            if is_free and names and all(name == "backup" or name.startswith(CATALOG) for name in names):
                shutil.rmtree(leftover, ignore_errors=True)
    try:
        work = Path(tempfile.mkdtemp(dir=file.parent, prefix=".ragd-backup-"))
    except OSError as error:
        raise PathInvalid(f"{file.parent}: {error.strerror}", hint="choose a folder that you may write") from error
    try:
        with _held(work):
            yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Holds the folder's lock while the block runs; False when somebody else does."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _copied(state: Path, target: Path, now: float, heard: Heard) -> Copied:
    descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    os.close(descriptor)
    return copy_catalog(state, target, at=now, heard=lambda done, total: heard("copying the catalog", done, total))


def _opened(path: Path, name: str, stack: ExitStack) -> _Source:
    file = stack.enter_context(path.open("rb"))
    return _Source(name, file, os.fstat(file.fileno()).st_size)


def _snapshots(state: Path, stack: ExitStack) -> Iterator[_Source]:
    """The newest good snapshot of each generation, opened before the catalog is read: it must not be the newer one."""
    for generation in sorted((state / "generations").glob("[0-9]*")):
        for snapshot in sorted(generation.glob("[0-9]*"), reverse=True):
            try:
                check_index_file(snapshot, read_manifest(snapshot))
                found = [
                    _opened(snapshot / name, f"generations/{generation.name}/{snapshot.name}/{name}", stack)
                    for name in (INDEX_MANIFEST_NAME, INDEX_NAME)
                ]
            except (GenerationCorrupt, OSError):
                continue
            yield from found
            break


def _tokens(state: Path, stack: ExitStack) -> Iterator[_Source]:
    if (state / TOKENS_NAME).is_file():
        yield _opened(state / TOKENS_NAME, TOKENS_NAME, stack)


def _models(models: Path, copied: Copied, stack: ExitStack, notes: list[str]) -> list[_Source]:
    found: list[_Source] = []
    for folder, files in copied.models.items():
        try:
            found += _model(models / folder, files, f"models/{folder}", stack)
        except (OSError, ValueError) as error:
            notes.append(f"the model {folder} is left out: {error}")
    return found


def _model(folder: Path, files: Mapping[str, str], name: str, stack: ExitStack) -> list[_Source]:
    """The files that the registry knows, and the card. Raises ValueError or OSError when one is not what was kept."""
    sources = [_opened(folder / path, f"{name}/{path}", stack) for path in sorted({*files, CARD_NAME})]
    for path, source in zip(sorted({*files, CARD_NAME}), sources, strict=True):
        if not is_plain(source.path):
            raise ValueError(f"{path!r} cannot be kept in a backup")
        if path in files and _sha256(source) != files[path]:
            raise ValueError(f"{path} is not the file that was stored")
    return sources


def _sha256(source: _Source) -> str:
    digest = hashlib.sha256()
    for piece in source.pieces():
        digest.update(piece)
    return digest.hexdigest()


def _hashed(sources: list[_Source], heard: Heard) -> Iterator[Part]:
    done, total = 0, sum(source.size_bytes for source in sources)
    for source in sources:
        digest = hashlib.sha256()
        for piece in source.pieces():
            digest.update(piece)
            done += len(piece)
            heard("reading", done, total)
        yield Part(source.path, source.size_bytes, digest.hexdigest())


def _write(target: Path, manifest: BackupManifest, sources: list[_Source], heard: Heard) -> None:
    encoded = manifest.encoded()
    done = 0
    descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        write_member(file, MANIFEST_NAME, len(encoded), [encoded])
        for source in sources:
            write_member(file, source.path, source.size_bytes, source.pieces())
            done += source.size_bytes
            heard("writing", done, manifest.size_bytes)
        write_end(file)
        file.flush()
        os.fsync(file.fileno())
