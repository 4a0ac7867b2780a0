"""The SHA-256 of a large file, remembered by what the file system says of it, so that a start need not read it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from pathlib import Path

# A file changed this recently may change again within one tick of the file system's clock, unseen.
RACY_S = 2.0


def sha256_of(path: Path, stamps: Path) -> str:
    """The file's SHA-256 in hex, computed unless `stamps` (a folder) holds it for the same size, times and inode.

    A stamps folder that cannot be written costs only the time to hash. Raises OSError when `path` cannot be read.
    """
    name = hashlib.blake2b(os.fsencode(path.resolve()), digest_size=12).hexdigest()
    stamp = stamps / f"{name}.json"
    facts = _facts(path)
    known = _read(stamp)
    if known is not None and known.get("facts") == facts:
        return str(known["sha256"])
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if facts == _facts(path) and time.time() - max(facts[1], facts[2]) / 1e9 > RACY_S:
        with contextlib.suppress(OSError):
            _write(stamp, {"path": os.fsdecode(path), "facts": facts, "sha256": digest})
    return digest


def _facts(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev]


def _read(stamp: Path) -> dict[str, object] | None:
    try:
        found = json.loads(stamp.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and "sha256" in found else None


def _write(stamp: Path, content: dict[str, object]) -> None:
    stamp.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=stamp.parent, prefix=".stamp-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file)
        Path(temporary).replace(stamp)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
