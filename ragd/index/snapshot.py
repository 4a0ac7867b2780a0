"""Snapshots of a generation on disk: written whole or not at all, the newest good one loaded.

A generation's folder holds one folder a snapshot, named by a number that only grows. A snapshot is
filled under a name that starts with a dot, flushed to the disk, and then renamed; so a folder with a
number is whole, unless the disk itself changed it, which the checksum finds.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ragd.disk.atomic import no_room_named, sync_folder
from ragd.disk.faults import reach
from ragd.domain.errors import GenerationCorrupt, NotFound
from ragd.domain.index import EmbeddingSpace, IndexPolicy
from ragd.index.building import ServedIndex
from ragd.index.exact import ExactIndex
from ragd.index.generation import Generation
from ragd.index.ivf import IvfIndex
from ragd.index.manifest import (
    FORMAT,
    INDEX_NAME,
    MANIFEST_NAME,
    Manifest,
    check_index_file,
    read_manifest,
    sha256_of,
)

KEPT_SNAPSHOTS = 2


@dataclass(frozen=True, slots=True)
class Loaded:
    """A snapshot brought into memory, and why newer ones in the folder were passed over (one line each)."""

    generation: Generation
    manifest: Manifest
    refused: tuple[str, ...]


def write_snapshot(
    folder: Path, space: EmbeddingSpace, generation: Generation, *, keep: int = KEPT_SNAPSHOTS
) -> Manifest:
    """Writes what `generation` holds now as the newest snapshot in `folder`, and removes all but the newest `keep`.

    Searches go on; changes wait while the index file is written (half a second at a million chunks), not
    while it is flushed. One writer a folder. Raises DiskFull when there is no room, and leaves nothing behind.
    """
    with no_room_named(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _remove_unfinished(folder)
        number = max((int(path.name) for path in _numbered(folder)), default=0) + 1
        unfinished = folder / f".{number:08d}"
        try:
            manifest = _fill(unfinished, space, generation)
            reach("snapshot.before_rename")
            unfinished.rename(folder / f"{number:08d}")
            reach("snapshot.after_rename")
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        sync_folder(folder)
    _prune(folder, keep)
    return manifest


def kept_sequences(folder: Path) -> tuple[int, ...]:
    """The change sequences of the snapshots in `folder`, newest first: the log is needed back to the last one."""
    return tuple(manifest.sequence for _, manifest in _readable(folder))


def newest_manifest(folder: Path) -> Manifest | None:
    """What the newest snapshot in `folder` says of itself; None where there is none."""
    return next((manifest for _, manifest in _readable(folder)), None)


def discard_snapshots(folder: Path) -> None:
    """Removes every snapshot in `folder`: after some were refused, none may be met again by a catalog that moved on.

    A snapshot of a future that a power cut took back would look right once the catalog has counted as far again.
    """
    for path in _numbered(folder):
        shutil.rmtree(path)
    _remove_unfinished(folder)


def load_newest(folder: Path, space: EmbeddingSpace, policy: IndexPolicy) -> Loaded:
    """The newest good snapshot of `space` in `folder`, to be read as it is: nothing in the folder changes.

    Falls back to the one before when a checksum fails. Raises NotFound when there is no snapshot at all,
    GenerationCorrupt when there are some and none is good.
    """
    refused: list[str] = []
    for loaded in good_snapshots(folder, space, policy, refused):
        return loaded
    if refused:
        raise GenerationCorrupt("; ".join(refused), hint="start the daemon: it rebuilds the index from the catalog")
    raise NotFound(f"{folder}: no snapshot of the index yet", hint="start the daemon with `ragd run`; it writes one")


def good_snapshots(folder: Path, space: EmbeddingSpace, policy: IndexPolicy, refused: list[str]) -> Iterator[Loaded]:
    """The good snapshots of `space`, newest first, each loaded when asked for; reasons go to `refused`."""
    for path in _numbered(folder):
        try:
            manifest = read_manifest(path)
            if (manifest.fingerprint, manifest.dimension) != (space.fingerprint, space.dimension):
                raise GenerationCorrupt(f"{path}: made by another model ({manifest.fingerprint})")
            index = _read_index(check_index_file(path, manifest), manifest, policy)
        except GenerationCorrupt as error:
            refused.append(str(error))
            continue
        yield Loaded(Generation(index, policy, sequence=manifest.sequence), manifest, tuple(refused))


def _read_index(path: Path, manifest: Manifest, policy: IndexPolicy) -> ServedIndex:
    index: ServedIndex
    index = IvfIndex.read(path, policy.nprobe) if manifest.kind == IvfIndex.kind else ExactIndex.read(path)
    if (index.dimension, len(index)) != (manifest.dimension, manifest.chunks):
        raise GenerationCorrupt(f"{path}: it holds {len(index)} chunks, its manifest says {manifest.chunks}")
    return index


def _fill(folder: Path, space: EmbeddingSpace, generation: Generation) -> Manifest:
    folder.mkdir()
    path = folder / INDEX_NAME
    with generation.frozen() as (index, sequence):
        index.write(path)
        reach("snapshot.index_written")
        kind, chunks = index.kind, len(index)
    _sync_file(path)
    manifest = Manifest(
        format=FORMAT,
        fingerprint=space.fingerprint,
        dimension=space.dimension,
        kind=kind,
        chunks=chunks,
        sequence=sequence,
        sha256=sha256_of(path),
        size_bytes=path.stat().st_size,
        created_at=time.time(),
    )
    (folder / MANIFEST_NAME).write_bytes(manifest.encoded())
    _sync_file(folder / MANIFEST_NAME)
    sync_folder(folder)
    return manifest


def _prune(folder: Path, keep: int) -> None:
    """Keeps the newest snapshots that can still be read; a torn one does not count as kept."""
    kept = [path for path, _ in _readable(folder)][:keep]
    for path in _numbered(folder):
        if path not in kept:
            shutil.rmtree(path)


def _readable(folder: Path) -> list[tuple[Path, Manifest]]:
    found = []
    for path in _numbered(folder):
        try:
            manifest = read_manifest(path)
            if (path / INDEX_NAME).stat().st_size == manifest.size_bytes:
                found.append((path, manifest))
        except (GenerationCorrupt, OSError):
            continue
    return found


def _numbered(folder: Path) -> list[Path]:
    """The snapshot folders, newest first."""
    paths = folder.iterdir() if folder.is_dir() else ()
    return sorted((path for path in paths if path.name.isdigit() and path.is_dir()), reverse=True)


def _remove_unfinished(folder: Path) -> None:
    for path in folder.glob(".[0-9]*"):
        shutil.rmtree(path, ignore_errors=True)


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
