"""What of SQLite's write-ahead log a power cut may take: everything that no checkpoint has relied on yet."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
_LAST_FRAME_AT = 16  # in the wal-index: struct WalIndexHdr
_BACKFILLED_AT, _BACKFILL_ATTEMPTED_AT = 96, 128  # struct WalCkptInfo behind the header's two copies


@dataclass(frozen=True, slots=True)
class Log:
    """The log as killed processes left it: which one it is, and the bytes from `first` to `end` that may be lost."""

    salt: bytes
    first: int
    end: int


def look(catalog: Path) -> Log:
    """The log of a catalog; nothing in it may be lost where there is none, or nobody knows how far it was relied on.

    With `synchronous=NORMAL` the log is flushed only before a checkpoint. Frames that a checkpoint copied into the
    catalog, or began to, were flushed before; all behind them rests on no fsync.
    """
    log, index = Path(f"{catalog}-wal"), Path(f"{catalog}-shm")
    head = log.read_bytes()[:_HEADER_BYTES] if log.exists() else b""
    shared = index.read_bytes() if index.exists() else b""
    if len(head) < _HEADER_BYTES or len(shared) < _BACKFILL_ATTEMPTED_AT + 4:
        return Log(b"", 0, 0)
    frame_bytes = _FRAME_HEADER_BYTES + int.from_bytes(head[8:12], "big")

    def place(at: int) -> int:
        frames = int.from_bytes(shared[at : at + 4], sys.byteorder)
        return min(_HEADER_BYTES + frames * frame_bytes, log.stat().st_size)

    first = max(place(_BACKFILLED_AT), place(_BACKFILL_ATTEMPTED_AT))
    return Log(head[16:24], first, max(first, place(_LAST_FRAME_AT)))
