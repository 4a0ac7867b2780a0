"""What a power cut, or the disk after it, does to files that a killed daemon left: tails go, bits flip, halves stay.

- `log`: SQLite's log is cut at a random byte, or a bit flips, behind what a checkpoint relied on: no fsync promised
  that. The -shm is gone in one case of two, as after every real restart of a machine.
- `broker`: the tail of Redis's log of operations (flushed once a second) is cut.
- `unfinished`: a snapshot that was being written has no name yet and half of its bytes.
- `snapshot`: the newest snapshot was flushed before it got its name, so a power cut cannot take it, but a bad disk can:
  its index or its manifest is cut, or a bit flips. The index is a view; ragd promises to bear that too.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

from bench.wal import Log, look

KINDS = ("log", "broker", "unfinished", "snapshot")


def tear(kind: str, state: Path, rng: random.Random, settled: Log) -> bool:
    """Does it to a state folder whose processes are all dead; False where there was nothing to tear.

    Of SQLite's log only what was written after `settled` goes: a power cut takes seconds, not a day's work.
    """
    if kind == "log":
        return _log(state / "catalog.db", rng, settled)
    if kind == "broker":
        tails = [path for path in (state / "broker").rglob("appendonly*.aof") if path.is_file() and path.stat().st_size]
        return bool(tails) and _cut(rng.choice(tails), rng, 0, at_most=4096)
    folders = sorted((state / "generations").glob("*/[0-9]*"))
    if not folders:
        return False
    newest = folders[-1]
    if kind == "unfinished":
        half = newest.parent / f".{int(newest.name) + 1:08d}"
        half.mkdir(exist_ok=True)
        data = (newest / "index.faiss").read_bytes()
        (half / "index.faiss").write_bytes(data[: rng.randrange(len(data) + 1)])
        return True
    path = newest / rng.choice(("index.faiss", "manifest.json"))
    return _flip(path, rng, 0, path.stat().st_size) if rng.random() < 0.5 else _cut(path, rng, 0)


def _log(catalog: Path, rng: random.Random, settled: Log) -> bool:
    log = look(catalog)
    first = max(log.first, settled.end if settled.salt == log.salt else 0)
    if first >= log.end:
        return False
    path = Path(f"{catalog}-wal")
    if rng.random() < 0.5:
        os.truncate(path, rng.randrange(first, log.end))
    else:
        _flip(path, rng, first, log.end)
    if rng.random() < 0.5:
        Path(f"{catalog}-shm").unlink()
    return True


def _cut(path: Path, rng: random.Random, first: int, *, at_most: int = 1 << 40) -> bool:
    size = path.stat().st_size
    if size:
        os.truncate(path, rng.randrange(max(first, size - at_most), size))
    return bool(size)


def _flip(path: Path, rng: random.Random, first: int, end: int) -> bool:
    if first >= end:
        return False
    at = rng.randrange(first, end)
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << rng.randrange(8)]))
    return True
