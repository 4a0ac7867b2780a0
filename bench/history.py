"""The history of a folder as one JSON object a line, and the tree after any of its revisions.

A line has `revision`, `time` (Unix seconds), `write` {path: text}, `move` {old: new} and `delete` [path]. The
first line writes a whole tree.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Tree = dict[str, str]


@dataclass(frozen=True, slots=True)
class Revision:
    """One step of the history."""

    name: str
    write: Mapping[str, str] = field(repr=False)
    move: Mapping[str, str]
    delete: tuple[str, ...]

    @property
    def chars(self) -> int:
        """Characters of the files it writes."""
        return sum(len(text) for text in self.write.values())

    def apply(self, tree: Tree) -> Tree:
        """The tree after it."""
        after = {path: text for path, text in tree.items() if path not in self.delete}
        for old, new in self.move.items():
            after[new] = after.pop(old)
        return {**after, **self.write}


def read_history(path: Path, limit: int = 0) -> Iterator[Revision]:
    """The revisions of a history (.gz or plain), the first `limit` of them when it is not 0."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            raw = json.loads(line)
            yield Revision(raw["revision"], raw["write"], raw.get("move", {}), tuple(raw.get("delete", ())))
            if number == limit:
                return


def between(before: Tree, after: Tree, name: str) -> Revision:
    """The one step that leads from a tree to another, by writing and deleting."""
    written = {path: text for path, text in after.items() if before.get(path) != text}
    return Revision(name, written, {}, tuple(path for path in before if path not in after))


def write_tree(folder: Path, revision: Revision) -> None:
    """Does on disk what a revision says: files written in place, folders made as needed."""
    for old, new in revision.move.items():
        (folder / new).parent.mkdir(parents=True, exist_ok=True)
        os.rename(folder / old, folder / new)
    for path, text in revision.write.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8", newline="")
    for path in revision.delete:
        (folder / path).unlink()


def old_passages(trees: Iterable[Tree], now: Tree, *, limit: int, shortest: int = 80) -> list[str]:
    """Paragraphs that earlier trees had and the present one has nowhere, at most `limit`, spread evenly.

    `shortest` is in characters.
    """
    present = "\n".join(now.values())
    seen = set(now.values())
    found: dict[str, None] = {}
    for tree in trees:
        for text in tree.values():
            if text not in seen:
                seen.add(text)
                found.update(dict.fromkeys(p for p in text.split("\n\n") if len(p) >= shortest and p not in present))
    return list(found)[:: max(1, len(found) // limit)][:limit]
