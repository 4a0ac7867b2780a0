"""What the machine says of this process and of a disk; what it does not say is left out."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


def process_facts(proc: Path = Path("/proc/self")) -> Mapping[str, float]:
    """`memory_bytes` (resident), `threads`, `open_fds` and `cpu_s` of this process."""
    found: dict[str, float] = {"cpu_s": time.process_time()}
    with suppress(OSError, ValueError, IndexError):
        resident_pages = int((proc / "statm").read_bytes().split()[1])
        found["memory_bytes"] = float(resident_pages * os.sysconf("SC_PAGE_SIZE"))
    with suppress(OSError, ValueError, IndexError):
        # The command's name stands in parentheses and may hold anything; the 18th field behind it counts threads.
        found["threads"] = float((proc / "stat").read_bytes().rpartition(b")")[2].split()[17])
    with suppress(OSError):
        found["open_fds"] = float(len(os.listdir(proc / "fd")) - 1)  # one of them lists the others
    return found


def disk_facts(folder: Path) -> Mapping[str, float]:
    """`free_bytes` (for this user) and `size_bytes` of the disk that holds a folder."""
    with suppress(OSError):
        told = os.statvfs(folder)
        return {"free_bytes": float(told.f_bavail * told.f_frsize), "size_bytes": float(told.f_blocks * told.f_frsize)}
    return {}


def catalog_size_bytes(state: Path) -> float:
    """The catalog and its write-ahead log on disk."""
    total = 0
    for name in ("catalog.db", "catalog.db-wal"):
        with suppress(OSError):
            total += (state / name).stat().st_size
    return float(total)
