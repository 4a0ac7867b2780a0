"""Claims meet what is indexed: names become documents, passages become chunks; what is not there is said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from ragd.catalog.corpus import DocumentRow, Holdings
from ragd.domain.index import Ids
from ragd.learn.claims import Asked, Claim
from ragd.learn.likeness import normalised, shingles

ANSWERS_FROM: Final = 0.5
"""The score from which a scored label says that a document answers."""
_CONTAINED = 0.8  # of the shorter text's letter triples

FindPassage = Callable[[str], Sequence[tuple[int, str]]]
"""Chunks (id, text) that may hold a passage, likely ones first."""


@dataclass(frozen=True, slots=True)
class Question:
    """A query with the documents that answer it and how well (grade above 0), compared with what is indexed.

    `chunks` are those known to hold the answer, `against` documents and `against_chunks` chunks judged not to answer.
    A question with a `score` is a scored label: it says of its documents how well they answer, perhaps not at all.
    The rest is as in `Asked`.
    """

    query: str
    grades: Mapping[int, float]
    chunks: frozenset[int] = frozenset()
    against: frozenset[int] = frozenset()
    against_chunks: frozenset[int] = frozenset()
    answer: str = ""
    weight: float = 1.0
    score: float | None = None
    source: str = "file"
    at: float = 0.0
    place: str = ""

    @property
    def is_answered(self) -> bool:
        """Whether its documents are said to answer it: a scored label does so from a half up."""
        return self.score is None or self.score >= ANSWERS_FROM


class Resolver:
    """Finds what claims are about, among the documents of one look at the catalog.

    A document is named by its path below the root, by its collection and that path, by its absolute path, or by its
    file name with or without suffix when only one document (or copies of it) has that name.
    """

    def __init__(
        self,
        documents: Iterable[DocumentRow],
        holdings: Holdings,
        find_passage: FindPassage,
    ) -> None:
        self._find = find_passage
        self._chunks_of = grouped(holdings.documents, holdings.chunks)
        self._documents_of = grouped(holdings.chunks, holdings.documents)
        self._paths: dict[str, list[int]] = {}
        self._names: dict[str, list[int]] = {}
        for row in documents:
            for form in {row.path, f"{row.collection}/{row.path}", f"{row.root.rstrip('/')}/{row.path}"}:
                self._paths.setdefault(form, []).append(row.id)
            name = PurePosixPath(row.path)
            for form in {name.name, name.stem}:
                self._names.setdefault(form, []).append(row.id)
        self._passages: dict[str, frozenset[int]] = {}

    def question(self, asked: Asked, texts: Mapping[str, str] | None = None) -> Question | None:
        """The query with what was found; None when nothing that answers it is in the corpus (any more).

        `texts` are the beginnings of documents by name, by which those are found that no file is named after.
        """
        grades: dict[int, float] = {}
        chunks: set[int] = set()
        against: set[int] = set()
        against_chunks: set[int] = set()
        for claim in asked.claims:
            documents, places = self._found(claim, texts or {})
            if claim.grade > 0 or asked.score is not None:
                # A scored label keeps its document even at 0: what the score says is in the score.
                for document in documents:
                    grades[document] = max(grades.get(document, 0.0), claim.grade)
                chunks |= places
            elif places:
                against_chunks |= places
            else:
                against |= documents
        if not grades:
            return None
        return Question(
            asked.query,
            grades,
            frozenset(chunks),
            frozenset(against),
            frozenset(against_chunks),
            asked.answer,
            asked.weight,
            asked.score,
            asked.source,
            asked.at,
            asked.place,
        )

    def _found(self, claim: Claim, texts: Mapping[str, str]) -> tuple[set[int], frozenset[int]]:
        """The documents of a claim, and the chunks where it is about chunks."""
        if claim.chunk is not None:
            return set(self._documents_of.get(claim.chunk, ())), frozenset({claim.chunk} & self._documents_of.keys())
        documents = self._named(claim.name)
        if documents:
            return documents, frozenset()
        passage = texts.get(claim.name, "") if claim.is_document else claim.name
        places = self._holding(passage) if passage else frozenset()
        found = {document for chunk in places for document in self._documents_of[chunk]}
        return found, frozenset() if claim.is_document else places

    def _named(self, name: str) -> set[int]:
        form = name.removeprefix("./")
        exact = self._paths.get(form)
        if exact:
            return set(exact)
        alike = self._names.get(form, [])
        # Several files of one name: only copies of each other can be meant at once.
        contents = {tuple(self._chunks_of.get(document, ())) for document in alike}
        return set(alike) if len(contents) == 1 else set()

    def _holding(self, passage: str) -> frozenset[int]:
        known = self._passages.get(passage)
        if known is None:
            here = [(chunk, text) for chunk, text in self._find(passage) if chunk in self._documents_of]
            form = normalised(passage)
            exact = frozenset(chunk for chunk, text in here if form in normalised(text))
            # Where the very words are found, what is only alike is another passage.
            known = exact or frozenset(chunk for chunk, text in here if holds(text, passage))
            self._passages[passage] = known
        return known


def holds(text: str, passage: str) -> bool:
    """Whether a chunk's text holds a passage, or nearly; or is itself a part of a longer one."""
    own, wanted = normalised(text), normalised(passage)
    if wanted in own:
        return True
    if len(wanted) < 24 or len(own) < 24:  # too short for anything less than the very words
        return False
    one, other = shingles(text), shingles(passage)
    return len(one & other) >= _CONTAINED * min(len(one), len(other))


def grouped(keys: Ids, values: Ids) -> dict[int, list[int]]:
    """The values of each key, in the order given; both (n,)."""
    found: dict[int, list[int]] = {}
    for key, value in zip(keys.tolist(), values.tolist(), strict=True):
        found.setdefault(key, []).append(value)
    return found
