"""A catalog copied while it is written, as it was at one moment; and what such a copy says of itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ragd.catalog.connection import Connection, connect, damaged, translated
from ragd.catalog.migrate import FORMAT, format_of, migrate
from ragd.catalog.models import PRUNED, give_up
from ragd.catalog.store import CATALOG, open_readonly

_SLICE_PAGES = 1024


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy holds: its format, the change sequence it stands for, documents, ids of live generations.

    `models` are the folders (below models/) of the models it needs, with the SHA-256 of every file by its path there.
    """

    format: int
    change_sequence: int
    documents: int
    generations: tuple[int, ...]
    models: Mapping[str, Mapping[str, str]]


def copy_catalog(state: Path, target: Path, *, at: float, heard: Callable[[int, int], None]) -> Copied:
    """Copies the catalog of `state` into the new file `target`; the daemon may go on committing meanwhile.

    One read transaction spans all slices: without it, every commit would start the copy anew. Runs that were under
    way end in the copy, and models that it does not need count as given up, since their files are not copied.
    `at` is Unix seconds, `heard` is told (bytes done, bytes in all). Raises StateCorrupt when the copy is not sound,
    StateOlder for a catalog that no daemon upgraded yet, FileNotFoundError without a catalog, DiskFull.
    """
    with closing(open_readonly(state)) as source, closing(connect(target)) as copy:
        page_bytes = source.execute("PRAGMA page_size").fetchone()[0]
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        with translated(target):
            source.backup(
                copy,
                pages=_SLICE_PAGES,
                progress=lambda _status, left, pages: heard((pages - left) * page_bytes, pages * page_bytes),
            )
        source.execute("COMMIT")
        _check(copy, state / CATALOG)
        with translated(target), copy:
            copy.execute("BEGIN")
            give_up(copy, 0)
            copy.execute(
                "UPDATE runs SET state = 'stopped', ended_at = ?, reason = 'it was under way when a backup was made',"
                " hint = 'train again' WHERE state IN ('queued', 'running', 'evaluating')",
                (at,),
            )
        copied = _facts(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # nothing of it lies beside the file
        return copied


def upgrade_copy(path: Path) -> Copied:
    """Brings a copy to the current format and says what it holds. Raises StateNewer, StateCorrupt, DiskFull."""
    with closing(connect(path)) as copy:
        if format_of(copy) == 0:
            raise damaged(path, "it has no format")
        migrate(copy)
        return _facts(copy)


def _check(copy: Connection, path: Path) -> None:
    """A copy of what is damaged is no backup. Raises StateCorrupt naming the catalog at `path`."""
    said = str(copy.execute("PRAGMA quick_check(1)").fetchone()[0])
    if said != "ok":
        raise damaged(path, said.replace("\n", " "))


def _facts(copy: Connection) -> Copied:
    sequence = copy.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'changes'").fetchone()[0]
    models = copy.execute("SELECT folder, files FROM models WHERE status <> ? ORDER BY id", (PRUNED,)).fetchall()
    generations = copy.execute("SELECT id FROM generations WHERE state = 'live' ORDER BY id").fetchall()
    return Copied(
        format=FORMAT,
        change_sequence=sequence,
        documents=copy.execute("SELECT count(*) FROM documents").fetchone()[0],
        generations=tuple(row[0] for row in generations),
        models={folder: json.loads(files) for folder, files in models},
    )
