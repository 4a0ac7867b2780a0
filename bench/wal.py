"""What of SQLite's write-ahead log a power cut may take: everything that no checkpoint has relied on yet."""

from __future__ import annotations

import sys
from pathlib import Path

_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
_NBACKFILL_AT, _NBACKFILL_ATTEMPTED_AT = 96, 128  # in the wal-index: struct WalCkptInfo


def tearable(catalog: Path) -> int:
    """The first byte of the log that may be lost: with `synchronous=NORMAL` it is flushed only before a checkpoint.

    Frames that a checkpoint copied, or began to copy, into the catalog were flushed before; all behind them is only
    the operating system's promise. Read it after the last process that had the catalog open was killed.
    """
    log, index = Path(f"{catalog}-wal"), Path(f"{catalog}-shm")
    if not log.exists() or log.stat().st_size < _HEADER_BYTES:
        return 0
    page_bytes = int.from_bytes(log.read_bytes()[8:12], "big")
    shared = index.read_bytes() if index.exists() else b""
    if len(shared) < _NBACKFILL_ATTEMPTED_AT + 4:
        return log.stat().st_size  # nobody knows how far it was relied on
    copied = max(int.from_bytes(shared[at : at + 4], sys.byteorder) for at in (_NBACKFILL_AT, _NBACKFILL_ATTEMPTED_AT))
    return min(_HEADER_BYTES + copied * (_FRAME_HEADER_BYTES + page_bytes), log.stat().st_size)
