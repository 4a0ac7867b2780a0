"""Reads files again and tells which of them are not what the catalog says, though their times did not change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from ragd.domain.changes import Known
from ragd.domain.errors import PathInvalid
from ragd.watch.files import hash_file, stat_at


class Finding(StrEnum):
    """What reading a file again showed.

    `moved on`: its size or times changed since it was read, which the watcher sees by itself. `changed`: its bytes are
    others, and nothing else says so (a damaged disk, or a tool that puts times back).
    """

    EQUAL = "equal"
    MOVED_ON = "moved on"
    CHANGED = "changed"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Reread:
    """One file that was read again; `reason` says why where it could not be."""

    document: Known
    root: bytes
    finding: Finding
    size_bytes: int
    reason: str = ""


def reread(documents: Iterable[tuple[bytes, Known]]) -> Iterator[Reread]:
    """Reads every document, given as (root, what is known of it), and compares the hash of its bytes."""
    for root, known in documents:
        try:
            stat, content_hash = hash_file(root, known.path)
        except (OSError, PathInvalid) as error:
            has_moved_on = stat_at(root, known.path) != known.stat
            reason = getattr(error, "strerror", None) or str(error)
            yield Reread(known, root, Finding.MOVED_ON if has_moved_on else Finding.UNREADABLE, 0, reason)
            continue
        if stat != known.stat or content_hash is None:
            finding = Finding.MOVED_ON
        else:
            finding = Finding.EQUAL if content_hash == known.content_hash else Finding.CHANGED
        yield Reread(known, root, finding, stat.size_bytes)
