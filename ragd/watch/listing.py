"""One folder's entries, as cheaply as they can be had: the inner loop of every scan."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

_INODE_BITS = 0xFFFFFFFF


@dataclass(slots=True)
class Listing:
    """What is in a folder: regular files by name with the mark of their stat (`Stat.mark`), and everything else.

    `error` is why some entry could not be looked at; it is then in neither.
    """

    marks: dict[bytes, int]
    others: list[os.DirEntry[bytes]]
    error: OSError | None = None

    def digest(self) -> int:
        """A number that changes when any name or mark does (or their order: then all is compared once more)."""
        return hash((tuple(self.marks), tuple(self.marks.values())))


def listing(path: bytes) -> Listing:
    """Lists the folder at `path`. Raises OSError when it cannot be listed."""
    others: list[os.DirEntry[bytes]] = []
    with os.scandir(path) as entries:
        try:
            return Listing(_marks(entries, others), others)
        except OSError:
            pass  # an entry vanished since, or is out of reach
    return _one_by_one(path)


def _marks(entries: Iterable[os.DirEntry[bytes]], others: list[os.DirEntry[bytes]]) -> dict[bytes, int]:
    """`Stat.mark` written out. Entries are let go one by one: to hold them all costs more than to stat them."""
    keep = others.append
    return {
        entry.name: (found := entry.stat()).st_size
        + found.st_mtime_ns
        + found.st_ctime_ns
        + (found.st_ino & _INODE_BITS)
        for entry in entries
        if entry.is_file(follow_symlinks=False) or keep(entry)
    }


def _one_by_one(path: bytes) -> Listing:
    found = Listing({}, [])
    with os.scandir(path) as entries:
        for entry in entries:
            try:
                found.marks.update(_marks((entry,), found.others))
            except FileNotFoundError:
                continue
            except OSError as error:
                found.error = error
    return found
