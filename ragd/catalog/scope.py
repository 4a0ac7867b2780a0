"""Search filters as SQL over documents `d` and roots `r`, so that they hold inside a query, not after it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from pathspec import GitIgnoreSpec

from ragd.catalog.documents import joined
from ragd.domain.documents import display_path
from ragd.domain.search import Filters


@dataclass(frozen=True, slots=True)
class Scope:
    """A condition on (d, r) and the values of its marks; `TRUE` when everything passes."""

    condition: str
    values: tuple[object, ...]

    @classmethod
    def of(cls, filters: Filters, connection: sqlite3.Connection) -> Scope:
        """The condition for these filters; globs become a function of this connection."""
        parts: list[str] = []
        values: list[object] = []
        if filters.collections:
            parts.append(f"r.collection IN ({_marks(filters.collections)})")
            values += filters.collections
        if filters.types:
            parts.append(f"d.kind IN ({_marks(filters.types)})")
            values += [kind.lower().removeprefix(".") for kind in filters.types]
        if filters.folders:
            parts.append(
                f"({' OR '.join(['(d.folder = ? OR d.folder >= ? AND d.folder < ?)'] * len(filters.folders))})"
            )
            for folder in filters.folders:
                prefix = folder.strip("/").encode("utf-8", "surrogateescape")
                values += [prefix, prefix + b"/", prefix + b"0"] if prefix else [b"", b"", b"\xff"]
        if filters.modified_after is not None:
            parts.append("d.mtime_ns >= ?")
            values.append(filters.modified_after * 1e9)
        if filters.modified_before is not None:
            parts.append("d.mtime_ns < ?")
            values.append(filters.modified_before * 1e9)
        if filters.globs:
            spec = GitIgnoreSpec.from_lines(filters.globs)
            connection.create_function("glob_match", 2, _matcher(spec), deterministic=True)
            parts.append("glob_match(d.folder, d.name)")
        return cls(" AND ".join(parts) or "TRUE", tuple(values))

    def chunk_condition(self, column: str) -> str:
        """` AND ...` for a statement over chunk ids in `column`: some document that passes holds the chunk."""
        if self.condition == "TRUE":
            return ""
        return (
            f" AND EXISTS (SELECT 1 FROM content_chunks cc JOIN documents d ON d.content_id = cc.content_id"
            f" JOIN roots r ON r.id = d.root_id WHERE cc.chunk_id = {column} AND {self.condition})"
        )


def _matcher(spec: GitIgnoreSpec) -> Callable[[bytes, bytes], bool]:
    def matches(folder: bytes, name: bytes) -> bool:
        return spec.match_file(display_path(joined(folder, name)))

    return matches


def _marks(values: tuple[str, ...]) -> str:
    return ",".join("?" * len(values))
