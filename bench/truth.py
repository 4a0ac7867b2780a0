"""What a daemon serves against what its folder holds: lost, ghosts, duplicates, and the catalog's own sums."""

from __future__ import annotations

import random
import re
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ragd.cli.client import Client

_MARK = re.compile(r"mark\d{7}")
# Counts that the catalog keeps must equal what they count; words must be there for live chunks and for no others.
_SUMS = {
    "references of contents": "SELECT count(*) FROM contents k WHERE refs <>"
    " (SELECT count(*) FROM documents d WHERE d.content_id = k.id)",
    "references of chunks": "SELECT count(*) FROM chunks c WHERE refs <> (SELECT count(*) FROM content_chunks cc"
    " JOIN contents k ON k.id = cc.content_id WHERE cc.chunk_id = c.id AND k.refs > 0)",
    "words of live chunks": "SELECT count(*) FROM chunks WHERE refs > 0 AND id NOT IN (SELECT id FROM words_docsize)",
    "words of no live chunk": "SELECT count(*) FROM words_docsize WHERE id NOT IN"
    " (SELECT id FROM chunks WHERE refs > 0)",
    "vectors that content lacks": "SELECT count(*) FROM contents k WHERE refs > 0 AND missing <> (SELECT count(*) FROM"
    " content_chunks cc WHERE cc.content_id = k.id AND NOT EXISTS (SELECT 1 FROM vectors v JOIN generations g"
    " ON g.id = v.generation WHERE g.serving AND v.chunk_id = cc.chunk_id))",
    "embed work": "SELECT count(*) FROM chunks c JOIN generations g ON g.state = 'live' WHERE refs > 0 AND NOT EXISTS"
    " (SELECT 1 FROM vectors v WHERE v.generation = g.id AND v.chunk_id = c.id) AND NOT EXISTS"
    " (SELECT 1 FROM to_embed t WHERE t.generation = g.id AND t.chunk_id = c.id)",
}


@dataclass(slots=True)
class Findings:
    """Sentences about what is wrong, by kind; nothing is wrong when all are empty."""

    lost: list[str] = field(default_factory=list)
    ghosts: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """True when nothing is wrong."""
        return not (self.lost or self.ghosts or self.duplicates or self.differing)


class Truth:
    """Compares one folder with the daemon that watches it; ask while nothing is edited.

    `sample` is how many files are searched for by words, and how many words that are gone; a quarter
    of them is searched for by meaning too, by their exact text.
    """

    def __init__(self, root: Path, state: Path, *, sample: int, seed: int) -> None:
        self._root, self._state, self._sample = root, state, sample
        self._random = random.Random(seed)

    def findings(self, client: Client, written: Sequence[str]) -> Findings:
        """Everything that is wrong now; `written` are the marked words ever written, oldest first."""
        texts = {str(path.relative_to(self._root)): path.read_text("utf-8") for path in self._root.rglob("*.md")}
        found = Findings()
        self._documents(client, texts, found)
        if found.is_clean:
            self._searches(client, texts, written, found)
            self._sums(found)
            report = client.verify()
            if not report["clean"]:
                found.differing.append(f"verify: {report}")
        return found

    def _documents(self, client: Client, texts: dict[str, str], found: Findings) -> None:
        listed = _listed(client)
        states = {document["path"]: document["state"] for document in listed}
        found.duplicates += [f"listed twice: {p}" for p, n in Counter(d["path"] for d in listed).items() if n > 1]
        found.ghosts += [f"listed and not in the folder: {path}" for path in states.keys() - texts.keys()]
        found.lost += [f"{path}: {states.get(path, 'unknown')}" for path in texts if states.get(path) != "searchable"]

    def _searches(self, client: Client, texts: dict[str, str], written: Sequence[str], found: Findings) -> None:
        holders: dict[str, set[str]] = {}
        for path, text in texts.items():
            for word in _MARK.findall(text):
                holders.setdefault(word, set()).add(path)
        # What was written last is where a kill would show.
        recent = [word for word in written[-4 * self._sample :] if word in holders]
        asked = {*recent[-self._sample :], *self._random.sample(sorted(holders), min(self._sample, len(holders)))}
        for turn, word in enumerate(sorted(asked)):
            hits = self._checked(client.search(q=word, mode="words", limit=20)["hits"], texts, found)
            meant = [hit for hit in hits if word in hit["text"]]
            if not any(hit["path"] in holders[word] for hit in meant):
                found.lost.append(f"{word} of {sorted(holders[word])} is not found by words")
            elif turn % 4 == 0:
                self._by_meaning(client, meant[0], texts, found)
        gone = [word for word in written if word not in holders]
        for word in {*gone[-self._sample :], *self._random.sample(gone, min(self._sample, len(gone)))}:
            self._checked(client.search(q=word, mode="words", limit=20)["hits"], texts, found)

    def _by_meaning(self, client: Client, hit: dict[str, Any], texts: dict[str, str], found: Findings) -> None:
        text = f"{hit['heading']}\n\n{hit['text']}" if hit["heading"] else hit["text"]
        hits = self._checked(client.search(q=text, mode="dense", limit=50)["hits"], texts, found)
        if not any(one["chunk_id"] == hit["chunk_id"] for one in hits):
            found.lost.append(f"chunk {hit['chunk_id']} of {hit['path']} is not found by meaning")

    def _checked(self, hits: list[dict[str, Any]], texts: dict[str, str], found: Findings) -> list[dict[str, Any]]:
        for hit in hits:
            if texts.get(hit["path"], "")[hit["start"] : hit["end"]] != hit["text"]:
                found.ghosts.append(f"hit not in the file: {hit['path']} {hit['start']}-{hit['end']}")
        twice = [chunk for chunk, n in Counter(hit["chunk_id"] for hit in hits).items() if n > 1]
        twice += [place for place, n in Counter((hit["path"], hit["start"]) for hit in hits).items() if n > 1]
        found.duplicates += [f"in one answer twice: {one}" for one in twice]
        return hits

    def _sums(self, found: Findings) -> None:
        with closing(sqlite3.connect(f"file:{self._state / 'catalog.db'}?mode=ro", uri=True)) as catalog:
            for name, statement in _SUMS.items():
                count = catalog.execute(statement).fetchone()[0]
                if count:
                    found.differing.append(f"{name}: {count} wrong")


def _listed(client: Client) -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = client.documents(limit=1000, cursor=cursor)
        documents += page["documents"]
        cursor = page["next"]
        if cursor is None:
            return documents
